"""Dropout block by block on all threads."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend.arrays import Array
from ...backend.blocks import empty_like, in_blocks
from ...ops.dropout import Dropout
from ..overlay import kernel

__all__ = ["forward"]


@kernel(Dropout, "forward", "numpy", bound=0.0)
def forward(call: Any, x: Array, mask: Array) -> Array:
    """The op's own operations: exact."""
    out, scale = empty_like(x), 1.0 / (1.0 - call.p)

    def block(values: Array, kept: Array, target: Array) -> None:
        np.multiply(values, kept, out=target)
        target *= scale

    in_blocks(block, x, mask, out)
    return out
