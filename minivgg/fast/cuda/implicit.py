"""Convolutions as matrix products whose columns are never built: 3×3 filters, stride 1, for the first blocks of a VGG.

There images are large and channels few, so that columns, nine times the image, cost more time than the products. Here a block
of threads brings a tile of the image to shared memory once, and all taps read it there. The products are computed

    on the tensor cores  in TF32, half or bfloat16 with sums in float32: implicit_forward.cu, implicit_weight.cu, which say what to expect
    directly             in float32, whatever is stored: direct.cu. In strict precision; and for images of so few channels that the
                         instructions of the tensor cores would multiply padding, or whose rows are no multiple of 16 bytes

Bounds, relative to the largest result, for unit-variance data: directly, rounding of a sum, 1e-5. TF32 and half round operands to 11
bits, 2⁻¹¹ each at most, so that a sum of n products is off by about 2⁻¹¹·√n of √n: 1e-3. bfloat16 has 8 bits: 8e-3. A half result is
rounded once more, 2⁻¹¹ of itself.

Nothing here has run on a card yet. To measure first, at batch 64: conv1_2 forward in TF32 (expected 1.0-1.2 ms; im2col with cuBLAS 4-5 ms),
its weight gradient (1.0-1.3 ms), conv1_1 in strict float32 (0.3 ms). Then the knobs: `_RESIDENT`, how many blocks a gradient's
pixels are divided among; in implicit_forward.cu FILTERS and TILE with the split of warps; in implicit_weight.cu ROWS and
CHANNELS; in direct.cu ROWS. A change of tiles must keep shared memory under 48 KB and registers under what __launch_bounds__ leaves.
"""

from __future__ import annotations

from typing import Any

from ...backend.arrays import Array, array_module
from ...backend.precision import current
from ...ops.windows import Geometry
from ..problem import Problem
from .columns import flipped
from .program import Program, grid, stored_type

__all__ = ["fills", "forward", "image_gradient", "serves", "weight_gradient"]

_STORED = ("float", "half_t", "bfloat_t")
_FORWARD = Program("implicit_forward.cu", STORED=_STORED)
_WEIGHT = Program("implicit_weight.cu", STORED=_STORED)
_DIRECT = Program("direct.cu", STORED=_STORED)
_SUM = Program("sum_parts.cu", STORED=_STORED)

_FILTERS = 64  # of a block, in all of them
_FEW = 4  # channels, that direct.cu takes at a time
_VECTOR = 16  # bytes of one copy to shared memory
_RESIDENT = 264  # blocks of implicit_weight.cu that run at a time on an H100 or H200, two on each of 132 multiprocessors


def serves(problem: Problem, dtype: Any) -> bool:
    """Whether these functions compute this convolution of arrays of `dtype`: 3×3 filters, stride 1, any padding, no float64."""
    g, (h, w), (p, q) = problem.geometry, problem.size, problem.output
    shaped = (g.kernel, g.stride, g.dilation) == ((3, 3), (1, 1), (1, 1))
    largest = max(h * w * problem.c, p * q * problem.k, 9 * problem.c * problem.k)  # of one image or the filters: places are ints there
    return shaped and str(dtype) in ("float32", "float16", "bfloat16") and largest < 2**31


def fills(problem: Problem) -> bool:
    """Whether at least half of the work on the tensor cores is for pixels that there are: tiles have 16×16."""
    p, q = problem.output
    return p * q * 2 >= _tiles(1, (p, q), 16, 16) * 256


def forward(images: Array, filters: Array, problem: Problem, bias: Array | None = None, relu: bool = False) -> Array:
    """y (N, P, Q, K) of contiguous images (N, H, W, C) and filters (3, 3, C, K), plus bias (K,), rectified if `relu`."""
    (p, q), padding = problem.output, problem.geometry.padding
    y = array_module(images).empty((problem.n, p, q, problem.k), images.dtype)
    _convolve(images, filters, bias, y, padding, relu)
    return y


