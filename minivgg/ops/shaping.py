"""Reshape, transpose, pad, index and concatenate: linear maps that move numbers without changing them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np

from ..autograd.op import Op, op
from ..autograd.tensor import Tensor
from ..backend import layout
from ..backend.arrays import Array, array_module, scatter_add, to_numpy
from ..errors import ShapeError

__all__ = [
    "Concatenate", "Index", "Pad", "Reshape", "ScatterIndex", "Transpose", "concatenate", "flatten", "index", "pad", "reshape",
    "transpose",
]  # fmt: skip

Shape = tuple[int, ...]


@op
class Reshape(Op):
    """The same numbers in row-major order under another shape.   Gradients  gy under x's shape."""

    shape: Shape
    linear = ("x",)

    def forward(self, x: Array) -> Array:
        return x.reshape(self.shape)

    def grad_x(self, gy: Any, x_shape: Shape) -> Any:
        return gy.reshape(x_shape)

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        yield Reshape((3, 4)), (rng.standard_normal((2, 3, 2)),)
        yield Reshape((1, 1)), (rng.standard_normal(()),)


@op
class Transpose(Op):
    """Axes in another order: y.shape[i] = x.shape[axes[i]].   Gradients  the inverse permutation of gy."""

    axes: Shape
    linear = ("x",)

    def forward(self, x: Array) -> Array:
        return x.transpose(self.axes)

    def grad_x(self, gy: Any) -> Any:
        return gy.transpose(tuple(sorted(range(len(self.axes)), key=self.axes.__getitem__)))

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        yield Transpose((2, 0, 1)), (rng.standard_normal((2, 3, 4)),)
        yield Transpose((1, 0)), (rng.standard_normal((1, 3)),)


@op
class Pad(Op):
    """`value` around x: widths holds (before, after) for each axis.   Gradients  the inner part of gy."""

    widths: tuple[tuple[int, int], ...]
    value: float = 0.0
    linear = ("x",)

    def forward(self, x: Array) -> Array:
        if x.ndim == 4 and not any((*self.widths[0], *self.widths[1])):
            return layout.pad(x, self.widths[2], self.widths[3], self.value)  # images: keeps their storage
        return array_module(x).pad(x, self.widths, constant_values=self.value)

    def grad_x(self, gy: Any, x_shape: Shape) -> Any:
        return gy[tuple(slice(before, before + n) for (before, _), n in zip(self.widths, x_shape, strict=True))]

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        yield Pad(((0, 0), (0, 0), (1, 2), (0, 1))), (rng.standard_normal((2, 3, 2, 2)),)
        yield Pad(((2, 0), (0, 1)), 3.0), (rng.standard_normal((1, 3)),)


@op
class Index(Op):
    """y = x[key], by integers, slices, `...`, None, or integer and boolean arrays (constants).

    Gradients  gy is added into zeros at the same places: ScatterIndex, whose gradient is Index again.
    """

    key: Any
    linear = ("x",)

    def forward(self, x: Array) -> Array:
        return array_module(x).asarray(x[self.key])

    def grad_x(self, gy: Any, x_shape: Shape) -> Any:
        return ScatterIndex(self.key, x_shape)(gy)

    def decisions(self) -> Array:
        arrays = [to_numpy(k).reshape(-1).astype(np.int64) for k in self.key if hasattr(k, "dtype")]
        return np.concatenate([np.zeros(0, np.int64), *arrays])

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        yield Index((slice(None, None, -2), Ellipsis, 1)), (rng.standard_normal((3, 2, 2)),)
        yield Index((np.array([0, 2, 0]),)), (rng.standard_normal((3, 2)),)


@op
class ScatterIndex(Op):
    """The adjoint of Index: u added into zeros of `shape` at `key`; places named twice receive two summands.

    Gradients  The transpose of a transpose: gy[key], Index.
    """

    key: Any
    shape: Shape
    linear = ("u",)

    def forward(self, u: Array) -> Array:
        out = array_module(u).zeros(self.shape, u.dtype)
        scatter_add(out, self.key, u)
        return out

    def grad_u(self, gy: Any) -> Any:
        return gy[self.key]

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        yield ScatterIndex((slice(1, None),), (3, 2)), (rng.standard_normal((2, 2)),)
        yield ScatterIndex((np.array([0, 2, 0]),), (3, 2)), (rng.standard_normal((3, 2)),)


