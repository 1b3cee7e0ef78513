"""Average pooling over windows, and over a fixed number of cells."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.broadcasting import cast
from ..autograd.mode import where
from ..autograd.op import Op, op
from ..autograd.tensor import Tensor
from ..backend import layout
from ..backend.arrays import Array, array_module, wide
from ..errors import ShapeError
from .matmul import matmul
from .pooling import examples, pool_geometry
from .windows import Geometry, Im2col, pair

__all__ = ["AvgPool2d", "AvgPool2dInput", "adaptive_avg_pool2d", "avg_pool2d"]

Shape4 = tuple[int, ...]  # (N, C, H, W)


@op
class AvgPool2d(Op):
    """The mean of each window, padding included; where ceil_mode lets a window hang over the edge, of its part inside.

    Shapes     x (N, C, H, W)  →  y (N, C, P, Q)
    Formula    y[n,c,p,q] = Σ_{r,s} x̃[n, c, p·stride + r, q·stride + s] / a[p,q],  a[p,q] = R·S but for hanging windows
    Gradients  Linear in x: every element of a window receives gy / a. AvgPool2dInput.
    """

    geometry: Geometry
    linear = ("x",)

    def forward(self, x: Array) -> Array:
        p, q = self.geometry.output(*x.shape[2:])
        padded = self.geometry.pad(x)
        y = layout.zeros((*x.shape[:2], p, q), x, wide(x.dtype))
        for _, _, (rows, cols) in self.geometry.taps(p, q):
            y += padded[:, :, rows, cols]
        y /= _areas(self.geometry, x)
        return y.astype(x.dtype, copy=False)

    def grad_x(self, gy: Any, x_shape: Shape4) -> Any:
        return AvgPool2dInput(self.geometry, x_shape)(gy)

    def definition(self, x: Any) -> Any:
        g, (n, c, h, w) = self.geometry, x.shape
        p, q = g.output(h, w)
        columns = Im2col(g)(x).reshape((n, c, g.size, p * q))
        inside = Im2col(Geometry(g.kernel, g.stride))(_inside(g, h, w)).sum(1)
        return (columns.sum(2) / inside).reshape((n, c, p, q))

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        for g, shape in examples():
            yield AvgPool2d(g), (rng.standard_normal(shape),)


@op
class AvgPool2dInput(Op):
    """The adjoint of AvgPool2d: u / a, repeated over each window.

    Shapes     u (N, C, P, Q)  →  y (N, C, H, W) = shape
    Gradients  Linear in u; the transpose is AvgPool2d.
    """

    geometry: Geometry
    shape: Shape4
    linear = ("u",)

    def forward(self, u: Array) -> Array:
        n, c, h, w = self.shape
        (top, bottom), (left, right) = self.geometry.margins(h, w)
        y = layout.zeros((n, c, h + top + bottom, w + left + right), u)
        share = u / _areas(self.geometry, self.geometry.unpad(y, h, w))
        for _, _, (rows, cols) in self.geometry.taps(*u.shape[2:]):
            y[:, :, rows, cols] += share
        return self.geometry.unpad(y, h, w)

    def grad_u(self, gy: Any) -> Any:
        return AvgPool2d(self.geometry)(gy)

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        for g, shape in examples():
            yield AvgPool2dInput(g, shape), (rng.standard_normal((*shape[:2], *g.output(*shape[2:]))),)


def _inside(g: Geometry, h: int, w: int) -> Any:
    """(1, 1, H̃, W̃): 1 in the image and its padding on both sides, 0 where only a hanging window reaches."""
    margins = g.margins(h, w)
    inner = np.ones((1, 1, h + 2 * g.padding[0], w + 2 * g.padding[1]))
    return layout.pad(inner, (0, margins[0][1] - g.padding[0]), (0, margins[1][1] - g.padding[1]))


def _areas(g: Geometry, x: Array) -> Array:
    """(P, Q): how many taps of each window lie inside the image or its padding."""
    p, q = g.output(*x.shape[2:])
    areas = g.view(layout.nhwc(_inside(g, *x.shape[2:])), p, q).sum((0, 3, 4, 5))
    return array_module(x).asarray(areas, dtype=wide(x.dtype))


def avg_pool2d(x: Any, size: Any = 2, *, stride: Any = None, padding: Any = 0, ceil_mode: bool = False) -> Any:
    """The mean of each window of x (N, C, H, W); stride defaults to size, padding counts as zeros (torch's rule)."""
    return AvgPool2d(pool_geometry(x, size, stride, padding, ceil_mode))(x)


def adaptive_avg_pool2d(x: Any, size: Any) -> Any:
    """Means over P×Q cells, whatever the image's size: cell i covers rows ⌊i·H/P⌋ to ⌈(i+1)·H/P⌉ − 1.

    A cell's mean is linear in rows and in columns: y = A_h x A_wᵀ with two averaging matrices.
    """
    p, q = pair(size, "size", 1)
    if x.ndim != 4 or 0 in x.shape[2:]:
        raise ShapeError(f"{where('adaptive_avg_pool2d')} needs images (N, C, H, W) with H, W ≥ 1, but got {x.shape}.")
    h, w = x.shape[2:]
    if (h, w) == (p, q):
        return x
    if h % p == 0 and w % q == 0:
        return AvgPool2d(Geometry((h // p, w // q), (h // p, w // q)))(x)
    return cast(matmul(matmul(_cells(p, h, x), x), _cells(q, w, x).T), x.dtype)


def _cells(cells: int, size: int, like: Any) -> Array:
    """(cells, size): row i holds 1/length on the elements of cell i."""
    out = np.zeros((cells, size))
    for i in range(cells):
        first, last = i * size // cells, -(-(i + 1) * size // cells)
        out[i, first:last] = 1.0 / (last - first)
    return array_module(like.data if isinstance(like, Tensor) else like).asarray(out, dtype=like.dtype)
