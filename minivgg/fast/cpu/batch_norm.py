"""Batch norm, with and without the rectifier behind it, in two passes over memory: blocks that fit the cache, on all threads.

A block is some rows of W·C numbers; a channel's constant is repeated W times beforehand, so that a pass runs over long rows. All
passes over a block happen while it is near. The statistics of all blocks are joined exactly: with block b's count m_b, mean μ_b
and M_b = Σ(x − μ_b)², the whole has μ = Σ m_b·μ_b / m and Σ(x − μ)² = Σ M_b + Σ m_b·(μ_b − μ)² (Chan, Golub & LeVeque 1983).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...backend import layout, memory
from ...backend.arrays import Array
from ...backend.threads import run, split
from ...ops.batch_norm import BatchNorm, ChannelAffine
from ...ops.batch_norm_relu import BatchNormRelu
from ..overlay import kernel
from .channel_sum import row_sums

__all__ = ["affine", "backward", "backward_relu", "forward", "forward_relu", "statistics"]

_BLOCK = 1 << 21  # bytes of one array that a thread takes at a time


class _Rows:
    """Images (N, C, H, W) as rows of W·C numbers, cut into blocks."""

    def __init__(self, x: Array) -> None:
        n, self.c, h, self.w = self.shape = x.shape
        self.array = layout.nhwc(x).reshape(n * h, self.w * self.c)
        self.blocks = split(n * h, _BLOCK // (self.w * self.c * x.itemsize))

    def repeat(self, v: Array) -> Array:
        """A channel's constants (C,) for each number of a row."""
        return np.tile(v, self.w)

    def images(self, rows: Array) -> Array:
        """Rows as images again."""
        n, c, h, w = self.shape
        return layout.as_nchw(rows.reshape(n, h, w, c))

    def sums(self, block: Array) -> Array:
        """Σ over a block's pixels for each channel: (1, C)."""
        return row_sums(block.reshape(-1, self.c))


def _serves(call: Any, x: Array, *rest: Array) -> bool:
    return x.ndim == 4 and x.size > 0 and x.dtype.char in "fd"


def statistics(x: Array) -> tuple[Array, Array]:
    """Mean and biased variance (C,) of each channel of x (N, C, H, W), in one pass."""
    rows = _Rows(x)

    def part(block: slice) -> tuple[int, Array, Array]:
        values = rows.array[block]
        count = values.size // rows.c
        mean = rows.sums(values)[0] / x.dtype.type(count)
        centred = values - rows.repeat(mean)
        np.multiply(centred, centred, out=centred)
        return count, mean, rows.sums(centred)[0]

    counts, means, squares = zip(*run(part, rows.blocks), strict=True)
    shares = np.array(counts, x.dtype)[:, None] / x.dtype.type(sum(counts))
    mean = (shares * np.stack(means)).sum(axis=0)
    between = (shares * (np.stack(means) - mean) ** 2).sum(axis=0)
    return mean, np.stack(squares).sum(axis=0) / x.dtype.type(sum(counts)) + between


def normalise(call: Any, x: Array, gamma: Array, beta: Array, relu: bool) -> Array:
    """The forward pass of both ops."""
    call.mean, call.variance = statistics(x)
    return _affine(x, call.mean, gamma / np.sqrt(call.variance + call.eps), beta, relu)


def _affine(x: Array, mean: Array | None, scale: Array, shift: Array, relu: bool) -> Array:
    """(x − mean)·scale + shift for each channel, rectified if `relu`."""
    rows = _Rows(x)
    out = memory.empty(rows.array.shape, x.dtype)
    means, scales, shifts = None if mean is None else rows.repeat(mean), rows.repeat(scale), rows.repeat(shift)

    def part(block: slice) -> None:
        y = out[block]
        if means is None:
            np.multiply(rows.array[block], scales, out=y)
        else:
            np.subtract(rows.array[block], means, out=y)
            y *= scales
        y += shifts
        if relu:
            np.maximum(y, 0, out=y)

    run(part, rows.blocks)
    return rows.images(out)


@kernel(BatchNorm, "forward", "numpy", bound=1e-5, when=_serves)
def forward(call: Any, x: Array, gamma: Array, beta: Array) -> Array:
    """The op's operations on each element; only the statistics are summed in another order: a few ulp."""
    return normalise(call, x, gamma, beta, relu=False)


