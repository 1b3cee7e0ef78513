"""Soft-max, cross-entropy and its targets: a block of threads for each row of logits, one kernel where array operations take many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...backend.arrays import Array, array_module
from ...backend.substitutes import substitute
from ...ops.cross_entropy import CrossEntropy, Softmax
from ..overlay import kernel
from .program import FLOATS, Program, grid, stored_type
from .rows import THREADS, WARP, served

__all__ = ["backward", "forward", "soft_max", "targets"]

_PROGRAM = Program("cross_entropy.cu", STORED=FLOATS)
_TARGETS = Program("targets.cu", STORED=("float", "double"))
_MOST_ROWS = 1 << 16


def _shared(rows: int, classes: int) -> tuple[int, int]:
    """(blocks, threads): a block for a row, a thread for about four classes."""
    return min(rows, _MOST_ROWS), min(-(-classes // (4 * WARP)) * WARP, THREADS)


def _serves(call: Any, x: Array, q: Array) -> bool:
    return x.ndim == 2 and x.shape == q.shape and x.dtype == q.dtype and served(x)


@kernel(CrossEntropy, "forward", "cupy", bound=1e-5, when=_serves)
def forward(call: Any, x: Array, q: Array) -> Array:
    """The op's operations, sums in another order, the card's exp and log: a few ulp. Half is computed in float32."""
    xp, (n, c) = array_module(x, q), x.shape
    y = xp.empty(n, x.dtype)
    logits, weights = xp.ascontiguousarray(x), xp.ascontiguousarray(q)
    _PROGRAM.launch("cross_entropy", *_shared(n, c), logits, weights, y, n, c, STORED=stored_type(x))
    return y


@kernel(CrossEntropy, "backward", "cupy", bound=1e-5, when=lambda call, gy: served(gy))
def backward(call: Any, gy: Array, saved: dict[str, Array], shapes: Sequence[Any], wanted: Sequence[bool]) -> list[Array | None]:
    """[gx, None] by the rule's formula, sums in another order, the card's exp: a few ulp."""
    x, q = saved["x"], saved["q"]
    xp, (n, c), dtype = array_module(gy, x, q), x.shape, max(x.dtype, q.dtype, key=lambda dtype: dtype.itemsize)
    g, logits, weights = (xp.ascontiguousarray(v, dtype) for v in (gy, x, q))
    gx = xp.empty((n, c), dtype)
    _PROGRAM.launch("cross_entropy_gradient", *_shared(n, c), g, logits, weights, gx, n, c, STORED=stored_type(gx))
    return [gx, None]


@kernel(Softmax, "forward", "cupy", bound=1e-5, when=lambda call, x: call.axis in (-1, x.ndim - 1) and served(x))
def soft_max(call: Softmax, x: Array) -> Array:
    """Along the last axis: the op's operations, the sum in another order, the card's exp: a few ulp."""
    xp, c = array_module(x), x.shape[-1]
    logits, y = xp.ascontiguousarray(x), xp.empty(x.shape, x.dtype)
    _PROGRAM.launch("softmax", *_shared(x.size // c, c), logits, y, x.size // c, c, STORED=stored_type(x))
    return y


@substitute("targets", "cupy")
def targets(
    labels: Array, classes: int, dtype: Any, ignore_index: int | None, smoothing: float, weights: Array | None, mean: bool
) -> Array | None:
    """What each class counts for in each row, (N, C) of float32 or float64, by one kernel, and one before it for a mean.

    A label out of range makes a row of NaN. None for no rows, or so many that one block would take long to add up their weights.
    """
    if not 0 < labels.size <= _MOST_ROWS:
        return None
    xp, n = array_module(labels, weights), labels.size
    labels, q, total = xp.ascontiguousarray(labels, "int64"), xp.empty((n, classes), dtype), xp.empty(1, dtype)
    weighted, ignoring, ignored = weights is not None, ignore_index is not None, int(ignore_index or 0)
    given, stored = (xp.ascontiguousarray(weights, dtype) if weighted else total), stored_type(q)
    if mean:
        flags = weighted, ignoring, ignored
        _TARGETS.launch("total_weight", 1, (1, THREADS), labels, given, total, *flags, n, classes, STORED=stored)
    sizes = ignoring, ignored, n, classes
    _TARGETS.launch("targets", grid(q.size), THREADS, labels, given, total, q, weighted, mean, float(smoothing), *sizes, STORED=stored)
    return q
