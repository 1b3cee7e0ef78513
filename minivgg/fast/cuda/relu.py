"""The rectifier and its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...backend.arrays import Array
from ...backend.blocks import empty_like
from ...ops.relu import Relu
from ..overlay import kernel
from .flat import alike
from .program import FLOATS, Program, grid, stored_type
from .rows import THREADS, served

__all__ = ["backward", "forward", "masked_gradient"]

_PROGRAM = Program("relu.cu", STORED=FLOATS)


def masked_gradient(gy: Array, y: Array) -> Array:
    """gy where y > 0, else 0; for arrays of one shape, and stored as y is. Exact."""
    y, gy = alike(y, gy.astype(y.dtype, copy=False))
    g = empty_like(y)
    if y.size:
        vectors = -(-y.size * y.itemsize // 16)
        _PROGRAM.launch("relu_gradient", grid(vectors), THREADS, gy, y, g, y.size, STORED=stored_type(y))
    return g


@kernel(Relu, "forward", "cupy", bound=0.0, when=lambda call, x: served(x))
def forward(call: Any, x: Array) -> Array:
    """The op's own operation: exact."""
    (x,) = alike(x)
    y = empty_like(x)
    _PROGRAM.launch("relu", grid(-(-x.nbytes // 16)), THREADS, x, y, x.size, STORED=stored_type(x))
    return y


@kernel(Relu, "backward", "cupy", bound=0.0, when=lambda call, gy: served(gy))
def backward(call: Any, gy: Array, saved: dict[str, Array], shapes: Sequence[Any], wanted: Sequence[bool]) -> list[Array | None]:
    """The rule's own operation: exact."""
    return [masked_gradient(gy, saved["y"])]
