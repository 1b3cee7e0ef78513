"""Convolution's three products over im2col's columns, a few MB of columns at a time.

Whole columns would take R·S times the images' memory: 110 MB for one image of 224×224 with 64 channels. Tiles of a few
MB stay in the cache, are overwritten by the next, and are never kept. Tiles depend on shapes alone, and their sums run
in a fixed order; within a tile the order is that of the library's matrix product. Of half precision the products are, and the sums over
tiles and taps are float32.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..backend import layout
from ..backend.arrays import Array, array_module, wide
from .windows import Geometry

__all__ = ["convolve", "correlate", "scatter_columns"]

_TILE_BYTES = 2 << 20


def _tiles(view: Array) -> Iterator[tuple[slice, slice]]:
    """Cut windows (N, P, Q, R, S, C) into whole images, or rows of one image, of about _TILE_BYTES each."""
    n, p, *rest = view.shape
    row = max(math.prod(rest) * view.itemsize, 1)
    images = max(_TILE_BYTES // (row * max(p, 1)), 1)
    rows = p if images > 1 else max(min(_TILE_BYTES // row, p), 1)
    for i in range(0, n, images):
        for j in range(0, p, max(rows, 1)):
            yield slice(i, i + images), slice(j, j + rows)


def _matrix(w: Array) -> Array:
    """A kernel (K, C, R, S) as a matrix (R·S·C, K): a view, if it is stored tap by tap."""
    return layout.rsck(w).reshape(-1, w.shape[0])


def _columns(view: Array, tile: tuple[slice, slice], buffer: Array) -> Array:
    """The windows of one tile, copied to the start of `buffer` as a matrix (windows, R·S·C)."""
    windows = view[tile]
    columns = buffer[: windows.size].reshape(windows.shape)
    columns[...] = windows
    return columns.reshape(-1, math.prod(windows.shape[3:]))


def _buffer(view: Array) -> Array:
    largest = max((view[tile].size for tile in _tiles(view)), default=0)
    return array_module(view).empty(largest, view.dtype)


def convolve(x: Array, w: Array, b: Array | None, g: Geometry) -> Array:
    """y[n,p,q,k] = Σ columns[(n,p,q), (r,s,c)] · w[(r,s,c), k] + b[k], tile by tile."""
    xp = array_module(x, w)
    p, q = g.output(*x.shape[2:])
    matrix = _matrix(w)  # (R·S·C, K)
    view = g.view(layout.nhwc(g.pad(x)), p, q)  # (N, P, Q, R, S, C)
    out = xp.empty((x.shape[0], p, q, w.shape[0]), x.dtype)
    buffer = _buffer(view)
    for tile in _tiles(view):
        part = out[tile].reshape(-1, w.shape[0])  # (windows, K), a view: tiles are contiguous
        xp.matmul(_columns(view, tile, buffer), matrix, out=part)
        if b is not None:
            part += b
    return layout.as_nchw(out)


def scatter_columns(u: Array, w: Array, shape: tuple[int, ...], g: Geometry) -> Array:
    """gx̃ = Σ over windows of u · w, each tile's columns added back to where their windows lie."""
    xp = array_module(u, w)
    n, c, h, columns = shape
    p, q = u.shape[2:]
    (top, bottom), (left, right) = g.margins(h, columns)
    out = xp.zeros((n, h + top + bottom, columns + left + right, c), wide(u.dtype))
    rows, matrix = layout.nhwc(u), _matrix(w).T
    view = g.view(out, p, q)
    for tile in _tiles(view):
        part = rows[tile]  # (images, rows of windows, Q, K)
        values = (part.reshape(-1, w.shape[0]) @ matrix).reshape(*part.shape[:3], *g.kernel, c)
        images = out[tile[0], tile[1].start * g.stride[0] :]
        for r, s, (lines, cols) in g.taps(part.shape[1], q):
            images[:, lines, cols] += values[:, :, :, r, s]
    return g.unpad(layout.as_nchw(out.astype(u.dtype, copy=False)), h, columns)


def correlate(u: Array, x: Array, shape: tuple[int, ...], g: Geometry) -> Array:
    """gw[(r,s,c), k] = Σ_{n,p,q} columns[(n,p,q), (r,s,c)] · u[(n,p,q), k], summed tile by tile in a fixed order."""
    xp = array_module(u, x)
    k, c, r, s = shape
    p, q = u.shape[2:]
    view = g.view(layout.nhwc(g.pad(x)), p, q)
    rows = layout.nhwc(u)  # (N, P, Q, K)
    out, buffer = xp.zeros((r * s * c, k), wide(x.dtype)), _buffer(view)
    for tile in _tiles(view):
        out += _columns(view, tile, buffer).T @ rows[tile].reshape(-1, k)
    return layout.as_kcrs(out.astype(x.dtype, copy=False).reshape(r, s, c, k))
