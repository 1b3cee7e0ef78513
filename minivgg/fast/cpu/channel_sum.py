"""Sums over all pixels, channel by channel, on all threads."""

from __future__ import annotations

import numpy as np

from ...backend import layout
from ...backend.arrays import Array
from ...backend.threads import run, split
from ...ops.channel_sum import ChannelSum
from ..overlay import kernel

__all__ = ["channel_sums", "row_sums"]

_ROWS = 2048
_BLOCK = 1 << 21  # bytes that a thread takes at a time


def _blocks(rows: Array) -> list[slice]:
    """Some of the rows of a matrix, a few MB at a time."""
    return split(len(rows), _BLOCK // max(rows.shape[1] * rows.itemsize, 1))


def row_sums(part: Array) -> Array:
    """Σ over rows of a block (rows, C): a product with ones, which reads many times faster than a reduction over outer axes.

    Of _ROWS rows at a time, and then of these sums: two short sums round less than a long one.
    """
    whole, c = len(part) // _ROWS, part.shape[1]
    sums = np.ones((1, len(part) - whole * _ROWS), part.dtype) @ part[whole * _ROWS :]
    if whole:
        sums += (np.ones((1, _ROWS), part.dtype) @ part[: whole * _ROWS].reshape(whole, _ROWS, c)).sum(axis=0)
    return sums


def channel_sums(x: Array, y: Array | None = None) -> Array:
    """Σ over everything but the last axis of a contiguous x (…, C), block by block, the blocks in their order: (C,).

    With y, of x's shape, only where y is positive.
    """
    rows, mask = x.reshape(-1, x.shape[-1]), None if y is None else y.reshape(-1, x.shape[-1])

    def part(block: slice) -> Array:
        return row_sums(rows[block] if mask is None else rows[block] * (mask[block] > 0))

    return np.concatenate(run(part, _blocks(rows))).sum(axis=0)


@kernel(ChannelSum, "forward", "numpy", bound=1e-5, when=lambda call, x: x.ndim == 4 and x.size > 0 and x.dtype.char in "fd")
def forward(call: ChannelSum, x: Array) -> Array:
    """The op's sum in another order."""
    return channel_sums(layout.nhwc(x))
