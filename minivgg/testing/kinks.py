"""Where a function has no derivative: the signs of ReLUs and the winners of maxima.

Inside a region where none of them changes the function is smooth. A finite difference whose points lie in two
regions compares nothing: it crossed a kink.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .. import ops
from ..autograd.core import reachable
from ..autograd.op import Op
from ..autograd.tensor import Node, Tensor
from ..backend.arrays import to_numpy

__all__ = ["CHOICES", "first_difference", "pattern"]

# What an op with kinks decided in one call: an integer or boolean array.
CHOICES: dict[type[Op], Callable[[Node], Any]] = {
    ops.Relu: lambda node: node.saved["y"].array > 0,
    ops.MaxPool2d: lambda node: node.op.winners,
    ops.Max: lambda node: node.op.mask,
}

Pattern = list[tuple[str, np.ndarray[Any, Any]]]


def pattern(y: Tensor) -> Pattern:
    """[(place, decisions), …] of all ops with kinks in the graph of y, in order of computation."""
    nodes = [] if y.node is None else reachable(y.node)
    return [(node.layer or type(node.op).__name__, to_numpy(CHOICES[type(node.op)](node))) for node in nodes if type(node.op) in CHOICES]


def first_difference(a: Pattern, b: Pattern) -> str | None:
    """Where two patterns of one function first differ, as "features.4[0, 2, 1, 3]"; None if they are equal."""
    return next(_differences(a, b), None)


def _differences(a: Pattern, b: Pattern) -> Iterator[str]:
    for (place, before), (_, after) in zip(a, b, strict=True):
        if not np.array_equal(before, after):
            yield f"{place}{np.argwhere(before != after)[0].tolist()}"
