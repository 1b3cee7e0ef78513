"""Convolution tap by tap, for images of a few pixels: only products with pixels that are there.

Tap (r, s) of all windows sees a rectangle of the image; in padding it sees zeros, which are left out. So

    y[rectangle of outputs] += x[rectangle of the image] @ w[r, s]      for each tap

is the convolution, with N·(pixels in the rectangle) rows in each product. A 2×2 image with padding 1 has 16 pairs of pixel
and tap, where columns have 36 and F(2×2, 3×3) has 16 products, too, but must transform 16·C·K filters.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ...backend import memory
from ...backend.arrays import Array
from ...backend.threads import run, split
from ..problem import Problem
from .ending import Ending, Upstream

__all__ = ["forward", "gradients", "pairs"]

_BLOCK = 128  # channels of the result that a thread computes at a time

Rectangle = tuple[slice, slice]


def _one_axis(size: int, count: int, tap: int, stride: int, padding: int) -> tuple[slice, slice]:
    """(outputs, pixels): the outputs whose tap, at distance `tap` from a window's start, lies in the image, and where."""
    first = max(-(-(padding - tap) // stride), 0)
    last = min((size - 1 + padding - tap) // stride, count - 1)
    if last < first:
        return slice(0, 0), slice(0, 0)
    start = first * stride + tap - padding
    return slice(first, last + 1), slice(start, start + (last - first) * stride + 1, stride)


@lru_cache(maxsize=256)
def _rectangles(problem: Problem) -> tuple[tuple[int, int, Rectangle, Rectangle], ...]:
    """(r, s, outputs, pixels) for each tap that sees any pixel."""
    g, (p, q), (h, w), found = problem.geometry, problem.output, problem.size, []
    for r in range(g.kernel[0]):
        rows, lines = _one_axis(h, p, r * g.dilation[0], g.stride[0], g.padding[0])
        for s in range(g.kernel[1]):
            cols, columns = _one_axis(w, q, s * g.dilation[1], g.stride[1], g.padding[1])
            if rows.stop > rows.start and cols.stop > cols.start:
                found.append((r, s, (rows, cols), (lines, columns)))
    return tuple(found)


def pairs(problem: Problem) -> int:
    """How many pairs of pixel and tap an image has: the products, in units of C·K."""
    return sum((o[0].stop - o[0].start) * (o[1].stop - o[1].start) for _, _, o, _ in _rectangles(problem))


def _pixels(x: Array, where: Rectangle) -> Array:
    """The pixels of a rectangle of all images as a matrix (N·pixels, C)."""
    part = x[:, where[0], where[1]]
    out = memory.scratch(part.shape, x.dtype)
    out[...] = part
    return out.reshape(-1, x.shape[3])


def _add(y: Array, where: Rectangle, product: Array, block: slice) -> None:
    part = y[:, where[0], where[1], block]
    part += product.reshape(part.shape)


def forward(x: Array, w: Array, problem: Problem, ending: Ending) -> Array:
    """y (N, P, Q, K) from x (N, H, W, C) and filters w (R, S, C, K); each thread computes some of the K."""
    y = memory.empty((problem.n, *problem.output, problem.k), x.dtype)
    rectangles = _rectangles(problem)
    seen = run(lambda entry: _pixels(x, entry[3]), rectangles)

    def part(block: slice) -> None:
        y[..., block] = 0 if ending.bias is None else ending.bias[block]
        for (r, s, outputs, _), pixels in zip(rectangles, seen, strict=True):
            _add(y, outputs, pixels @ w[r, s, :, block], block)
        ending.rectify(y[..., block])

    run(part, split(problem.k, _BLOCK))
    return y


def gradients(upstream: Upstream, x: Array | None, w: Array | None, problem: Problem) -> tuple[Array | None, Array | None]:
    """(gx, gw): gx (N, H, W, C) if filters w (R, S, C, K) are given, gw (R, S, C, K) if images x are given."""
    gy, rectangles = upstream.part(slice(None)), _rectangles(problem)
    arrived = run(lambda entry: _pixels(gy, entry[2]), rectangles)
    gx = gw = None
    if x is not None:
        gw = memory.empty((*problem.geometry.kernel, problem.c, problem.k), gy.dtype)
        if len(rectangles) < problem.geometry.size:
            gw[...] = 0  # taps that see no pixel

        def tap(i: int) -> None:
            r, s, _, where = rectangles[i]
            np.matmul(_pixels(x, where).T, arrived[i], out=gw[r, s])

        run(tap, range(len(rectangles)))
    if w is not None:
        gx = memory.empty((problem.n, *problem.size, problem.c), gy.dtype)

        def part(block: slice) -> None:
            gx[..., block] = 0
            for (r, s, _, where), rows in zip(rectangles, arrived, strict=True):
                _add(gx, where, rows @ w[r, s, block].T, block)

        run(part, split(problem.c, _BLOCK))
    return gx, gw