@op
class Concatenate(Op):
    """Arrays one behind the other along `axis`.   Gradients  each operand's own part of gy."""

    axis: int
    linear = ("xs",)

    def forward(self, *xs: Array) -> Array:
        return array_module(*xs).concatenate(xs, axis=self.axis)

    def grad_xs(self, gy: Any, index: int, xs_shape: tuple[Shape, ...]) -> Any:
        axis = self.axis % gy.ndim
        start = sum(shape[axis] for shape in xs_shape[:index])
        return gy[(slice(None),) * axis + (slice(start, start + xs_shape[index][axis]),)]

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        yield Concatenate(-1), (rng.standard_normal((2, 3)), rng.standard_normal((2, 1)))
        yield Concatenate(0), (rng.standard_normal((2,)), rng.standard_normal((0,)), rng.standard_normal((1,)))


def reshape(x: Any, *shape: Any) -> Any:
    """x under another shape of the same size, given as a tuple or as numbers; one entry may be −1."""
    sizes: Shape = tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], Integral) else shape
    sizes = tuple(int(n) for n in sizes)
    size = math.prod(x.shape)
    rest = math.prod(n for n in sizes if n != -1)
    if -1 in sizes and sizes.count(-1) == 1 and rest and size % rest == 0:
        sizes = tuple(size // rest if n == -1 else n for n in sizes)
    if math.prod(sizes) != size or any(n < 0 for n in sizes):
        raise ShapeError(
            f"cannot reshape {x.shape}, {size} elements, to {sizes}, {rest} elements{' per unit of −1' if -1 in sizes else ''}."
        )
    return Reshape(sizes)(x)


def transpose(x: Any, *axes: Any) -> Any:
    """x with its axes in another order, given as a tuple or as numbers; without any, in reverse."""
    order: Shape = tuple(axes[0]) if len(axes) == 1 and not isinstance(axes[0], Integral) else axes
    order = tuple(a % x.ndim for a in order) or tuple(reversed(range(x.ndim)))
    if sorted(order) != list(range(x.ndim)):
        raise ShapeError(f"axes {axes} are not a permutation of the {x.ndim} axes of an array of shape {x.shape}.")
    return Transpose(order)(x)


def pad(x: Any, widths: Sequence[tuple[int, int]], value: float = 0.0) -> Any:
    """`value` around x; `widths` holds (before, after), none negative, for each axis."""
    checked = tuple((int(before), int(after)) for before, after in widths)
    if len(checked) != x.ndim or min((n for pair in checked for n in pair), default=0) < 0:
        raise ShapeError(f"pad needs {x.ndim} pairs (before, after) of numbers ≥ 0, one for each axis of {x.shape}, but got {checked}.")
    return Pad(checked, value)(x)


def index(x: Any, key: Any) -> Any:
    """x[key]: integers, slices, `...`, None, or arrays of integers or booleans, which are constants."""
    keys = key if isinstance(key, tuple) else (key,)
    return Index(tuple(k.data if isinstance(k, Tensor) else np.asarray(k) if isinstance(k, list) else k for k in keys))(x)


def concatenate(xs: Sequence[Any], axis: int = 0) -> Any:
    """The arrays `xs` one behind the other along `axis`; their other axes agree."""
    xs = list(xs)
    if not xs:
        raise ShapeError("concatenate needs at least one array.")
    rests = {tuple(n for i, n in enumerate(x.shape) if i != axis % max(x.ndim, 1)) for x in xs}
    if len(rests) > 1 or not -xs[0].ndim <= axis < xs[0].ndim:
        raise ShapeError(f"concatenate along axis {axis} needs equal sizes on all other axes, but got {[x.shape for x in xs]}.")
    return Concatenate(axis)(*xs)


def flatten(x: Any) -> Any:
    """x (N, …) as (N, everything else)."""
    return reshape(x, (x.shape[0], math.prod(x.shape[1:])))
