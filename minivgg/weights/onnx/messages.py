"""The messages of an ONNX file as plain values: nodes, tensors (where they lie), inputs and outputs.

    ModelProto      1 ir_version  7 graph  8 opset_import {1 domain, 2 version}  20 training_info  25 functions
    GraphProto      1 node  5 initializer  11 input  12 output  15 sparse_initializer
    NodeProto       1 input  2 output  3 name  4 op_type  5 attribute  7 domain
    AttributeProto  1 name  2 f  3 i  4 s  5 t  7 floats  8 ints  20 type: 1 f, 2 i, 3 s, 4 t, 6 floats, 7 ints  21 ref_attr_name
    ValueInfoProto  1 name  2 type {1 tensor_type {1 elem_type, 2 shape {1 dim {1 dim_value}}}}
    TensorProto     see `tensors`

Fields that are not listed (documentation, types of values in between, metadata) are passed over, as protocol buffers ask. External
data would be a path to another file: it is refused, and never opened. Each name, number and message counts towards a limit of 16 MB of
Python objects, so that a file of many tiny ones takes no more memory than it should. See https://onnx.ai/onnx/repo-docs/IR.html.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import CheckpointError
from ..protobuf import Value, fields, text, varints
from .tensors import Stored

__all__ = ["Attribute", "Declared", "Defaults", "Messages", "Model", "Node"]

Attribute = int | float | str | tuple[int, ...] | tuple[float, ...] | Stored
Defaults = Mapping[str, Attribute | None]  # by name; None leaves the type open

_MOST = 16 << 20  # bytes of Python objects that messages may become, by a rough count
_LONGEST = 512  # bytes of a name
_DATA = {4: "float_data", 5: "int32_data", 7: "int64_data", 9: "raw_data", 10: "double_data"}
_DOMAINS = {"", "ai.onnx"}


@dataclass(frozen=True)
class Node:
    """One operator: `label` for messages, names of what it reads ("" for what is left out) and makes, its attributes."""

    operator: str
    label: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]


@dataclass(frozen=True)
class Declared:
    """An input or output: its name, data_type, and sizes, None for open ones; `sizes` is None if it has no shape."""

    name: str
    kind: int
    sizes: tuple[int | None, ...] | None


@dataclass(frozen=True)
class Model:
    """What is in the file."""

    opset: int
    nodes: tuple[Node, ...]
    tensors: Mapping[str, Stored]
    inputs: tuple[Declared, ...]
    outputs: tuple[Declared, ...]


class Messages:
    """The reader of one file's contents; `path` is for messages."""

    def __init__(self, contents: bytes, path: str) -> None:
        self.path, self.left = path, _MOST
        self.view = memoryview(contents)
        self.start = _address(self.view)

    def model(self) -> Model:
        """The whole. Raises CheckpointError for what is damaged, or no chain of plain operators for certain."""
        version, opset, graph = 0, 0, None
        for number, value in fields(self.view, self.path):
            if number == 1:
                version = self._int(value)
            elif number == 7:
                if graph is not None:
                    raise self._error("has two graphs. The file is damaged.")
                graph = self._view(value)
            elif number == 8:
                opset = self._opset(self._view(value)) or opset
            elif number in {20, 25}:
                raise self._error(
                    f"has {'training information' if number == 20 else 'functions'}, which cannot be read. Export it without."
                )
        if graph is None or version < 3 or opset < 7:
            raise self._error(f"is no ONNX model that can be read: IR version {version} (3 or more), opset {opset} (7 or more).")
        return self._graph(graph, opset)

    def _graph(self, graph: memoryview, opset: int) -> Model:
        nodes: list[Node] = []
        tensors: dict[str, Stored] = {}
        inputs: list[Declared] = []
        outputs: list[Declared] = []
        for number, value in fields(graph, self.path):
            if number == 1:
                nodes.append(self._node(self._view(value), len(nodes)))
            elif number == 5:
                tensor = self._tensor(self._view(value), "an initialiser")
                if tensor.name in tensors:
                    raise self._error(f'has two initialisers "{tensor.name}", so its contents are ambiguous.')
                tensors[tensor.name] = tensor
            elif number in {11, 12}:
                (inputs if number == 11 else outputs).append(self._declared(self._view(value)))
            elif number == 15:
                raise self._error("has sparse tensors, which cannot be read. Export it with dense ones.")
        return Model(opset, tuple(nodes), tensors, tuple(inputs), tuple(outputs))

    def _opset(self, message: memoryview) -> int:
        """The version of ONNX's own operators, 0 of others."""
        domain, version = "", 0
        for number, value in fields(message, self.path):
            if number == 1:
                domain = self._text(value)
            elif number == 2:
                version = self._int(value)
        return version if domain in _DOMAINS else 0

    def _node(self, message: memoryview, index: int) -> Node:
        inputs: list[str] = []
        outputs: list[str] = []
        attributes: list[memoryview] = []
        name = operator = domain = ""
        self._count(1000)
        for number, value in fields(message, self.path):
            if number in {1, 2}:
                (inputs if number == 1 else outputs).append(self._text(value))
            elif number == 3:
                name = self._text(value)
            elif number == 4:
                operator = self._text(value)
            elif number == 5:
                self._count(100)
                attributes.append(self._view(value))
            elif number == 7:
                domain = self._text(value)
        label = f"{operator or 'a node'} {name or (outputs or [f'number {index}'])[0]}"
        if domain not in _DOMAINS:
            raise self._error(f'{label} is of the domain "{domain}"; only ONNX\'s own operators can be read.')
        read: dict[str, Attribute] = {}
        for attribute in attributes:
            key, setting = self._attribute(attribute, label)
            if key in read:
                raise self._error(f"{label} has two attributes {key}. The file is damaged.")
            read[key] = setting
        return Node(operator, label, tuple(inputs), tuple(outputs), read)

    def _attribute(self, message: memoryview, label: str) -> tuple[str, Attribute]:
        found: dict[int, Any] = {7: [], 8: []}
        for number, value in fields(message, self.path):
            if number in {1, 4}:
                found[number] = self._text(value)
            elif number in {3, 20}:
                found[number] = self._int(value)
            elif number in {2, 7}:
                found[7] += self._floats(self._view(value))
            elif number == 8:
                found[8] += self._ints(value)
            elif number in {5, 21}:
                found[number] = self._view(value)
        name, kind = found.get(1, ""), found.get(20, 0)
        if kind == 4 and 5 in found:
            return name, self._tensor(found[5], f"attribute {name} of {label}")
        plain: dict[int, Attribute] = {
            1: float(sum(found[7][-1:])), 2: found.get(3, 0), 3: found.get(4, ""), 6: tuple(found[7]), 7: tuple(found[8]),
        }  # fmt: skip
        if kind not in plain or 21 in found:
            raise self._error(f"attribute {name} of {label} is of ONNX's type {kind}: subgraphs, functions and the like cannot be read.")
        return name, plain[kind]

    def _tensor(self, message: memoryview, name: str) -> Stored:
        shape: list[int] = []
        places: list[tuple[int, int]] = []
        kind, used = 0, set()
        self._count(600)
        for number, value in fields(message, self.path):
            if number == 1:
                shape += self._ints(value)
            elif number == 2:
                kind = self._int(value)
            elif number == 8:
                name = self._text(value) or name
            elif number == 13 or (number == 14 and value):
                remedy = "Save the model as one file (torch.onnx.export: external_data=False)."
                raise self._error(f"the numbers of {name} are in another file, which is never opened. {remedy}")
            elif number in _DATA:
                self._count(150)
                data = self._view(value)
                if data:
                    used.add(_DATA[number])
                    places.append((_address(data) - self.start, len(data)))
        if len(used) > 1 or len(shape) > 8 or min(shape, default=0) < 0:
            raise self._error(f"{name} has sizes {shape[:9]} and its numbers in {sorted(used)}. The file is damaged.")
        made = Stored(name, tuple(shape), kind, used.pop() if used else "raw_data", tuple(places))
        made.check(self.path)
        return made

    def _declared(self, message: memoryview) -> Declared:
        name, kind, sizes = "", 0, None
        self._count(400)
        for number, value in fields(message, self.path):
            if number == 1:
                name = self._text(value)
        for tensor in self._inner(self._inner([message], 2), 1):
            kind = next((self._int(value) for number, value in fields(tensor, self.path) if number == 1), 0)
            for shape in self._inner([tensor], 2):
                sizes = tuple(self._size(dim) for dim in self._inner([shape], 1))
        return Declared(name, kind, sizes)

    def _size(self, dim: memoryview) -> int | None:
        self._count(50)
        size = next((self._int(value) for number, value in fields(dim, self.path) if number == 1), 0)
        return size if size > 0 else None

    def _inner(self, messages: Iterable[memoryview], wanted: int) -> Iterable[memoryview]:
        return (self._view(v) for message in messages for number, v in fields(message, self.path) if number == wanted)

    def _ints(self, value: Value) -> list[int]:
        if isinstance(value, memoryview):
            self._count(40 * len(value))
            return [_signed(number) for number in varints(value, self.path)]
        return [self._int(value)]

    def _int(self, value: Value) -> int:
        self._count(40)
        if isinstance(value, memoryview):
            raise self._error("has bytes where a number was expected. The file is damaged.")
        return _signed(value)

    def _floats(self, data: memoryview) -> list[float]:
        self._count(10 * len(data))
        if len(data) % 4:
            raise self._error(f"has {len(data)} bytes where numbers of 4 bytes were expected. The file is damaged.")
        return list(struct.unpack(f"<{len(data) // 4}f", data))

    def _text(self, value: Value) -> str:
        size = len(value) if isinstance(value, memoryview) else 0
        self._count(100 + 4 * size)
        if size > _LONGEST or not (made := text(value, self.path)).isprintable():
            raise self._error(f"has a name of {size:,} bytes that is too long, or cannot be printed. The file is damaged.")
        return made

    def _view(self, value: Value) -> memoryview:
        if not isinstance(value, memoryview):
            raise self._error("has a number where a message was expected. The file is damaged.")
        return value

    def _count(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise self._error("its graph is far larger than any chain of layers. The file is damaged, or of another kind of network.")

    def _error(self, why: str) -> CheckpointError:
        return CheckpointError(f"{self.path}: {why}")


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


def _address(view: memoryview) -> int:
    return int(np.frombuffer(view, "u1").__array_interface__["data"][0]) if view else 0
