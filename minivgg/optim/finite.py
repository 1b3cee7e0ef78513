"""Whether a step may be taken: one NaN or Inf among the gradients would spread to all weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..autograd.core import Tensor
from ..backend.arrays import array_module
from ..backend.substitutes import substituted

__all__ = ["all_finite"]


def all_finite(named_parameters: Iterable[tuple[str, Tensor]]) -> Any:
    """Whether all gradients are free of NaN and Inf: a 0-d boolean array on their device, which the host does not wait for.

    On the CPU their sum is looked at, since one NaN or Inf makes it NaN or Inf (so do finite numbers whose sum overflows).
    """
    gradients = [p.grad for _, p in named_parameters if p.grad is not None]
    xp = array_module(*gradients)
    fused = substituted("all finite", xp)
    if fused and gradients:
        return fused(gradients)
    total: Any = 0.0
    for g in gradients:
        total = total + g.sum()
    return xp.isfinite(total)
