"""One node on its way to a layer: its inputs as values, its attributes with their defaults, its errors with its name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from ...errors import CheckpointError
from .chain import Chain
from .messages import Attribute, Defaults, Node
from .tensors import Source, Stored

__all__ = ["Constant", "Flow", "Sizes", "Step", "Value"]

T = TypeVar("T")


@dataclass(frozen=True)
class Flow:
    """The value that comes from the image, after `version` nodes; `sizes` of its axes in the file, a letter of NCHW for N and open ones."""

    version: int
    sizes: tuple[int | str, ...]

    @classmethod
    def of(cls, chain: Chain) -> Flow:
        """The value that the last node made."""
        return cls(chain.version, tuple("N" if axis == "N" else chain.sizes[axis] or axis for axis in chain.letters))


@dataclass(frozen=True)
class Constant:
    """A tensor of the file, under the sizes that Reshape and its like gave it; `transposed`: a matrix whose axes are exchanged."""

    stored: Stored
    shape: tuple[int, ...]
    transposed: bool = False


@dataclass(frozen=True)
class Sizes:
    """Sizes computed in the graph, each a number or, where it is open, a letter of NCHW; "?" if it is a product of such. `single`: one
    number, without an axis."""

    values: tuple[int | str, ...]
    single: bool = False


Value = Flow | Constant | Sizes


class Step:
    """What a rule for an operator sees."""

    def __init__(self, node: Node, chain: Chain, values: Mapping[str, Value], opset: int, defaults: Defaults) -> None:
        self.node, self.chain, self.values, self.opset = node, chain, values, opset
        self.source: Source = chain.source
        self.inputs = tuple(self._value(name) for name in node.inputs)
        self._settings = {key: self._setting(key, default) for key, default in defaults.items()}
        for key in node.attributes:
            if key not in defaults:
                raise self.error(f"has the attribute {key}, which is not known; known are: {', '.join(sorted(defaults)) or 'none'}")

    def error(self, why: str) -> CheckpointError:
        """One line: the path, the node, why."""
        return CheckpointError(f"{self.source.path}: {self.node.label} {why:.500}.")

    def demand(self, why: str) -> None:
        """Raise the error, unless `why` is empty."""
        if why:
            raise self.error(why)

    def setting(self, name: str, kind: type[T]) -> T:
        """An attribute, or its default."""
        value = self._settings[name]
        assert isinstance(value, kind)
        return value

    def given(self, index: int) -> bool:
        """Whether there is an input of that number."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def flow(self, index: int = 0) -> None:
        """Make sure that the input is what the node before made."""
        value = self.inputs[index] if self.given(index) else None
        if not isinstance(value, Flow):
            raise self.error(f"has a constant, or nothing, as input {index}, where what comes from the image was expected")
        if value.version != self.chain.version:
            raise self.error(f'reads "{self.node.inputs[index]}", which another node has read: the graph branches, and is no chain')
        if self.chain.softmax:
            raise self.error("comes behind a Softmax, which can only be the last")

    def onward(self) -> Flow:
        """The value after this node."""
        self.chain.version += 1
        return Flow.of(self.chain)

    def constant(self, index: int) -> Constant:
        """An input that must be a tensor of the file with floating-point numbers."""
        value = self.inputs[index] if self.given(index) else None
        if not isinstance(value, Constant) or not value.stored.floating:
            raise self.error(f"needs floating-point constants as input {index}: weights that are computed cannot be read")
        if 0 in value.shape:
            raise self.error(f'has "{value.stored.name}" {list(value.shape)} as input {index}, which is empty')
        return value

    def array(self, index: int, shape: tuple[int, ...] | None = None) -> Any:
        """The numbers of such an input, under its sizes, which must be `shape`."""
        value = self.constant(index)
        if shape is not None and value.shape != shape:
            raise self.error(f'has "{value.stored.name}" {list(value.shape)} as input {index}, where {list(shape)} was expected')
        array = self.source.array(value.stored)
        return array.reshape(value.shape[::-1]).T if value.transposed else array.reshape(value.shape)

    def wide(self, index: int, shape: tuple[int, ...] | None = None) -> Any:
        """The same in float64."""
        self.source.charge(8 * math.prod(self.constant(index).shape), self.node.label)
        return self.array(index, shape).astype(np.float64)

    def number(self, index: int) -> float:
        """The one number of an input."""
        if (size := math.prod(self.constant(index).shape)) != 1:
            raise self.error(f"needs one number as input {index}, but has {size:,}")
        return float(self.array(index).reshape(()))

    def sizes(self, index: int) -> Sizes:
        """An input as sizes, computed or constant."""
        value = self.inputs[index] if self.given(index) else None
        if isinstance(value, Sizes):
            return value
        if not isinstance(value, Constant):
            raise self.error(f"needs sizes or axes as input {index}")
        return Sizes(self.source.numbers(value.stored), single=not value.shape)

    def axes(self, index: int = 1, attribute: str = "axes") -> tuple[int, ...]:
        """The axes: an attribute in older opsets, an input in newer ones."""
        given = self.sizes(index).values if self.given(index) else self.setting(attribute, tuple)
        return tuple(axis for axis in given if isinstance(axis, int))

    def _value(self, name: str) -> Any:
        """What a name stands for; None for an input that is left out."""
        if name and name not in self.values:
            raise self.error(f'reads "{name}", which no node before it makes: the nodes are out of order, or go in a circle')
        return self.values[name] if name else None

    def _setting(self, key: str, default: Attribute | None) -> Any:
        value = self.node.attributes.get(key, default)
        numbers: tuple[Any, ...] = value if isinstance(value, tuple) else (value,)
        if default is not None and (
            type(value) is not type(default) or (isinstance(value, tuple) and any(type(v) is not int for v in value))
        ):
            raise self.error(f"has the attribute {key} = {value!r:.60}, which is of the wrong type")
        if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
            raise self.error(f"has the attribute {key} = {value!r:.60}, which is not finite")
        return value
