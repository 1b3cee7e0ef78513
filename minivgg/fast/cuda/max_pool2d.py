"""2×2 max pooling with stride 2: the windows do not overlap, so that each gradient is written once, without atomics."""

from __future__ import annotations

from typing import Any

from ...backend.arrays import Array, array_module
from ...backend.layout import as_nchw, nhwc
from ...ops.max_pool2d import MaxPool2d, PoolScatter
from ...ops.windows import Geometry
from ..overlay import kernel
from .program import FLOATS, Program, stored_type
from .rows import THREADS, VECTOR, WARP, served

__all__ = ["forward", "scatter"]

_PROGRAM = Program("max_pool2d.cu", STORED=FLOATS)
_PLAIN = Geometry((2, 2), (2, 2))
_MOST = (1 << 16) - 1  # blocks along y


def _shared(images: Array, rows: int, columns: int) -> tuple[tuple[int, int], int]:
    """(blocks, threads) for so many rows of so many windows, each of images' C channels."""
    c, vector = images.shape[-1], VECTOR // images.itemsize
    across = columns * (c // vector if c % vector == 0 else c)
    threads = min(-(-across // WARP) * WARP, THREADS)
    return (-(-across // threads), min(rows, _MOST)), threads


@kernel(MaxPool2d, "forward", "cupy", bound=0.0, when=lambda call, x: call.geometry == _PLAIN and served(x))
def forward(call: Any, x: Array) -> Array:
    """Comparisons only, so the result is exact, winners included: the first tap wins a tie, as in the op.

    A window with a NaN gives NaN, and its winner counts as the first tap, as in the op.
    """
    (n, c, h, w), images, xp = x.shape, nhwc(x), array_module(x)
    p, q = call.geometry.output(h, w)
    y, winners = xp.empty((n, p, q, c), x.dtype), xp.empty((n, p, q, c), "uint8")
    _PROGRAM.launch("max_pool2d", *_shared(y, n * p, q), images, y, winners, n, h, w, c, STORED=stored_type(x))
    call.winners = as_nchw(winners)
    return as_nchw(y)


def _scatters(call: Any, u: Array, winners: Array) -> bool:
    return call.geometry == _PLAIN and served(u) and winners.dtype.name == "uint8"


@kernel(PoolScatter, "forward", "cupy", bound=0.0, when=_scatters)
def scatter(call: Any, u: Array, winners: Array) -> Array:
    """Each element is u or zero, as in the op: exact. An odd last row or column belongs to no window and is zero."""
    n, c, h, w = call.shape
    values, out = nhwc(u), array_module(u, winners).empty((n, h, w, c), u.dtype)
    blocks = _shared(out, n * -(-h // 2), -(-w // 2))
    _PROGRAM.launch("pool_scatter", *blocks, values, nhwc(winners), out, n, h, w, c, STORED=stored_type(u))
    return as_nchw(out)
