"""Dropout: mask and scale in one pass."""

from __future__ import annotations

from typing import Any

from ...backend.arrays import Array
from ...backend.blocks import empty_like
from ...ops.dropout import Dropout
from ..overlay import kernel
from .flat import alike
from .program import FLOATS, Program, grid, stored_type

__all__ = ["forward"]

_PROGRAM = Program("dropout.cu", STORED=FLOATS)


def _serves(call: Dropout, x: Array, mask: Array) -> bool:
    return bool(x.size > 0 and x.shape == mask.shape and mask.dtype == bool)


@kernel(Dropout, "forward", "cupy", bound=0.0, when=_serves)
def forward(call: Any, x: Array, mask: Array) -> Array:
    """The op's own two products, in its order: exact. (Half: the scale is not rounded to half before it is applied.)"""
    x, mask = alike(x, mask)
    y = empty_like(x)
    _PROGRAM.launch("dropout", grid(x.size), 256, x, mask, y, x.size, 1.0 / (1.0 - call.p), STORED=stored_type(x))
    return y
