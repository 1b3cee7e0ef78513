"""The rectifier and its gradient, block by block on all threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...backend.arrays import Array
from ...backend.blocks import empty_like, in_blocks
from ...ops.relu import Relu
from ..overlay import kernel

__all__ = ["backward", "forward"]


@kernel(Relu, "forward", "numpy", bound=0.0)
def forward(call: Any, x: Array) -> Array:
    """The op's own operation: exact."""
    out = empty_like(x)
    in_blocks(lambda source, target: np.maximum(source, 0, out=target), x, out)
    return out


@kernel(Relu, "backward", "numpy", bound=0.0)
def backward(call: Any, gy: Array, saved: dict[str, Array], shapes: Sequence[Any], wanted: Sequence[bool]) -> list[Array | None]:
    """The rule's own operations: exact."""
    out = empty_like(gy)
    in_blocks(lambda g, y, target: np.multiply(g, y > 0, out=target), gy, saved["y"], out)
    return [out]
