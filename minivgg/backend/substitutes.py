"""Functions that stand in, on one array library, for work that is not an op: dropout's draws, the optimiser's update.

    (name, library) → function

The overlay (`fast/overlay.py`) stands in for ops and finds its kernels by the op's class. What happens between ops has no class,
so it has a name here. Both tables are filled by `fast/` and obey one switch: inside `reference()`, under MINIVGG_REFERENCE=1 and
without the folder `fast/` there are no substitutes. The switch lives above this layer, in `autograd.mode`; the package root puts a
function into `permits` that reads it (and imports the kernels when it is first asked), as it does at the overlay's own seam,
`mode.find_kernel`.

Whoever asks for a substitute has code of his own for the answer None: that code is the definition, and tests compare the two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["permits", "substitute", "substituted", "table"]

table: dict[tuple[str, str], Callable[..., Any]] = {}
permits: list[Callable[[], bool]] = []  # a substitute is used if all of these say so


def substitute(name: str, library: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the decorated function under `name` for the arrays of `library` ("cupy")."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        table[name, library] = function
        return function

    return register


def substituted(name: str, xp: Any) -> Callable[..., Any] | None:
    """What stands in for `name` on the arrays of `xp`, an `array_module`; None if nothing does, or nothing may."""
    return table.get((name, xp.__name__)) if all(permit() for permit in permits) else None
