"""Channels-last storage beneath an (N, C, H, W) shape.

Every image batch has the shape (N, C, H, W). How its numbers lie in memory is told by the strides alone.
On the CPU the ops store them as (N, H, W, C): a pixel's channels are neighbours, so that a convolution
is a matrix product over contiguous rows. `nhwc` and `as_nchw` are the way in and out; the other functions
make new arrays that keep this storage, where `np.pad`, `np.zeros_like` or `x.copy()` might lose it.

Filters have the shape (K, C, R, S) and are stored as (R, S, C, K): tap by tap a matrix from C channels to K, all taps together one
matrix (R·S·C, K). `rsck` and `as_kcrs` are the way in and out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .arrays import Array, array_module
from .substitutes import substituted

__all__ = ["as_kcrs", "as_nchw", "empty", "mask_like", "nhwc", "outer_first", "pad", "rsck", "zeros"]


def nhwc(x: Array) -> Array:
    """x (N, C, H, W) as a contiguous array (N, H, W, C); no copy if it is stored so already."""
    return array_module(x).ascontiguousarray(x.transpose(0, 2, 3, 1))


def as_nchw(x: Array) -> Array:
    """x (N, H, W, C) seen as (N, C, H, W); never a copy."""
    return x.transpose(0, 3, 1, 2)


def rsck(w: Array) -> Array:
    """w (K, C, R, S) as a contiguous array (R, S, C, K); no copy if it is stored so already."""
    return array_module(w).ascontiguousarray(w.transpose(2, 3, 1, 0))


def as_kcrs(w: Array) -> Array:
    """w (R, S, C, K) seen as (K, C, R, S); never a copy."""
    return w.transpose(3, 2, 0, 1)


def outer_first(x: Array) -> list[int]:
    """The axes of x in the order of its memory: the one with the longest stride first."""
    return sorted(range(x.ndim), key=lambda axis: -x.strides[axis])


def empty(shape: tuple[int, int, int, int], like: Array) -> Array:
    """An uninitialised (N, C, H, W) array, stored channels-last, of `like`'s library and dtype."""
    n, c, h, w = shape
    return as_nchw(array_module(like).empty((n, h, w, c), like.dtype))


def zeros(shape: tuple[int, int, int, int], like: Array, dtype: Any = None) -> Array:
    """An (N, C, H, W) array of zeros, stored channels-last, of `like`'s library, and its dtype unless one is given."""
    n, c, h, w = shape
    return as_nchw(array_module(like).zeros((n, h, w, c), dtype or like.dtype))


def pad(x: Array, rows: tuple[int, int], columns: tuple[int, int], value: float = 0.0) -> Array:
    """x (N, C, H, W) with `rows` and `columns` of `value` (before, after) around each image; x itself if none."""
    if not any((*rows, *columns)):
        return x
    n, c, h, w = x.shape
    (top, bottom), (left, right) = rows, columns
    out = zeros((n, c, h + top + bottom, w + left + right), x) if value == 0 else empty((n, c, h + top + bottom, w + left + right), x)
    if value != 0:
        out[...] = value
    out[:, :, top : top + h, left : left + w] = x
    return out


def mask_like(x: Array, rng: np.random.Generator, p: float) -> Array:
    """Booleans of x's shape on x's device, False with probability p: whether a uniform float32 number in [0, 1) is at least p.

    The numbers are drawn from `rng` in logical order, for images (N, H, W, C), so that neither x's strides nor its device can
    change them. The substitute "draws"(xp, rng, shape, p) may make the mask where it is needed; it gives None for a generator that
    it does not know, and then the host draws.
    """
    xp, images = array_module(x), x.ndim == 4
    shape = tuple(x.shape[axis] for axis in (0, 2, 3, 1)) if images else tuple(x.shape)
    draw = substituted("draws", xp)
    mask = draw(xp, rng, shape, float(p)) if draw else None
    if mask is None:
        mask = xp.asarray(rng.random(shape, dtype=np.float32) >= float(p))
    return as_nchw(mask) if images else mask
