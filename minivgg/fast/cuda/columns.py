"""Convolution over im2col's columns on the card, for every geometry and every number type.

    y    columns @ w                  (N·P·Q, R·S·C) @ (R·S·C, K)
    gw   columnsᵀ @ gy                one long sum over all windows of a piece; the transpose is a view, which cuBLAS reads as it lies
    gx   stride 1: a convolution of gy with the filters turned by 180° and their channel axes exchanged (see `turned`);
         otherwise gy @ wᵀ, columns again, each pixel then summing those that were read there

Columns are made by kernels (columns.cu) for as many images as fit the workspace; a 1×1 kernel with stride 1 needs none. The products are
2-D, so that they run in TF32 or half precision where that is wanted. Bytes of columns: written once and read once, 2·R·S·C numbers
a window, for 2·R·S·C·K operations: K operations a number, so that the products are the larger part from some hundred filters on
(see `choice`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...backend.arrays import Array, array_module
from ...ops.windows import Geometry
from ..problem import Problem
from . import activation
from .gemm import product
from .pieces import pieces
from .program import FLOATS, Program, grid, stored_type

__all__ = ["flipped", "forward", "image_gradient", "turned", "weight_gradient"]

_PROGRAM = Program("columns.cu", STORED=FLOATS)
_VECTOR = 16  # bytes that a thread moves at once, where channels allow


def forward(x: Array, w: Array, problem: Problem, bias: Array | None = None, relu: bool = False) -> Array:
    """y (N, P, Q, K) of images x (N, H, W, C) and filters w (R, S, C, K), plus the bias (K,), rectified if `relu`."""
    y = array_module(x, w).empty((problem.n, *problem.output, problem.k), x.dtype)
    matrix = w.reshape(-1, problem.k)
    for images in pieces(problem.n, _bytes(problem, x.dtype)):
        product(_gather(x[images], problem), matrix, out=y[images].reshape(-1, problem.k))
    if bias is not None or relu:
        activation.add_bias_relu(y.reshape(-1, problem.k), bias, relu)
    return y


def image_gradient(gy: Array, w: Array, problem: Problem) -> Array:
    """gx (N, H, W, C) of gy (N, P, Q, K) and filters w (R, S, C, K)."""
    xp, (n, c, k) = array_module(gy, w), (problem.n, problem.c, problem.k)
    if (other := turned(problem)) is not None:
        return forward(gy, flipped(w), other)
    matrix, gx = w.reshape(-1, k).T, xp.empty((n, *problem.size, c), gy.dtype)
    if _own(problem):
        product(gy.reshape(-1, k), matrix, out=gx.reshape(-1, c))
        return gx
    for images in pieces(n, _bytes(problem, gy.dtype)):
        columns, part = product(gy[images].reshape(-1, k), matrix), gx[images]
        _launch("columns_add", columns, part, part.size // c, problem)
    return gx


def weight_gradient(gy: Array, x: Array, problem: Problem) -> Array:
    """gw (R, S, C, K) of gy (N, P, Q, K) and images x (N, H, W, C). Pieces' sums of half precision are added in float32."""
    total, k = None, problem.k
    wide = np.promote_types(x.dtype, np.float32) if x.dtype.itemsize > 2 else np.dtype(np.float32)
    for images in pieces(problem.n, _bytes(problem, x.dtype)):
        part = product(_gather(x[images], problem).T, gy[images].reshape(-1, k))
        total = part if total is None else total.astype(wide, copy=False) + part
    assert total is not None
    return total.astype(x.dtype, copy=False).reshape(*problem.geometry.kernel, problem.c, k)


def turned(problem: Problem) -> Problem | None:
    """The convolution of gy, with flipped filters, whose result is gx, if there is one.

    Of all windows that hold x̃[i], the one at p holds it at tap r = (i − p)/dilation, so with stride 1
    gx̃[i] = Σ_r gy[i − r·dilation]·w[r]: a sum over a window of gy.
    """
    g = problem.geometry
    padding = tuple(d * (r - 1) - p for d, r, p in zip(g.dilation, g.kernel, g.padding, strict=True))
    if g.stride != (1, 1) or min(padding) < 0 or g.size == 1:
        return None
    return Problem(problem.n, problem.output, problem.k, problem.c, Geometry(g.kernel, (1, 1), (padding[0], padding[1]), g.dilation))


def flipped(w: Array) -> Array:
    """Filters (R, S, C, K) turned by 180°, their channel axes exchanged: (R, S, K, C), contiguous."""
    return array_module(w).ascontiguousarray(w[::-1, ::-1].transpose(0, 1, 3, 2))


def _own(problem: Problem) -> bool:
    """Whether an image's own pixels are its columns: 1×1, stride 1."""
    g = problem.geometry
    return g.size == 1 and g.stride == (1, 1) and g.padding == (0, 0)


def _bytes(problem: Problem, dtype: Any) -> int:
    """Of one image's columns."""
    return 0 if _own(problem) else math.prod(problem.output) * problem.geometry.size * problem.c * np.dtype(dtype).itemsize


def _gather(x: Array, problem: Problem) -> Array:
    """The columns (windows, R·S·C) of some images (n, H, W, C)."""
    if _own(problem):
        return x.reshape(-1, problem.c)
    windows = len(x) * math.prod(problem.output)
    columns = array_module(x).empty((windows, problem.geometry.size * problem.c), x.dtype)
    _launch("columns_gather", x, columns, windows, problem)
    return columns


def _launch(function: str, source: Array, target: Array, pixels: int, problem: Problem) -> None:
    """One thread for each vector of channels of each of the result's pixels."""
    g, c = problem.geometry, problem.c
    vectors = c
    if c * source.itemsize % _VECTOR == 0 and source.data.ptr % _VECTOR == 0 and target.data.ptr % _VECTOR == 0:
        function, vectors = f"{function}_packed", c * source.itemsize // _VECTOR
    shape = (*problem.size, c, *problem.output, *g.kernel, *g.stride, *g.padding, *g.dilation)
    _PROGRAM.launch(function, grid(pixels * vectors), 256, source, target, pixels, *shape, STORED=stored_type(source))
