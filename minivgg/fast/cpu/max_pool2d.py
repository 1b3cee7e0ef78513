"""2×2 max pooling with stride 2: the windows do not overlap, so nothing is added and everything is written once."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend import layout, memory
from ...backend.arrays import Array
from ...backend.threads import run
from ...ops.max_pool2d import MaxPool2d, PoolScatter
from ...ops.windows import Geometry
from ..overlay import kernel
from .bands import Band, bands

__all__ = ["forward", "scatter"]

_PLAIN = Geometry((2, 2), (2, 2))
_BLOCK = 1 << 20  # bytes of input that a thread takes at a time


@kernel(MaxPool2d, "forward", "numpy", bound=0.0, when=lambda call, x: call.geometry == _PLAIN and x.size > 0)
def forward(call: Any, x: Array) -> Array:
    """Comparisons only, so the result is exact, winners included: in each row of two the first wins a tie, then the upper row.

    A window with a NaN gives NaN, and its winner counts as the first tap, as in the op.
    """
    (n, c, h, w), images = x.shape, layout.nhwc(x)
    p, q = call.geometry.output(h, w)
    y, winners = memory.empty((n, p, q, c), x.dtype), memory.empty((n, p, q, c), np.uint8)

    def part(band: Band) -> None:
        rows = images[band[0], 2 * band[1].start : 2 * band[1].stop]
        taps = [rows[:, r::2, s : 2 * q : 2] for r in (0, 1) for s in (0, 1)]
        upper, lower = np.maximum(taps[0], taps[1]), np.maximum(taps[2], taps[3])
        below, right, last = lower > upper, taps[1] > taps[0], taps[3] > taps[2]
        last ^= right
        last &= below
        right ^= last  # of the lower row where that won
        out, where = np.maximum(upper, lower, out=y[band]), winners[band]
        np.left_shift(below.view(np.uint8), 1, out=where)
        where |= right.view(np.uint8)
        where *= (out == out).view(np.uint8)

    run(part, bands(slice(0, n), p, 2 * w * c * x.itemsize, _BLOCK))
    call.winners = layout.as_nchw(winners)
    return layout.as_nchw(y)


@kernel(PoolScatter, "forward", "numpy", bound=0.0, when=lambda call, u, winners: call.geometry == _PLAIN and u.size > 0)
def scatter(call: Any, u: Array, winners: Array) -> Array:
    """Each element is u or zero, as in the op: exact. An odd last row or column belongs to no window and stays zero."""
    n, c, h, w = call.shape
    p, q = u.shape[2:]
    values, places, out = layout.nhwc(u), layout.nhwc(winners), memory.empty((n, h, w, c), u.dtype)

    def part(band: Band) -> None:
        rows = out[band[0], 2 * band[1].start : 2 * band[1].stop]
        for i in range(4):
            np.multiply(values[band], places[band] == i, out=rows[:, i // 2 :: 2, i % 2 : 2 * q : 2])
        rows[:, :, 2 * q :] = 0

    run(part, bands(slice(0, n), p, 2 * w * c * u.itemsize, _BLOCK))
    out[:, 2 * p :] = 0
    return layout.as_nchw(out)
