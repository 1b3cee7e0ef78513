"""Layers in a row, and the table of neighbours that run as one op: fewer passes over the images, and less kept for the backward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..autograd import mode
from .layers import BatchNorm2d, Conv2d, ReLU
from .module import Module

__all__ = ["FUSIONS", "Sequential", "fused"]

Forward = Callable[..., Any]

# (forward of a layer, forward of the one behind it) → what runs both, from the first layer; None: one after the other.
# In evaluation batch norm is a scale and a shift, and keeps nothing.
FUSIONS: dict[tuple[Forward, Forward], Callable[[Any], Forward | None]] = {
    (Conv2d.forward, ReLU.forward): lambda conv: conv.with_relu,
    (BatchNorm2d.forward, ReLU.forward): lambda norm: norm.with_relu if norm.training else None,
}

_CALL = Module.__call__


def fused(first: Module, second: Module) -> Forward | None:
    """The function that computes second(first(x)) as one op, with the same bits, or None.

    None also where somebody would see that the layers are not called one by one: a layer has a forward hook, a `forward` or
    `__call__` of its own, or one that was replaced. The op runs under the first layer's name. It is an op like others: inside
    `reference()` its own formula runs.
    """
    chosen = FUSIONS.get((type(first).forward, type(second).forward))
    return chosen(first) if chosen and _as_written(first) and _as_written(second) else None


def _as_written(module: Module) -> bool:
    own = vars(module)
    return type(module).__call__ is _CALL and not own.get("_hooks") and "forward" not in own


class Sequential(Module):
    """Modules one after the other; named 0, 1, 2, …. Indexing and slicing as with a list.

    Neighbours that the table FUSIONS names run as one op, where nobody sees the difference (see `fused`).
    """

    def __init__(self, *modules: Module) -> None:
        for i, module in enumerate(modules):
            setattr(self, str(i), module)

    def forward(self, x: Any) -> Any:
        """Feed x through all of them."""
        modules = list(self)
        while modules:
            module = modules.pop(0)
            both = fused(module, modules[0]) if modules else None
            if both is None:
                x = module(x)
                continue
            del modules[0]
            with mode.scope(module.name):
                x = both(x)
        return x

    def __iter__(self) -> Iterator[Module]:
        return (module for _, module in self.named_children())

    def __len__(self) -> int:
        return len(list(self.named_children()))

    def __getitem__(self, key: int | slice) -> Any:
        found = list(self)[key]
        return Sequential(*found) if isinstance(found, list) else found
