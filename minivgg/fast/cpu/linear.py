"""The fully connected layer: three products, cut by columns or rows of the result, on all threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...backend import memory
from ...backend.arrays import Array
from ...backend.threads import run, split
from ...ops.linear import Linear
from ..overlay import kernel
from .channel_sum import channel_sums

__all__ = ["backward", "forward"]

_PIECE = 256  # rows or columns of a result that a thread computes at a time


def _product(a: Array, b: Array) -> Array:
    """a (m, k) @ b (k, n), each piece a product of its own with the whole sum over k: nothing is added afterwards."""
    (m, _), n = a.shape, b.shape[1]
    out = memory.empty((m, n), a.dtype)
    if n >= m:
        run(lambda part: np.matmul(a, b[:, part], out=out[:, part]), split(n, _PIECE))
    else:
        run(lambda part: np.matmul(a[part], b, out=out[part]), split(m, _PIECE))
    return out


def _serves(call: Any, *arrays: Array) -> bool:
    return all(a is None or (a.size > 0 and a.dtype.char in "fd") for a in arrays)


@kernel(Linear, "forward", "numpy", bound=1e-5, when=_serves)
def forward(call: Any, x: Array, w: Array, b: Array | None) -> Array:
    """The op's product in pieces: the order in which BLAS sums may differ."""
    y = _product(x, w.T)
    if b is not None:
        y += b
    return y


@kernel(Linear, "backward", "numpy", bound=1e-5, when=_serves)
def backward(call: Any, gy: Array, saved: dict[str, Array], shapes: Sequence[Any], wanted: Sequence[bool]) -> list[Array | None]:
    """[gx, gw, gb]. The rules' products in pieces."""
    gx = _product(gy, saved["w"]) if wanted[0] else None
    gw = _product(gy.T, saved["x"]) if wanted[1] else None
    return [gx, gw, channel_sums(np.ascontiguousarray(gy)) if wanted[2] else None]
