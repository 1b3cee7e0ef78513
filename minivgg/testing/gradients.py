"""`check_gradients`: the rules of a function against finite differences of its values."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np

from ..autograd import mode
from ..autograd.core import grad
from ..autograd.op import Op
from ..autograd.tensor import Tensor
from ..backend.random import stream
from ..errors import ConfigError, GraphError
from .kinks import Pattern, pattern
from .report import GradientReport, Section
from .stencil import Arrays, Problem, compare

__all__ = ["check_gradients"]


def check_gradients(
    f: Callable[..., Any], *inputs: Any, order: int = 2, seed: int = 0, coordinates: int = 48, directions: int = 4
) -> GradientReport:
    """Compare the gradients of f at `inputs` with five-point finite differences.

    f is an op or a function of tensors; it returns a tensor. float64 arrays among the inputs are differentiated,
    other arrays and values are held constant. The result is weighted by a random cotangent, since a cotangent of
    ones is blind for soft-max, batch norm and whatever else has a constant sum. Checked are up to `coordinates`
    single elements and `directions` random unit directions, for orders 1 and (if `order` is 2) 2, once with the
    overlay's kernels and once without: a good kernel would hide a wrong rule.

    Raises ConfigError for float32 inputs (finite differences drown in their rounding) and for an order that is not
    1 or 2, GraphError if no input is differentiated.
    """
    if order not in {1, 2}:
        raise ConfigError(f"order must be 1 or 2, but is {order!r}.")
    arrays = [x.data if isinstance(x, Tensor) else x for x in inputs]
    low = [str(x.dtype) for x in arrays if isinstance(x, np.ndarray) and x.dtype.kind == "f" and x.dtype != np.float64]
    if low:
        raise ConfigError(
            f"finite differences need float64 inputs, but there are {', '.join(low)}: their rounding hides the gradient. "
            "Use x.astype('float64')."
        )
    free = [i for i, x in enumerate(arrays) if isinstance(x, np.ndarray) and x.dtype == np.float64 and _has_rule(f, i)]
    if not free:
        raise GraphError("none of the inputs is a float64 array, so there is nothing to differentiate.")
    sections = []
    for kernels in (True, False):
        with nullcontext() if kernels else mode.reference(), mode.frozen_state():
            for k in range(1, order + 1):
                rng = stream(seed, "check", k)
                problem = (_first_order if k == 1 else _second_order)(f, arrays, free, rng)
                sections.append(Section(k, kernels, compare(problem, rng, coordinates, directions)))
    return GradientReport(repr(f) if isinstance(f, Op) else getattr(f, "__name__", repr(f)), tuple(sections))


def _has_rule(f: Any, i: int) -> bool:
    """An op's operand without a rule (a mask, say) is a constant, whatever its dtype."""
    if not isinstance(f, Op):
        return True
    return hasattr(f, f"grad_{f.operands[0 if f.variadic else i]}")


def _call(f: Callable[..., Any], arrays: list[Any], free: list[int], values: Arrays) -> tuple[list[Tensor], Tensor]:
    """(tensors of the free inputs, y) with `values` in the places of the free inputs."""
    tensors = [Tensor(value, requires_grad=True) for value in values]
    inputs = list(arrays)
    for i, tensor in zip(free, tensors, strict=True):
        inputs[i] = tensor
    y = f(*inputs)
    if not isinstance(y, Tensor):
        raise GraphError(f"the function must return a Tensor, but returned {type(y).__name__}: build it from tensors and ops.")
    return tensors, y


def _first_order(f: Callable[..., Any], arrays: list[Any], free: list[int], rng: np.random.Generator) -> Problem:
    """φ(x) = ⟨gy, f(x)⟩."""
    values = [arrays[i] for i in free]
    gy = rng.standard_normal(_call(f, arrays, free, values)[1].shape)

    def value(at: Arrays) -> tuple[float, Pattern]:
        y = _call(f, arrays, free, at)[1]
        return float((y.data * gy).sum()), pattern(y)

    def gradient(at: Arrays) -> Arrays:
        tensors, y = _call(f, arrays, free, at)
        return grad(y, tensors, gy)

    return Problem([f"input {i}" for i in free], values, value, gradient)


def _second_order(f: Callable[..., Any], arrays: list[Any], free: list[int], rng: np.random.Generator) -> Problem:
    """ψ(x, gy) = Σ ⟨u, ∂⟨gy, f(x)⟩/∂x⟩: its gradient is a Hessian-vector product, and by gy a Jacobian-vector product."""
    values = [arrays[i] for i in free]
    gy = rng.standard_normal(_call(f, arrays, free, values)[1].shape)
    us = [rng.standard_normal(value.shape) for value in values]

    def contracted(at: Arrays) -> tuple[list[Tensor], Tensor, Tensor]:
        tensors, y = _call(f, arrays, free, at[:-1])
        cotangent = Tensor(at[-1], requires_grad=True)
        gradients = grad(y, tensors, cotangent, create_graph=True)
        total = Tensor(np.zeros(()))
        for g, u in zip(gradients, us, strict=True):
            total = total + (g * u).sum()
        return [*tensors, cotangent], y, total

    def value(at: Arrays) -> tuple[float, Pattern]:
        _, y, total = contracted(at)
        return float(total.data), pattern(y)

    def gradient(at: Arrays) -> Arrays:
        tensors, _, total = contracted(at)
        return grad(total, tensors)

    return Problem([*(f"input {i}" for i in free), "cotangent"], [*values, gy], value, gradient)
