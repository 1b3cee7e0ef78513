"""Convolutions as matrix products whose columns are never built: 3×3 filters, stride 1, for the first blocks of a VGG.

There images are large and channels few, so that columns, nine times the image, cost more time than the products. Here a block
of threads brings a tile of the image to shared memory once, and all taps read it there. Products are computed on the tensor
cores, in TF32, half or bfloat16 with sums in float32; implicit_forward.cu says what to expect of that.

Bounds, relative to the largest result, for unit-variance data: TF32 and half round operands to 11 bits, 2⁻¹¹ each at most, so
that a sum of n products is off by about 2⁻¹¹·√n of √n: 1e-3. bfloat16 has 8 bits: 8e-3. A half result is rounded once more.
"""

from __future__ import annotations

from typing import Any

from ...backend.arrays import Array, array_module
from ..problem import Problem
from .program import Program, stored_type

__all__ = ["forward", "image_gradient", "serves"]

_TENSOR_CORES = ("float", "half_t", "bfloat_t")
_FORWARD = Program("implicit_forward.cu", STORED=_TENSOR_CORES)
_TILE, _FILTERS = 16, 64  # of a block of implicit_forward.cu


def serves(problem: Problem, dtype: Any) -> bool:
    """Whether these functions compute this convolution of arrays of `dtype`: 3×3 filters, stride 1, any padding."""
    g = problem.geometry
    return g.kernel == (3, 3) and g.stride == (1, 1) == g.dilation and str(dtype) in ("float32", "float16", "bfloat16")


def forward(images: Array, filters: Array, problem: Problem, bias: Array | None = None, relu: bool = False) -> Array:
    """y (N, P, Q, K) of contiguous images (N, H, W, C) and filters (3, 3, C, K), plus bias (K,), rectified if `relu`."""
    (p, q), (top, left) = problem.output, problem.geometry.padding
    y = array_module(images).empty((problem.n, p, q, problem.k), images.dtype)
    _convolve(images, filters, bias, y, (top, left), relu)
    return y


def image_gradient(gy: Array, filters: Array, problem: Problem) -> Array:
    """gx (N, H, W, C) of a contiguous gradient gy (N, P, Q, K): gy, padded by 2 − padding, convolved with the filters turned by 180°."""
    xp, (top, left) = array_module(gy), problem.geometry.padding
    gx = xp.empty((problem.n, *problem.size, problem.c), gy.dtype)
    _convolve(gy, xp.ascontiguousarray(filters[::-1, ::-1].transpose(0, 1, 3, 2)), None, gx, (2 - top, 2 - left), False)
    return gx


def _convolve(images: Array, filters: Array, bias: Array | None, y: Array, padding: tuple[int, int], relu: bool) -> None:
    (n, h, w, c), (_, p, q, k) = images.shape, y.shape
    blocks = n * -(-p // _TILE) * -(-q // _TILE) * -(-k // _FILTERS)
    arrays = (images, filters, filters if bias is None else bias.astype(images.dtype, copy=False), y)
    _FORWARD.launch(
        "implicit_forward", blocks, 256, *arrays, h, w, c, p, q, k, *padding, bias is not None, relu, STORED=stored_type(images)
    )
