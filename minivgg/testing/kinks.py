"""Where a function has no derivative: the signs of ReLUs, the winners of maxima, the masks of selections.

Inside a region where none of these decisions changes the function is smooth. A finite difference whose points lie in
two regions compares nothing: it crossed a kink. An op with kinks says what it decided in its method `decisions`;
boolean and integer constants that an op is given (a mask made from x, winners, targets) are decisions, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..autograd import mode
from ..autograd.core import reachable
from ..autograd.op import parameters_of
from ..autograd.tensor import Node, Tensor
from ..backend.arrays import to_numpy

__all__ = ["Pattern", "first_difference", "pattern", "watch_kinks"]

Pattern = list[tuple[str, np.ndarray[Any, Any]]]  # [(place, decisions), …] in order of computation


class Watch:
    """What the ops that were recorded in a `watch_kinks` block decided."""

    def __init__(self) -> None:
        self._decided: dict[Node, list[np.ndarray[Any, Any]]] = {}

    def __call__(self, node: Node, inputs: Sequence[Any], y: Tensor) -> None:
        """Note one call (see `mode.observe`)."""
        made = [to_numpy(a) for a in map(_constant, inputs) if a is not None]
        if hasattr(node.op, "decisions"):
            values = {"y": y.data, **{k: x.data if isinstance(x, Tensor) else x for k, x in zip(node.op.operands, inputs, strict=False)}}
            made.append(to_numpy(node.op.decisions(*(values[name] for name in parameters_of(type(node.op).decisions, 1)))))
        if made:
            self._decided[node] = [a.copy() for a in made]

    def pattern(self, ys: Sequence[Tensor]) -> Pattern:
        """The decisions on which ys depend."""
        nodes = {node for y in ys if y.node is not None for node in reachable(y.node)} if self._decided else set()
        kept = sorted(nodes & self._decided.keys(), key=lambda node: node.number)
        return [(node.layer or type(node.op).__name__, decided) for node in kept for decided in self._decided[node]]


def _constant(x: Any) -> Any:
    """The array of an operand without a gradient that holds truths or whole numbers; None for any other."""
    array = None if isinstance(x, Tensor) and x.node is not None else x.data if isinstance(x, Tensor) else x
    return array if getattr(getattr(array, "dtype", None), "kind", "") in ("b", "i", "u") else None


@contextmanager
def watch_kinks() -> Iterator[Watch]:
    """Note the decisions of all ops recorded in this block."""
    watch = Watch()
    with mode.observe(watch):
        yield watch


def pattern(f: Any, *tensors: Any) -> Pattern:
    """[(place, decisions), …] of all ops with kinks on which f(*tensors) depends, in order of computation."""
    with watch_kinks() as watch:
        y = f(*tensors)
    return watch.pattern(y if isinstance(y, (tuple, list)) else [y])


def first_difference(a: Pattern, b: Pattern) -> str | None:
    """Where two patterns of one function first differ, as "features.4[0, 2, 1, 3]"; None if they are equal."""
    if len(a) != len(b):
        return "a branch: the function takes another path"
    for (place, before), (_, after) in zip(a, b, strict=True):
        if before.shape != after.shape:
            return f"{place} (of another shape)"
        if not np.array_equal(before, after):
            return f"{place}{np.argwhere(before != after)[0].tolist()}"
    return None
