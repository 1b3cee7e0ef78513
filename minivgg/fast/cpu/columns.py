"""Convolution over im2col's columns, tile by tile, on all threads: for every geometry.

The formulas are those of `ops.columns`. Here the tiles are shared out among threads, each copies its columns into memory that stays in its
cache, and the tile's result is finished (bias, rectifier) before it leaves.
"""

from __future__ import annotations

import math

import numpy as np

from ...backend import memory
from ...backend.arrays import Array
from ...backend.threads import run, split
from ...ops.windows import Geometry
from ..problem import Problem
from .bands import LANES, Band, bands
from .ending import Ending, Upstream

__all__ = ["forward", "gradients"]

_TILE = 1 << 19  # bytes of columns in a tile


def _tiles(images: slice, problem: Problem, itemsize: int) -> list[Band]:
    """Whole images, or some rows of the output of one, with about _TILE bytes of columns."""
    p, q = problem.output
    return bands(images, p, q * problem.geometry.size * problem.c * itemsize, _TILE)


def _padded(x: Array, problem: Problem) -> Array:
    """Images with zeros around them."""
    (top, bottom), (left, right) = problem.geometry.margins(*problem.size)
    if not any((top, bottom, left, right)):
        return x
    (n, h, w, c) = x.shape
    out = memory.scratch((n, h + top + bottom, w + left + right, c), x.dtype)

    def part(images: slice) -> None:
        whole = out[images]
        whole[:, :top] = 0
        whole[:, top + h :] = 0
        whole[:, top : top + h, :left] = 0
        whole[:, top : top + h, left + w :] = 0
        whole[:, top : top + h, left : left + w] = x[images]

    run(part, split(n, _TILE // max(h * w * c * x.itemsize, 1)))
    return out


def _columns(view: Array, tile: Band) -> Array:
    """A tile's windows, from all windows (N, P, Q, R, S, C), as a matrix (windows, R·S·C)."""
    windows = view[tile]
    rows, width = math.prod(windows.shape[:3]), math.prod(windows.shape[3:])
    if windows.shape[3:5] == (1, 1) and windows.flags.c_contiguous:
        return windows.reshape(rows, width)  # 1×1, stride 1: the image's own pixels
    out = memory.scratch(windows.shape, view.dtype)
    out[...] = windows
    return out.reshape(rows, width)


def forward(x: Array, w: Array, problem: Problem, ending: Ending) -> Array:
    """y (N, P, Q, K) from x (N, H, W, C) and filters w (R, S, C, K): columns @ w."""
    matrix = w.reshape(-1, problem.k)
    view = problem.geometry.view(_padded(x, problem), *problem.output)
    y = memory.empty((problem.n, *problem.output, problem.k), x.dtype)

    def part(tile: Band) -> None:
        out = y[tile].reshape(-1, problem.k)
        np.matmul(_columns(view, tile), matrix, out=out)
        ending.add(out)

    run(part, _tiles(slice(0, problem.n), problem, x.itemsize))
    return y


def _turned(problem: Problem) -> Problem | None:
    """The convolution of gy whose result is gx, if there is one and it is the smaller work.

    Of all windows that hold x̃[i], the one at p holds it at tap r = (i − p)/dilation, so with stride 1
    gx̃[i] = Σ_r gy[i − r·dilation]·w[r]: a sum over a window of gy, with the filter turned by 180° and its two channel axes
    exchanged. What the transpose adds into overlapping places, this gathers: each result is written once. Up to 4×4 outputs most
    of a window is padding, and adding is less work.
    """
    g = problem.geometry
    padding = tuple(d * (r - 1) - p for d, r, p in zip(g.dilation, g.kernel, g.padding, strict=True))
    if g.stride != (1, 1) or min(padding) < 0 or min(problem.output) <= 4 or g.size == 1:
        return None
    return Problem(problem.n, problem.output, problem.k, problem.c, Geometry(g.kernel, (1, 1), padding, g.dilation))  # type: ignore[arg-type]


def gradients(upstream: Upstream, x: Array | None, w: Array | None, problem: Problem) -> tuple[Array | None, Array | None]:
    """(gx, gw): gx (N, H, W, C) if filters w (R, S, C, K) are given, gw (R, S, C, K) if images x are given.

    gw = Σ columnsᵀ @ gy. gx: a tile's gy @ wᵀ, added to where its windows lie, image by image in the order of the tiles; or, with
    stride 1, a convolution of gy (see `_turned`).
    """
    if w is not None and (turned := _turned(problem)) is not None:
        flipped = np.ascontiguousarray(w[::-1, ::-1].transpose(0, 1, 3, 2))
        gx = forward(upstream.part(slice(None)), flipped, turned, Ending())
        return gx, gradients(upstream, x, None, problem)[1]
    g, (n, c, k), dtype = problem.geometry, (problem.n, problem.c, problem.k), upstream.gy.dtype
    (top, bottom), (left, right) = g.margins(*problem.size)
    h, wide = problem.size
    view = None if x is None else g.view(_padded(x, problem), *problem.output)
    matrix = None if w is None else w.reshape(-1, k)
    gx = None if w is None else memory.empty((n, h + top + bottom, wide + left + right, c), dtype)

    def lane(images: slice) -> Array | None:
        total = None if view is None else np.zeros((g.size * c, k), dtype)
        if gx is not None:
            gx[images] = 0
        for tile in _tiles(images, problem, dtype.itemsize):
            part = upstream.part(*tile)
            rows = part.reshape(-1, k)
            if total is not None and view is not None:
                total += _columns(view, tile).T @ rows
            if matrix is not None and gx is not None:
                columns = memory.scratch((len(rows), g.size * c), dtype)
                np.matmul(rows, matrix.T, out=columns)
                places = columns.reshape(*part.shape[:3], *g.kernel, c)
                whole = gx[tile[0], tile[1].start * g.stride[0] :]
                for r, s, (lines, cols) in g.taps(part.shape[1], part.shape[2]):
                    whole[:, lines, cols] += places[:, :, :, r, s]
        return total

    sums = run(lane, split(n, -(-n // LANES)))
    gw = None
    if view is not None:
        gw = np.zeros((g.size * c, k), dtype)
        for total in sums:
            gw += total
        gw = gw.reshape(*g.kernel, c, k)
    return (None if gx is None else gx[:, top : top + h, left : left + wide]), gw
