"""The rectifier and its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...backend.arrays import Array
from ...backend.blocks import empty_like
from ...ops.relu import Relu
from ..overlay import kernel
from .activation import masked_gradient
from .flat import alike
from .program import FLOATS, Program, grid, stored_type
from .rows import is_float

__all__ = ["backward", "forward"]

_PROGRAM = Program("relu.cu", STORED=FLOATS)


@kernel(Relu, "forward", "cupy", bound=0.0, when=lambda call, x: is_float(x))
def forward(call: Any, x: Array) -> Array:
    """The op's own operation: exact."""
    (x,) = alike(x)
    y = empty_like(x)
    _PROGRAM.launch("relu", grid(-(-x.nbytes // 16)), 256, x, y, x.size, STORED=stored_type(x))
    return y


@kernel(Relu, "backward", "cupy", bound=0.0, when=lambda call, gy: is_float(gy))
def backward(call: Any, gy: Array, saved: dict[str, Array], shapes: Sequence[Any], wanted: Sequence[bool]) -> list[Array | None]:
    """The rule's own operation: exact."""
    return [masked_gradient(gy, saved["y"])]