@kernel(BatchNormRelu, "forward", "numpy", bound=1e-5, when=_serves)
def forward_relu(call: Any, x: Array, gamma: Array, beta: Array) -> Array:
    """The op's operations on each element; only the statistics are summed in another order: a few ulp."""
    return normalise(call, x, gamma, beta, relu=True)


@kernel(ChannelAffine, "forward", "numpy", bound=1e-6, when=_serves)
def affine(call: Any, x: Array, a: Array, b: Array) -> Array:
    """The op's operations on each element in the op's order."""
    return _affine(x, None, a, b, relu=False)


@kernel(BatchNorm, "backward", "numpy", bound=1e-5, when=lambda call, gy: _serves(call, gy))
def backward(call: Any, gy: Array, saved: dict[str, Array], shapes: Sequence[Any], wanted: Sequence[bool]) -> list[Array | None]:
    """[gx, gγ, gβ]. The same sums as the rules', in another order: a few ulp."""
    return gradients(call, gy, saved, wanted, relu=False)


@kernel(BatchNormRelu, "backward", "numpy", bound=1e-5, when=lambda call, gy: _serves(call, gy))
def backward_relu(call: Any, gy: Array, saved: dict[str, Array], shapes: Sequence[Any], wanted: Sequence[bool]) -> list[Array | None]:
    """[gx, gγ, gβ]. The same sums as the rules', in another order: a few ulp."""
    return gradients(call, gy, saved, wanted, relu=True)


def gradients(call: Any, gy: Array, saved: dict[str, Array], wanted: Sequence[bool], relu: bool) -> list[Array | None]:
    """[gx, gγ, gβ] of both ops. `saved` has what the wanted rules read; with `relu` x, gamma and beta.

    With d = x − μ, a = γ/s and g = gy, masked by a·d > −β behind the rectifier (y > 0 bit by bit, since rounding keeps a sum's sign):
    gβ = Σ g, gγ = Σ g·d / s, and gx = a·(g − gβ/m) − d·(a·gγ/(s·m)).
    """
    arrived = _Rows(gy)
    if "x" not in saved:  # only gβ, without the rectifier
        return [None, None, np.concatenate(run(lambda block: arrived.sums(arrived.array[block]), arrived.blocks)).sum(axis=0)]
    rows, m, dtype = _Rows(saved["x"]), gy.size // gy.shape[1], gy.dtype.type
    inverse = 1 / np.sqrt(call.variance + call.eps)
    scale = saved["gamma"] * inverse if "gamma" in saved else inverse
    mean, long_scale = rows.repeat(call.mean), rows.repeat(scale)
    threshold = rows.repeat(-saved["beta"]) if relu else None

    def masked(block: slice, d: Array, g: Array) -> Array:
        """d = x − μ; and g, as a copy in the given memory if it is masked."""
        np.subtract(rows.array[block], mean, out=d)
        if threshold is None:
            return arrived.array[block]
        np.multiply(d, long_scale, out=g)
        return np.multiply(arrived.array[block], g > threshold, out=g)

    def summed(block: slice) -> tuple[Array, Array]:
        d, room = (memory.scratch(rows.array[block].shape, gy.dtype) for _ in range(2))
        g = masked(block, d, room)
        d *= g
        return rows.sums(g), rows.sums(d)

    sums, products = zip(*run(summed, rows.blocks), strict=True)
    gbeta, ggamma = np.concatenate(sums).sum(axis=0), np.concatenate(products).sum(axis=0) * inverse
    if not wanted[0]:
        return [None, ggamma if wanted[1] else None, gbeta if wanted[2] else None]
    gx = memory.empty(rows.array.shape, gy.dtype)
    along_one, along_d = rows.repeat(gbeta / dtype(m)), rows.repeat(scale * inverse * ggamma / dtype(m))

    def combined(block: slice) -> None:
        out, d = gx[block], memory.scratch(rows.array[block].shape, gy.dtype)
        np.subtract(masked(block, d, out), along_one, out=out)
        out *= long_scale
        d *= along_d
        out -= d

    run(combined, rows.blocks)
    return [rows.images(gx), ggamma, gbeta]
