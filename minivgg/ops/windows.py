"""Sliding windows: their sizes, and im2col with its adjoint col2im.

A window of R×S taps slides over an image of H×W with padding around it. Everything that convolution and
pooling must know about that is in `Geometry`: how many windows there are, how much padding they need, and
where tap (r, s) of all windows lies, which is one strided slice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..autograd.mode import where
from ..autograd.op import Op, op
from ..backend import layout
from ..backend.arrays import Array, array_module
from ..errors import ConfigError, ShapeError

__all__ = ["Col2im", "Geometry", "Im2col", "Pair", "col2im", "geometry", "im2col", "pair"]

Pair = tuple[int, int]


@dataclass(frozen=True)
class Geometry:
    """How windows slide: (rows, columns) of kernel, stride, padding on each side, and dilation (distance of taps).

    With `ceil_mode` a last window may hang over the lower or right edge, if it begins inside the image or the
    padding before it (torch's and Caffe's rule); it is padded as far as it reaches.
    """

    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    ceil_mode: bool = False

    def output(self, height: int, width: int) -> Pair:
        """(P, Q): P = ⌊(H + 2·padding − dilation·(R − 1) − 1) / stride⌋ + 1, or ⌈ ⌉ with ceil_mode; Q likewise."""
        return self._count(0, height), self._count(1, width)

    def _count(self, axis: int, size: int) -> int:
        reach = self.dilation[axis] * (self.kernel[axis] - 1) + 1
        free = size + 2 * self.padding[axis] - reach
        if free < 0:
            name = where("the window")
            raise ShapeError(
                f"{name} is {self.kernel[0]}×{self.kernel[1]} with dilation {self.dilation} and reaches over {reach} "
                f"{'rows' if axis == 0 else 'columns'}, but the image has {size} + 2·{self.padding[axis]} of padding = "
                f"{size + 2 * self.padding[axis]}. "
                f"Use a larger image, a smaller window, or padding ≥ {-(-(reach - size) // 2)}."
            )
        count = free // self.stride[axis] + 1
        if self.ceil_mode and free % self.stride[axis] and count * self.stride[axis] < size + self.padding[axis]:
            count += 1
        return count

    def margins(self, height: int, width: int) -> tuple[Pair, Pair]:
        """Padding (top, bottom), (left, right) so that every window lies inside."""
        p, q = self.output(height, width)
        after = [
            max(self.padding[i], (n - 1) * self.stride[i] + self.dilation[i] * (self.kernel[i] - 1) + 1 - size - self.padding[i])
            for i, (n, size) in enumerate([(p, height), (q, width)])
        ]
        return (self.padding[0], after[0]), (self.padding[1], after[1])

    def pad(self, x: Array, value: float = 0.0) -> Array:
        """x (N, C, H, W) with its margins filled with `value`."""
        return layout.pad(x, *self.margins(*x.shape[2:]), value)

    def unpad(self, x: Array, height: int, width: int) -> Array:
        """The inner (N, C, H, W) of a padded array, a view."""
        top, left = self.padding
        return x[:, :, top : top + height, left : left + width]

    def taps(self, p: int, q: int) -> Iterator[tuple[int, int, tuple[slice, slice]]]:
        """(r, s, where tap (r, s) of all P×Q windows lies in the padded image), in row-major order."""
        for r in range(self.kernel[0]):
            for s in range(self.kernel[1]):
                yield r, s, (self._slice(0, r, p), self._slice(1, s, q))

    def _slice(self, axis: int, tap: int, count: int) -> slice:
        first = tap * self.dilation[axis]
        return slice(first, first + (count - 1) * self.stride[axis] + 1, self.stride[axis])

    def view(self, padded: Array, p: int, q: int) -> Array:
        """All windows of a padded array stored as (N, H, W, C), as a view (N, P, Q, R, S, C). They overlap: only read it."""
        n, _, _, c = padded.shape
        sn, sh, sw, sc = padded.strides
        (r, s), (dh, dw), (uh, uw) = self.kernel, self.dilation, self.stride
        as_strided = array_module(padded).lib.stride_tricks.as_strided
        return as_strided(padded, (n, p, q, r, s, c), (sn, sh * uh, sw * uw, sh * dh, sw * dw, sc))

    @property
    def size(self) -> int:
        """Number of taps, R·S."""
        return self.kernel[0] * self.kernel[1]


def pair(value: Any, name: str, least: int) -> Pair:
    """An int or a pair of ints, each at least `least`, as a pair. Raises ConfigError that names the argument."""
    values = (value, value) if isinstance(value, (int, np.integer)) else tuple(value) if isinstance(value, (tuple, list)) else ()
    if len(values) != 2 or not all(isinstance(v, (int, np.integer)) and v >= least for v in values):
        raise ConfigError(f"{name} must be a whole number ≥ {least}, or a pair of them (rows, columns), but is {value!r}.")
    return int(values[0]), int(values[1])


def geometry(kernel: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False) -> Geometry:
    """A Geometry from ints or pairs, checked."""
    return Geometry(
        pair(kernel, "kernel size", 1), pair(stride, "stride", 1), pair(padding, "padding", 0), pair(dilation, "dilation", 1), ceil_mode
    )


def _examples(rng: np.random.Generator) -> Iterator[tuple[Geometry, tuple[int, ...]]]:
    yield Geometry((3, 3), padding=(1, 1)), (2, 3, 4, 4)
    yield Geometry((2, 3), (2, 1), (0, 1), (2, 1)), (2, 2, 5, 4)
    yield Geometry((1, 2), (3, 2), ceil_mode=True), (1, 1, 5, 5)  # windows with gaps between them


@op
class Im2col(Op):
    """Write every window as a column, so that a convolution becomes a matrix product.

    Shapes     x (N, C, H, W)  →  y (N, C·R·S, P·Q)
    Formula    y[n, (c,r,s), (p,q)] = x̃[n, c, p·stride + r·dilation, q·stride + s·dilation], x̃ is x with zeros around it
    Gradients  y is linear in x. An element of x occurs in several windows; its gradient is the sum over them: Col2im.
    Cost       R·S times x's memory: useful for study and as a definition. Conv2d never builds it whole.
    """

    geometry: Geometry
    linear = ("x",)

    def forward(self, x: Array) -> Array:
        n, c, h, w = x.shape
        p, q = self.geometry.output(h, w)
        windows = self.geometry.view(layout.nhwc(self.geometry.pad(x)), p, q)  # (N, P, Q, R, S, C)
        return windows.transpose(0, 5, 3, 4, 1, 2).reshape(n, c * self.geometry.size, p * q)

    def grad_x(self, gy: Any, x_shape: tuple[int, ...]) -> Any:
        return Col2im(self.geometry, x_shape)(gy)

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        for g, shape in _examples(rng):
            yield Im2col(g), (rng.standard_normal(shape),)


@op
class Col2im(Op):
    """The adjoint of Im2col: add every column back to where its window lies.

    Shapes     u (N, C·R·S, P·Q)  →  y (N, C, H, W) = shape
    Gradients  The transpose of a transpose: Im2col.
    """

    geometry: Geometry
    shape: tuple[int, ...]
    linear = ("u",)

    def forward(self, u: Array) -> Array:
        n, c, h, w = self.shape
        p, q = self.geometry.output(h, w)
        (top, bottom), (left, right) = self.geometry.margins(h, w)
        out = layout.zeros((n, c, h + top + bottom, w + left + right), u)
        columns = u.reshape(n, c, *self.geometry.kernel, p, q)
        for r, s, (rows, cols) in self.geometry.taps(p, q):
            out[:, :, rows, cols] += columns[:, :, r, s]
        return self.geometry.unpad(out, h, w)

    def grad_u(self, gy: Any) -> Any:
        return Im2col(self.geometry)(gy)

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        for g, shape in _examples(rng):
            p, q = g.output(*shape[2:])
            yield Col2im(g, shape), (rng.standard_normal((shape[0], shape[1] * g.size, p * q)),)


def im2col(x: Any, kernel: Any, *, stride: Any = 1, padding: Any = 0, dilation: Any = 1) -> Any:
    """All windows of x (N, C, H, W) as columns (N, C·R·S, P·Q); arguments are ints or pairs. torch: `unfold`."""
    if x.ndim != 4:
        raise ShapeError(f"{where('im2col')} needs images (N, C, H, W), but got {x.shape}.")
    return Im2col(geometry(kernel, stride, padding, dilation))(x)


def col2im(columns: Any, shape: tuple[int, ...], kernel: Any, *, stride: Any = 1, padding: Any = 0, dilation: Any = 1) -> Any:
    """Columns (N, C·R·S, P·Q) added back into an image batch of `shape` (N, C, H, W). torch: `fold`."""
    g = geometry(kernel, stride, padding, dilation)
    p, q = g.output(*shape[2:])
    expected = (shape[0], shape[1] * g.size, p * q)
    if columns.shape != expected:
        raise ShapeError(f"col2im to {shape} with {p}×{q} windows needs columns of shape {expected}, but they are {columns.shape}.")
    return Col2im(g, tuple(shape))(columns)
