"""Max pooling: a selection, and the adjoint pair that selects and puts back."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.op import Op, op
from ..backend import layout
from ..backend.arrays import Array, array_module
from .pooling import examples, pool_geometry
from .reductions import max as max_over
from .shaping import pad as pad_with
from .windows import Geometry, Im2col

__all__ = ["MaxPool2d", "PoolGather", "PoolScatter", "max_pool2d"]

Shape4 = tuple[int, ...]  # (N, C, H, W)


@op
class MaxPool2d(Op):
    """The largest value of each window.

    Shapes     x (N, C, H, W)  →  y (N, C, P, Q); the sizes are a convolution's
    Formula    y[n,c,p,q] = max_{r,s} x̃[n, c, p·stride + r, q·stride + s], x̃ is x with −∞ around it
    Gradients  Where the winners are is constant around x, so y is a selection of x: PoolGather. Its transpose sends
               gy to the winners: PoolScatter. One byte per window says which tap won; x itself is not kept.
    Kinks      At a tie the first tap in row-major order wins, as in torch. NaN goes through.
    Cost       R·S comparisons per window.
    """

    geometry: Geometry

    def forward(self, x: Array) -> Array:
        g, xp = self.geometry, array_module(x)
        p, q = g.output(*x.shape[2:])
        padded = g.pad(x, -np.inf)
        taps = [padded[:, :, rows, cols] for _, _, (rows, cols) in g.taps(p, q)]
        y = layout.empty((*x.shape[:2], p, q), x)
        y[...] = taps[0]
        for tap in taps[1:]:
            xp.maximum(y, tap, out=y)
        self.winners = xp.zeros_like(y, dtype=np.uint8 if len(taps) <= 256 else np.uint32)
        for i in reversed(range(1, len(taps))):  # the first tap that equals the maximum is written last
            xp.copyto(self.winners, self.winners.dtype.type(i), where=taps[i] == y)
        self.winners *= taps[0] != y
        return y

    def grad_x(self, gy: Any, x_shape: Shape4) -> Any:
        return PoolScatter(self.geometry, x_shape)(gy, self.winners)

    def decisions(self) -> Array:
        return self.winners

    def definition(self, x: Any) -> Any:
        g, (n, c, h, w) = self.geometry, x.shape
        p, q = g.output(h, w)
        padded = pad_with(x, ((0, 0), (0, 0), *g.margins(h, w)), -np.inf)
        columns = Im2col(Geometry(g.kernel, g.stride, (0, 0), g.dilation))(padded)
        return max_over(columns.reshape((n, c, g.size, p * q)), 2).reshape((n, c, p, q))

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        for g, shape in examples():
            yield MaxPool2d(g), (rng.permutation(np.prod(shape)).reshape(shape) * 0.1 + rng.uniform(0.0, 0.05, shape),)


@op
class PoolGather(Op):
    """Take the winners: y = Sx, where S selects one element of x for each window.

    Shapes     x (N, C, H, W)  winners (N, C, P, Q), indices of taps  →  y (N, C, P, Q)
    Gradients  Linear in x; the transpose of S is PoolScatter.
    """

    geometry: Geometry
    linear = ("x",)

    def forward(self, x: Array, winners: Array) -> Array:
        padded = self.geometry.pad(x)
        y = layout.zeros(winners.shape, x)
        for i, (_, _, (rows, cols)) in enumerate(self.geometry.taps(*winners.shape[2:])):
            y += padded[:, :, rows, cols] * (winners == i)
        return y

    def grad_x(self, gy: Any, winners: Array, x_shape: Shape4) -> Any:
        return PoolScatter(self.geometry, x_shape)(gy, winners)

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        for op_, (x,) in MaxPool2d.examples(rng):
            call = op_.run(x)[1]
            yield PoolGather(op_.geometry), (rng.standard_normal(x.shape), call.winners)


@op
class PoolScatter(Op):
    """Send u to the winners: y = Sᵀu, zero elsewhere. Tap by tap, as a sum of slices: the same bits every time.

    Shapes     u, winners (N, C, P, Q)  →  y (N, C, H, W) = shape
    Gradients  Linear in u; the transpose of Sᵀ is PoolGather.
    """

    geometry: Geometry
    shape: Shape4
    linear = ("u",)

    def forward(self, u: Array, winners: Array) -> Array:
        n, c, h, w = self.shape
        (top, bottom), (left, right) = self.geometry.margins(h, w)
        y = layout.zeros((n, c, h + top + bottom, w + left + right), u)
        for i, (_, _, (rows, cols)) in enumerate(self.geometry.taps(*winners.shape[2:])):
            y[:, :, rows, cols] += u * (winners == i)
        return self.geometry.unpad(y, h, w)

    def grad_u(self, gy: Any, winners: Array) -> Any:
        return PoolGather(self.geometry)(gy, winners)

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        for op_, (x,) in MaxPool2d.examples(rng):
            call = op_.run(x)[1]
            yield PoolScatter(op_.geometry, x.shape), (rng.standard_normal(call.winners.shape), call.winners)


def max_pool2d(x: Any, size: Any = 2, *, stride: Any = None, padding: Any = 0, ceil_mode: bool = False) -> Any:
    """The largest value of each window of x (N, C, H, W); stride defaults to size, padding counts as −∞."""
    return MaxPool2d(pool_geometry(x, size, stride, padding, ceil_mode))(x)
