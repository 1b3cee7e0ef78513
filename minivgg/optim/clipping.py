"""Gradient clipping: a step in the right direction, but no longer than a bound."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..autograd.core import Tensor
from ..backend.arrays import array_module
from ..backend.substitutes import substituted
from ..errors import ConfigError

__all__ = ["clip_grad_norm", "gradient_norm"]


def gradient_norm(named_parameters: Iterable[tuple[str, Tensor]]) -> Any:
    """√(Σ g²) over the gradients of all parameters together, those without one left out: a number, or a 0-d device array."""
    gradients = [p.grad for _, p in named_parameters if p.grad is not None]
    fused = substituted("norm", array_module(*gradients))
    if fused and gradients:
        return fused(gradients)
    total: Any = 0.0
    for g in gradients:
        total = total + (g * g).sum()
    return total**0.5


def clip_grad_norm(named_parameters: Iterable[tuple[str, Tensor]], max_norm: float) -> Any:
    """Scale all gradients by min(1, max_norm / norm), so that their joint L2 norm is at most `max_norm`.

    Returns the norm before clipping (a NaN or Inf among the gradients shows there, and they are then all NaN).
    The gradients are replaced, never written into. Raises ConfigError unless max_norm > 0.
    """
    if not max_norm > 0:
        raise ConfigError(f"max_norm must be > 0, but is {max_norm!r}.")
    pairs = list(named_parameters)
    norm = gradient_norm(pairs)
    scale = array_module(norm).minimum(1.0, max_norm / (norm + 1e-12))
    for _, p in pairs:
        if p.grad is not None:
            p.grad = (p.grad * scale).astype(p.grad.dtype, copy=False)
    return norm