def image_gradient(gy: Array, filters: Array, problem: Problem) -> Array:
    """gx (N, H, W, C) of a contiguous gradient gy (N, P, Q, K): gy, padded by 2 − padding, convolved with the filters turned by 180°."""
    top, left = problem.geometry.padding
    gx = array_module(gy).empty((problem.n, *problem.size, problem.c), gy.dtype)
    _convolve(gy, flipped(filters), None, gx, (2 - top, 2 - left), False)
    return gx


def weight_gradient(gy: Array, images: Array, problem: Problem) -> Array:
    """gw (3, 3, C, K) of a contiguous gradient gy (N, P, Q, K) and images (N, H, W, C).

    Sums over the pixels in parts, as many as the shapes say, then over the parts in order: the same bits every time.
    """
    xp, (h, w), (p, q), c, k = array_module(gy, images), problem.size, problem.output, problem.c, problem.k
    tensor, (blocks, parts, partial) = _on_tensor_cores(problem, images.itemsize), _parts(problem, images.itemsize)
    sums, gw = xp.empty((partial, 3, 3, c, k), "float32"), xp.empty((3, 3, c, k), images.dtype)
    program, function = (_WEIGHT, "implicit_weight") if tensor else (_DIRECT, "direct_weight")
    arrays, numbers = (_aligned(images), _aligned(gy), sums), (problem.n, h, w, c, p, q, k, *problem.geometry.padding)
    program.launch(function, (parts, blocks), 192, *arrays, *numbers, STORED=stored_type(images))
    _SUM.launch("sum_parts", grid(gw.size), 256, sums, gw, partial, gw.size, STORED=stored_type(gw))
    return gw


def _parts(problem: Problem, itemsize: int) -> tuple[int, int, int]:
    """Of the filters' gradient: (blocks across channels and filters, parts of the pixels, partial sums)."""
    tensor = _on_tensor_cores(problem, itemsize)
    rows, columns, channels, most = (_VECTOR // itemsize, 8, 32, _RESIDENT) if tensor else (8, 16, _FEW, 2 * _RESIDENT)
    blocks = -(-problem.c // channels) * -(-problem.k // _FILTERS)
    parts = max(min(most // blocks, _tiles(problem.n, problem.output, rows, columns)), 1)
    return blocks, parts, parts if tensor else 2 * parts  # a block of direct.cu sums two halves of its tiles apart


def _convolve(images: Array, filters: Array, bias: Array | None, y: Array, padding: tuple[int, int], relu: bool) -> None:
    (n, h, w, c), (_, p, q, k) = images.shape, y.shape
    problem = Problem(n, (h, w), c, k, Geometry((3, 3), padding=padding))
    tensor, dtype = _on_tensor_cores(problem, images.itemsize), images.dtype
    program, function, threads, rows = (_FORWARD, "implicit_forward", 256, 16) if tensor else (_DIRECT, "direct_forward", 128, 8)
    blocks = _tiles(n, (p, q), rows, 16) * -(-k // _FILTERS)
    given = filters if bias is None else array_module(bias).ascontiguousarray(bias.astype(dtype, copy=False))
    arrays = (_aligned(images), _aligned(filters), given, y)
    program.launch(function, blocks, threads, *arrays, h, w, c, p, q, k, *padding, bias is not None, relu, STORED=stored_type(images))


def _on_tensor_cores(problem: Problem, itemsize: int) -> bool:
    """Whether the tensor cores multiply: in this thread's precision they may, and rows of channels and filters are whole copies."""
    vector = _VECTOR // itemsize
    whole = problem.c % vector == 0 and problem.k % vector == 0
    return whole and problem.c > _FEW and (itemsize == 2 or current() == "tf32")


def _tiles(n: int, output: tuple[int, int], rows: int, columns: int) -> int:
    return n * -(-output[0] // rows) * -(-output[1] // columns)


def _aligned(array: Array) -> Array:
    """The array, copied if it begins inside another one where no copy of 16 bytes can."""
    return array.copy() if array.data.ptr % _VECTOR else array
