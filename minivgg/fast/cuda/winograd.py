"""Winograd's convolution F(4×4, 3×3) on the card: stride 1, dilation 1, padding up to 2, strict float32 (and float64).

The algorithm is derived in `fast/cpu/winograd`, its points and their rounding errors in `fast/cpu/winograd_points`; the transforms are
kernels (winograd.cu), and between them stand 36 matrix products, one for each place of a tile. With T tiles of 4×4 outputs:

    y    V (36, T, C) @ U (36, C, K), transformed back, plus bias, rectified: one pass
    gx   the same with gy for images, and filters turned by 180°, their channel axes exchanged
    gw   Vᵀ (36, C, T) @ Ṁ (36, T, K), Ṁ = A gy Aᵀ, transformed back

Work. 36 multiply-adds for each tile and pair of channels, where the definition has 16·9 = 144: a quarter. Bytes. V and M (or Ṁ) are
written once and read once, 72 numbers a tile for each of the C + K channels: with C = K the products have C/8 operations a byte of
float32, so at 67 TFLOP/s and 4.3 TB/s they take longer than the memory from C = 128 on. im2col's columns move 2·9·16 = 288 numbers a
tile and channel, twice as many as V and M together, for four times the work; that holds for y and gx as for gw, so all three are
computed this way.

The filters' gradient is a sum over all tiles. It is cut into groups, so that products fill a card where channels are few:
(groups · 36, C, length) @ (groups · 36, length, K). A transform writes V transposed at once, since CuPy copies transposed operands of
3-D products, which would move V twice more. Groups are added up in double, in their order.

Memory is bounded: pieces of the batch, see `pieces`.

Errors: at most 4e-6 of the result in the L2 norm, for unit-variance data in float32 with 16 to 512 channels.

See  Lavin & Gray 2015, arXiv:1509.09308.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend.arrays import Array, array_module
from ..problem import Problem
from .columns import flipped, turned
from .gemm import batched
from .pieces import pieces
from .program import Program, grid, stored_type

__all__ = ["forward", "image_gradient", "serves", "weight_gradient"]

_PROGRAM = Program("winograd.cu", STORED=("float", "double"))
_M = 4  # outputs of a tile, down and across
_PLACES = 36
_SIDE = 8  # tiles that a block writes side by side: groups are multiples of it
_BLOCKS = 264  # blocks of 128×128 results that keep an H100's 132 multiprocessors at work; groups make up for a lack of them


def serves(problem: Problem, dtype: Any) -> bool:
    """Whether this algorithm can convolve: 3×3, stride 1, dilation 1, padding 0 to 2, float32 or float64."""
    g = problem.geometry
    return (g.kernel, g.stride, g.dilation) == ((3, 3), (1, 1), (1, 1)) and max(g.padding) <= 2 and np.dtype(dtype).char in "fd"


def forward(x: Array, w: Array, problem: Problem, bias: Array | None = None, relu: bool = False) -> Array:
    """y (N, P, Q, K) of images x (N, H, W, C) and filters w (3, 3, C, K), plus the bias (K,), rectified if `relu`."""
    xp, k = array_module(x, w), problem.k
    u, y = _filters(w), xp.empty((problem.n, *problem.output, k), x.dtype)
    for images in pieces(problem.n, _bytes(problem, x.dtype)):
        tiles = (images.stop - images.start) * _tiles(problem)
        v = xp.empty((_PLACES, tiles, problem.c), x.dtype)
        sizes = (tiles, problem.c, *problem.size, *_grid(problem), *problem.geometry.padding)
        _launch("winograd_images", tiles * problem.c, x[images], v, *sizes)
        products, part = batched(v, u), y[images]
        biased = bias is not None
        ending = (bias if biased else u, part, biased, relu)
        _launch("winograd_outputs", tiles * k, products, *ending, tiles, k, *problem.output, *_grid(problem))
    return y


def image_gradient(gy: Array, w: Array, problem: Problem) -> Array:
    """gx (N, H, W, C) of gy (N, P, Q, K) and filters w (3, 3, C, K)."""
    other = turned(problem)
    assert other is not None
    return forward(gy, flipped(w), other)


def weight_gradient(gy: Array, x: Array, problem: Problem) -> Array:
    """gw (3, 3, C, K) of gy (N, P, Q, K) and images x (N, H, W, C)."""
    xp, (c, k), padding = array_module(gy, x), (problem.c, problem.k), problem.geometry.padding
    gw = xp.empty((3, 3, c, k), x.dtype)
    for images in pieces(problem.n, _bytes(problem, x.dtype)):
        tiles = (images.stop - images.start) * _tiles(problem)
        groups, length = _groups(tiles, problem)
        v, m = (xp.empty((groups * _PLACES, *shape), x.dtype) for shape in ((c, length), (length, k)))
        blocks = groups * length // _SIDE * -(-c // 32)
        sizes = (tiles, length, c, *problem.size, *_grid(problem), *padding)
        _PROGRAM.launch("winograd_images_turned", blocks, 256, x[images], v, *sizes, STORED=stored_type(x))
        rows = groups * length
        _launch("winograd_gradients", rows * k, gy[images], m, tiles, rows, length, k, *problem.output, *_grid(problem))
        _launch("winograd_filter_gradient", c * k, batched(v, m), gw, c * k, groups, images.start > 0)
    return gw


def _filters(w: Array) -> Array:
    """U (36, C, K)."""
    _, _, c, k = w.shape
    u = array_module(w).empty((_PLACES, c, k), w.dtype)
    _launch("winograd_filters", c * k, w, u, c * k)
    return u


def _grid(problem: Problem) -> tuple[int, int]:
    """The tiles of an image's outputs, down and across."""
    p, q = problem.output
    return -(-p // _M), -(-q // _M)


def _tiles(problem: Problem) -> int:
    """The tiles of an image."""
    down, across = _grid(problem)
    return down * across


def _bytes(problem: Problem, dtype: Any) -> int:
    """Of one image's transformed tiles and their products."""
    return _PLACES * _tiles(problem) * (problem.c + problem.k) * int(np.dtype(dtype).itemsize)


def _groups(tiles: int, problem: Problem) -> tuple[int, int]:
    """(groups, length): so many sums of so many tiles; a length is a multiple of _SIDE, and 64 at least where there are as many."""
    blocks = _PLACES * -(-problem.c // 128) * -(-problem.k // 128)
    wanted = max(min(-(-_BLOCKS // blocks), tiles // 64), 1)
    length = -(-tiles // wanted // _SIDE) * _SIDE
    return -(-tiles // length), length


def _launch(function: str, threads: int, *arguments: Any) -> None:
    """A kernel over `threads` tiles' channels, or pairs of channels."""
    _PROGRAM.launch(function, grid(threads), 256, *arguments, STORED=stored_type(arguments[0]))
