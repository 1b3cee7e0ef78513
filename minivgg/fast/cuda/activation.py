"""Bias and rectifier behind a product, and their gradients, on contiguous rows (…, K): what convolutions and linear layers share."""

from __future__ import annotations

from typing import Any

from ...backend.arrays import Array, array_module, wide
from .program import FLOATS, Program, stored_type
from .relu import masked_gradient
from .rows import COLUMN_THREADS, column_blocks, layout

__all__ = ["add_bias_relu", "channel_sums", "masked_gradient", "masked_sums"]

_PROGRAM = Program("activation.cu", STORED=FLOATS)


def add_bias_relu(y: Array, bias: Array | None, relu: bool) -> Array:
    """y[…,k] ← y[…,k] + bias[k], then max(·, 0) if `relu`: in place on contiguous rows y (…, K), which is returned.

    `bias` (K,), rounded to y's dtype if it has another, or None.
    """
    k = y.shape[-1]
    if y.size == 0 or (bias is None and not relu):
        return y
    blocks, threads = layout(y, each=4, most=1 << 12)
    if bias is None:
        _PROGRAM.launch("rectify", blocks, threads, y, y.size // k, k, STORED=stored_type(y))
        return y
    bias = array_module(y, bias).ascontiguousarray(bias, y.dtype)
    _PROGRAM.launch("add_bias_relu", blocks, threads, y, bias, relu, y.size // k, k, STORED=stored_type(y))
    return y


def channel_sums(rows: Array, dtype: Any = None) -> Array:
    """Σ over all rows of contiguous (…, K): (K,), of `dtype`, or of the rows' own. Added up in float32 or float64, then rounded once."""
    partial, blocks, threads = _stage(rows)
    _PROGRAM.launch("channel_sums", blocks, threads, rows, partial, *_sizes(rows), STORED=stored_type(rows))
    return _finished(partial, rows, dtype)


def masked_sums(gy: Array, y: Array, dtype: Any = None) -> tuple[Array, Array]:
    """(g, Σ over all rows of g) with g = gy where y > 0, else 0, for contiguous gy and y (…, K), in one pass: the bias gradient behind a
    rectifier. The sum (K,) is of `dtype`, or of the rows' own.
    """
    partial, blocks, threads = _stage(gy)
    g = array_module(gy, y).empty(gy.shape, gy.dtype)
    _PROGRAM.launch("masked_sums", blocks, threads, gy, y, g, partial, *_sizes(gy), STORED=stored_type(gy))
    return g, _finished(partial, gy, dtype)


def _sizes(rows: Array) -> tuple[int, int]:
    k = rows.shape[-1]
    return rows.size // max(k, 1), k


def _stage(rows: Array) -> tuple[Array, tuple[int, int], tuple[int, int]]:
    """Room for one row of partial sums of each block, and the blocks."""
    blocks, threads = layout(rows, each=8, most=1 << 10)
    return array_module(rows).empty((blocks[1], rows.shape[-1]), wide(rows.dtype)), blocks, threads


def _finished(partial: Array, rows: Array, dtype: Any) -> Array:
    """The second stage: Σ of the partial sums, as `dtype`."""
    (count, k), xp = partial.shape, array_module(partial)
    dtype = rows.dtype if dtype is None else dtype
    own = dtype == rows.dtype
    out = xp.empty(k, dtype if own else partial.dtype)
    function = "finish_stored_sums" if own else "finish_sums"
    _PROGRAM.launch(function, column_blocks(k), COLUMN_THREADS, partial, out, count, k, STORED=stored_type(rows))
    return out.astype(dtype, copy=False)
