"""Three ops that the engine itself needs: broadcasting's adjoint pair, and conversion between dtypes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend.arrays import Array, array_module
from ..errors import ShapeError
from .op import Op, op

__all__ = ["BroadcastTo", "Cast", "SumTo", "broadcast_to", "cast", "sum_to"]


@op
class SumTo(Op):
    """Sum the axes along which `shape` was broadcast: y = Bᵀx, where B is BroadcastTo.

    Gradients  y is linear in x, and the transpose of Bᵀ is B: gx = B gy. The pair is closed.
    """

    shape: tuple[int, ...]
    linear = ("x",)

    def forward(self, x: Array) -> Array:
        if len(self.shape) > x.ndim or any(n not in (1, size) for n, size in zip(self.shape[::-1], x.shape[::-1], strict=False)):
            raise ShapeError(f"an array of shape {x.shape} is not one of shape {self.shape} broadcast; a gradient has its operand's shape.")
        lead = x.ndim - len(self.shape)
        axes = tuple(range(lead)) + tuple(i + lead for i, n in enumerate(self.shape) if n == 1 != x.shape[i + lead])
        return x.sum(axis=axes, keepdims=True).reshape(self.shape)

    def grad_x(self, gy: Any, x_shape: tuple[int, ...]) -> Any:
        return broadcast_to(gy, x_shape)

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        yield SumTo((3, 1)), (rng.standard_normal((2, 3, 4)),)
        yield SumTo(()), (rng.standard_normal((2, 1)),)


@op
class BroadcastTo(Op):
    """Repeat x along new axes and axes of length one: y = Bx, a view without a copy.

    Gradients  gx_i is the sum over all copies of x_i: gx = Bᵀgy, which is SumTo.
    """

    shape: tuple[int, ...]
    linear = ("x",)

    def forward(self, x: Array) -> Array:
        return array_module(x).broadcast_to(x, self.shape)

    def grad_x(self, gy: Any, x_shape: tuple[int, ...]) -> Any:
        return sum_to(gy, x_shape)

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        yield BroadcastTo((2, 3, 4)), (rng.standard_normal((3, 1)),)
        yield BroadcastTo((2, 2)), (rng.standard_normal(()),)


@op
class Cast(Op):
    """Convert to another floating-point dtype; the gradient is converted back."""

    dtype: Any

    def forward(self, x: Array) -> Array:
        return x.astype(self.dtype)

    def grad_x(self, gy: Any) -> Any:
        return gy  # the sweep casts a gradient to its operand's dtype

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        yield Cast("float64"), (rng.standard_normal((2, 3)),)
        yield Cast("float64"), (rng.standard_normal(()),)


def sum_to(x: Any, shape: tuple[int, ...]) -> Any:
    """Sum x down to `shape`, of which x's shape is a broadcast."""
    return x if x.shape == shape else SumTo(shape)(x)


def broadcast_to(x: Any, shape: tuple[int, ...]) -> Any:
    """x repeated to `shape`; a read-only view."""
    return x if x.shape == shape else BroadcastTo(shape)(x)


def cast(x: Any, dtype: Any) -> Any:
    """x in another floating-point dtype."""
    return x if x.dtype == dtype else Cast(str(dtype))(x)
