"""Sum, mean, maximum and log-sum-exp over axes. Their gradients spread gy back over the axes that were reduced."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..autograd.broadcasting import broadcast_to
from ..autograd.op import Op, op
from ..backend.arrays import Array, array_module
from ..errors import ShapeError
from .exponential import exp, log

__all__ = ["LogSumExp", "Max", "Mean", "Sum", "logsumexp", "max", "mean", "sum"]

Axes = tuple[int, ...]


class Reduction(Op):
    """What the four share: `axes` (None: all of them) to reduce, kept with length one if `keepdims`."""

    axes: Axes | None
    keepdims: bool

    def spread(self, reduced: Any, shape: tuple[int, ...]) -> Any:
        """An array of the result's shape, repeated over the reduced axes to `shape`."""
        axes = range(len(shape)) if self.axes is None else [axis % len(shape) for axis in self.axes]
        return broadcast_to(reduced.reshape(tuple(1 if i in axes else n for i, n in enumerate(shape))), shape)

    def count(self, shape: tuple[int, ...]) -> int:
        """How many elements go into one."""
        return math.prod(shape if self.axes is None else (shape[axis] for axis in self.axes))


def _samples(rng: np.random.Generator) -> list[tuple[Axes | None, bool, Array]]:
    """Axes, keepdims and an operand whose elements lie at least 0.05 apart, so that no two compete for the maximum."""

    def apart(shape: tuple[int, ...]) -> Array:
        return rng.permutation(math.prod(shape)).reshape(shape) * 0.1 + rng.uniform(0.0, 0.05, shape)

    return [(None, False, apart((2, 3))), ((1,), False, apart((2, 3, 2))), ((0, -1), True, apart((2, 3, 2))), ((), False, apart((2,)))]


@op
class Sum(Reduction):
    """y = Σ x over the axes.   Gradients  ∂y/∂x_i = 1: gy is repeated over the axes."""

    axes: Axes | None
    keepdims: bool
    linear = ("x",)

    def forward(self, x: Array) -> Array:
        return array_module(x).asarray(x.sum(axis=self.axes, keepdims=self.keepdims))

    def grad_x(self, gy: Any, x_shape: tuple[int, ...]) -> Any:
        return self.spread(gy, x_shape)

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        for axes, keepdims, x in _samples(rng):
            yield Sum(axes, keepdims), (x,)


@op
class Mean(Reduction):
    """y = Σ x / m over the axes, m elements each.   Gradients  ∂y/∂x_i = 1/m."""

    axes: Axes | None
    keepdims: bool
    linear = ("x",)

    def forward(self, x: Array) -> Array:
        if self.count(x.shape) == 0:
            raise ShapeError(f"the mean of no elements does not exist: shape {x.shape}, axes {self.axes}.")
        return array_module(x).asarray(x.mean(axis=self.axes, keepdims=self.keepdims))

    def grad_x(self, gy: Any, x_shape: tuple[int, ...]) -> Any:
        return self.spread(gy * (1.0 / self.count(x_shape)), x_shape)

    def definition(self, x: Any) -> Any:
        return Sum(self.axes, self.keepdims)(x) * (1.0 / self.count(x.shape))

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        for axes, keepdims, x in _samples(rng):
            yield Mean(axes, keepdims), (x,)


@op
class Max(Reduction):
    """y = max x over the axes.

    Gradients  gy goes to the winner, 0 elsewhere. Which one wins is constant around x, so the mask is a constant.
    Kinks      At a tie the first in row-major order wins, as in max pooling. NaN wins over all.
    """

    axes: Axes | None
    keepdims: bool

    def forward(self, x: Array) -> Array:
        if self.count(x.shape) == 0:
            raise ShapeError(f"the maximum of no elements does not exist: shape {x.shape}, axes {self.axes}.")
        xp = array_module(x)
        axes = tuple(range(x.ndim)) if self.axes is None else tuple(sorted(axis % x.ndim for axis in self.axes))  # in row-major order
        order = (*(i for i in range(x.ndim) if i not in axes), *axes)
        moved = x.transpose(order)
        flat = moved.reshape(*moved.shape[: x.ndim - len(axes)], self.count(x.shape))
        mask = xp.arange(flat.shape[-1]) == flat.argmax(axis=-1)[..., None]
        self.mask = mask.reshape(moved.shape).transpose(np.argsort(order).tolist())
        return xp.asarray(x.max(axis=axes, keepdims=self.keepdims))

    def grad_x(self, gy: Any, x_shape: tuple[int, ...]) -> Any:
        return self.spread(gy, x_shape) * self.mask

    def decisions(self) -> Array:
        return self.mask

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        for axes, keepdims, x in _samples(rng):
            yield Max(axes, keepdims), (x,)


@op
class LogSumExp(Reduction):
    """y = log Σ eˣ over the axes, computed as m + log Σ eˣ⁻ᵐ with m = max x, which cannot overflow.

    Gradients  ∂y/∂x_i = e^{x_i} / Σ eˣ = e^{x_i − y}, the soft-max.
    """

    axes: Axes | None
    keepdims: bool

    def forward(self, x: Array) -> Array:
        if self.count(x.shape) == 0:
            raise ShapeError(f"the log-sum-exp of no elements does not exist: shape {x.shape}, axes {self.axes}.")
        xp = array_module(x)
        top = x.max(axis=self.axes, keepdims=True)
        top = xp.where(xp.isfinite(top), top, 0)
        total = xp.exp(x - top).sum(axis=self.axes, keepdims=True)
        y = xp.where(total == 0, -np.inf, xp.log(xp.where(total == 0, 1, total)) + top)
        return y if self.keepdims else y.reshape(x.sum(axis=self.axes).shape)

    def grad_x(self, gy: Any, x: Any, y: Any) -> Any:
        return self.spread(gy, x.shape) * exp(x - self.spread(y, x.shape))

    def definition(self, x: Any) -> Any:
        return log(Sum(self.axes, self.keepdims)(exp(x)))

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        for axes, keepdims, x in _samples(rng):
            yield LogSumExp(axes, keepdims), (x,)


def _axes(x: Any, axis: int | Axes | None) -> Axes | None:
    if axis is None:
        return None
    axes = tuple(axis) if isinstance(axis, tuple | list) else (int(axis),)
    wrong = [a for a in axes if not -x.ndim <= a < x.ndim]
    if wrong or len({a % x.ndim for a in axes}) < len(axes):
        raise ShapeError(f"axes {axes} do not name different axes of an array of shape {x.shape}: valid are {-x.ndim} to {x.ndim - 1}.")
    return axes


def sum(x: Any, axis: int | Axes | None = None, keepdims: bool = False) -> Any:
    """Sum over `axis` (an int, a tuple of them, or None: all)."""
    return Sum(_axes(x, axis), keepdims)(x)


def mean(x: Any, axis: int | Axes | None = None, keepdims: bool = False) -> Any:
    """Mean over `axis` (an int, a tuple of them, or None: all)."""
    return Mean(_axes(x, axis), keepdims)(x)


def max(x: Any, axis: int | Axes | None = None, keepdims: bool = False) -> Any:
    """Maximum over `axis` (an int, a tuple of them, or None: all); the gradient goes to the first at a tie."""
    return Max(_axes(x, axis), keepdims)(x)


def logsumexp(x: Any, axis: int | Axes | None = None, keepdims: bool = False) -> Any:
    """log Σ eˣ over `axis` (an int, a tuple of them, or None: all), without overflow."""
    return LogSumExp(_axes(x, axis), keepdims)(x)
