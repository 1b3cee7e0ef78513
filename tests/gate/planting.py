"""What the catalogue's entries are, and how one is planted: a wrong rule takes the right one's place on its op's class.

The sweep looks a rule up on the class each time, so a replaced attribute is all that is needed. The names of a wrong rule's
parameters decide what the graph keeps for it, as with any rule; it may read other operands than the right one does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from minivgg.autograd.core import Op, Tensor

__all__ = ["CATALOGUE", "Case", "Planted", "constant", "in_place", "planted"]

Case = tuple[Any, tuple[Any, ...]]  # (an op, or a function of tensors that uses it; its operands)
CATALOGUE: list[Planted] = []


@dataclass(frozen=True)
class Planted:
    """One wrong rule: the op's class, the method that it replaces, the slip in one sentence, and where to look for it.

    `methods` are all attributes to be replaced, `cases` the inputs, `order` up to which gradients are compared, `without` the
    witnesses that cannot be called for it.
    """

    name: str
    op: type[Op]
    method: str
    slip: str
    methods: Mapping[str, Any]
    cases: Callable[[np.random.Generator], Iterable[Case]]
    order: int = 2
    without: tuple[str, ...] = ()

    @property
    def rule(self) -> str:
        """Such as "Relu.grad_x"."""
        return f"{self.op.__name__}.{self.method}"


def planted(
    op: type[Op],
    method: str,
    *,
    cases: Callable[[np.random.Generator], Iterable[Case]] | None = None,
    also: Mapping[str, Any] | None = None,
    order: int = 2,
    without: tuple[str, ...] = (),
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter the decorated method into the catalogue, to stand in for `op.method`; its docstring states the slip.

    `cases` default to the op's examples; `also` are other attributes of the class that the slip needs.
    """

    def enter(wrong: Callable[..., Any]) -> Callable[..., Any]:
        slip = " ".join((wrong.__doc__ or "").split())
        methods = {**(also or {}), method: wrong}
        CATALOGUE.append(Planted(wrong.__name__, op, method, slip, methods, cases or op.examples, order, without))
        return wrong

    return enter


_ABSENT = object()


@contextmanager
def in_place(entry: Planted) -> Iterator[None]:
    """Put the wrong methods in the right ones' place until the block ends."""
    before = {name: vars(entry.op).get(name, _ABSENT) for name in entry.methods}
    try:
        for name, wrong in entry.methods.items():
            setattr(entry.op, name, wrong)
        yield
    finally:
        for name, right in before.items():
            if right is _ABSENT:
                delattr(entry.op, name)
            else:
                setattr(entry.op, name, right)


def constant(x: Any) -> Any:
    """x cut from the graph: the slip that order 1 cannot see."""
    return Tensor(x.data) if isinstance(x, Tensor) else x
