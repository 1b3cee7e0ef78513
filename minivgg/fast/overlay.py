"""The overlay: one table that says which kernel stands in for which op.

    (op class, "forward" | "backward", library) → [(when, kernel), …]

The first kernel whose `when(call, *arrays)` holds is used, otherwise the op's own forward or rules.

    forward kernel    kernel(call, *arrays) → y; it also saves on `call` what the op's forward would
    backward kernel   kernel(call, gy, saved, shapes, wanted) → one gradient per operand, None where not wanted.
                      `saved` maps names to the arrays that the wanted rules read. Used only when no graph of the
                      gradient is being recorded, and if the op's rules read what they read when it was registered: one that
                      was replaced on its class, by a test, say, may keep less than the kernel needs.

Kernels do not change their inputs and accept any strides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ..autograd.op import Op, parameters_of
from ..backend.arrays import array_module

__all__ = ["Kernel", "find", "kernel", "table"]


@dataclass(frozen=True)
class Kernel:
    """A registered kernel: `bound` is its largest error relative to the result's largest element, in float32."""

    function: Callable[..., Any]
    when: Callable[..., bool]
    bound: float


table: dict[tuple[type[Op], str, str], list[Kernel]] = {}
_served: dict[tuple[type[Op], str], set[tuple[str, str]]] = {}  # a quick no for all other ops; of these, what rules read


def _reads(op_class: type[Op]) -> set[tuple[str, str]]:
    """(rule, name) for each name that a rule of the op reads."""
    rules = [f"grad_{x}" for x in op_class.operands if hasattr(op_class, f"grad_{x}")]
    return {(rule, name) for rule in rules for name in parameters_of(getattr(op_class, rule))}


def kernel(
    op_class: type[Op], phase: str, library: str, *, bound: float, when: Callable[..., bool] = lambda *_: True
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the decorated function for `op_class`. Its docstring justifies `bound`."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        table.setdefault((op_class, phase, library), []).append(Kernel(function, when, bound))
        _served.setdefault((op_class, phase), _reads(op_class) if phase == "backward" else set())
        return function

    return register


def find(call: Op, phase: str, arrays: Iterable[Any]) -> Callable[..., Any] | None:
    """The kernel for this call, or None."""
    needed = _served.get((type(call), phase))
    if needed is None or (needed and not needed <= _reads(type(call))):
        return None
    arrays = list(arrays)
    for candidate in table.get((type(call), phase, array_module(*arrays).__name__), ()):
        if candidate.when(call, *arrays):
            return candidate.function
    return None
