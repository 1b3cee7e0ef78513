"""A pickle machine that can only make plain data: what torch.save writes is read by it, without the module pickle.

A pickle is a program for a machine with a stack and a memo. Each instruction is a byte and its argument:

    push      None, True, False, integers, floats, texts, bytes, an empty tuple, list or table
    ( … t     a mark; later all above it becomes a tuple (t), items of the list below (e), or of the table below (u)
    q, h      keep the top in the memo under a number; push what is kept there
    c, \\x93   push what a name means: by `torch_names`, which knows a few and calls nothing
    R, \\x81   call a name with a tuple of arguments, that is: let `torch_names` make plain data of it
    b         give an object attributes; they are dropped
    Q         push the storage that a tuple describes
    .         the end: the top of the stack is the value

Instructions that torch.save does not use are refused. One pass does all: a foreign name ends it where it stands, when nothing but
texts, numbers, tuples and references has been made. Only texts are keys: items under others are dropped, so that nothing of
the file is ever hashed or walked but texts. The bounds on steps and bytes keep memory below 32 MB whatever the file claims.

See Python's pickletools module for all instructions.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

from ..errors import CheckpointError
from .torch_names import Name, StorageRef, TensorRef, name, storage

__all__ = ["MAX_BYTES", "Unpickled", "unpickle"]

MAX_BYTES = 4 << 20  # of a pickle; VGG-19's has 4 kB
_MAX_STEPS = 150_000  # a tensor takes about 40
_MAX_INTEGER = 255  # bytes

_CONSTANTS: dict[int, Any] = {ord("N"): None, 0x88: True, 0x89: False, ord(")"): ()}
_NUMBERS = {ord("K"): struct.Struct("<B"), ord("M"): struct.Struct("<H"), ord("J"): struct.Struct("<i"), ord("G"): struct.Struct(">d")}
_TEXTS = {ord("X"): 4, 0x8C: 1, 0x8D: 8}  # code → bytes of the length before it, as below
_OLD_TEXTS = {ord("U"): 1, ord("T"): 4}  # Python 2
_BYTES = {ord("C"): 1, ord("B"): 4, 0x8E: 8}
_INTEGERS = {0x8A: 1, 0x8B: 4}
_KEEP = {ord("q"): 1, ord("r"): 4}
_KEPT = {ord("h"): 1, ord("j"): 4}
_TUPLES = {0x85: 1, 0x86: 2, 0x87: 3}
_SKIPPED = {0x80: 1, 0x95: 8}  # the protocol's number; the length of what follows


@dataclass(frozen=True)
class Unpickled:
    """`end`: where the pickle ends; `storages`: by their keys, the first reference to each."""

    value: Any
    end: int
    storages: dict[str, StorageRef]


def unpickle(data: bytes, begin: int = 0) -> Unpickled:
    """The pickle that begins there. Raises CheckpointError, without the file's path, if it is cut off, malformed, too long, or names
    something that is not in `torch_names.NAMES`."""
    machine = _Machine(data, begin)
    for _ in range(_MAX_STEPS):
        code = machine.take(1)[0]
        if code == ord("."):
            return Unpickled(machine.pop(), machine.at, machine.storages)
        machine.step(code)
    raise CheckpointError(f"has more than {_MAX_STEPS:,} values beside its tensors. Save them alone: torch.save(model.state_dict(), FILE).")


@dataclass
class _Machine:
    data: bytes
    at: int
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    storages: dict[str, StorageRef] = field(default_factory=dict)

    def step(self, code: int) -> None:
        """One instruction."""
        if code in _CONSTANTS:
            self.stack.append(_CONSTANTS[code])
        elif code in _NUMBERS:
            self.stack.append(_NUMBERS[code].unpack(self.take(_NUMBERS[code].size))[0])
        elif code in _TEXTS:
            self.stack.append(_text(self.take(self.count(_TEXTS[code]))))
        elif code in _OLD_TEXTS:
            self.stack.append(self.take(self.count(_OLD_TEXTS[code])).decode("latin-1"))
        elif code in _BYTES:
            self.stack.append(self.take(self.count(_BYTES[code])))
        elif code in _INTEGERS:
            self.stack.append(self.integer(self.count(_INTEGERS[code])))
        elif code in _KEPT:
            self.stack.append(self.kept(self.count(_KEPT[code])))
        elif code in _KEEP:
            self.memo[self.count(_KEEP[code])] = self.top()
        elif code == 0x94:
            self.memo[len(self.memo)] = self.top()
        elif code in _TUPLES:
            self.stack.append(tuple(reversed([self.pop() for _ in range(_TUPLES[code])])))
        elif code in _SKIPPED:
            self.take(_SKIPPED[code])
        elif (method := _METHODS.get(code)) is not None:
            method(self)
        else:
            raise CheckpointError(f"has the pickle instruction {bytes([code])!r}, which torch.save does not use. The file is refused.")

    def take(self, count: int) -> bytes:
        """The next bytes."""
        if count > len(self.data) - self.at:
            full = f"; at most {MAX_BYTES:,} bytes are read, save model.state_dict() alone" if len(self.data) >= MAX_BYTES else ""
            raise CheckpointError(f"ends within its pickle{full}. The file is damaged or incomplete.")
        self.at += count
        return self.data[self.at - count : self.at]

    def count(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def integer(self, size: int) -> int:
        if size > _MAX_INTEGER:
            raise CheckpointError(f"has an integer of {size:,} bytes; {_MAX_INTEGER} are the most. The file is refused.")
        return int.from_bytes(self.take(size), "little", signed=True)

    def line(self) -> str:
        end = self.data.find(b"\n", self.at, self.at + 1000)
        if end < 0:
            raise CheckpointError("has a name without an end. The file is damaged.")
        return _text(self.take(end + 1 - self.at)[:-1])

    def top(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise CheckpointError("takes a value from an empty stack in its pickle. The file is damaged.")
        return self.stack[-1]

    def pop(self) -> Any:
        self.top()
        return self.stack.pop()

    def marked(self) -> list[Any]:
        """All above the last mark, taken from the stack."""
        if not self.marks:
            raise CheckpointError("has no mark where its pickle needs one. The file is damaged.")
        mark = self.marks.pop()
        items = self.stack[mark:]
        del self.stack[mark:]
        return items

    def kept(self, number: int) -> Any:
        if number not in self.memo:
            raise CheckpointError(f"uses value {number:,} of its pickle, which it has not made. The file is damaged.")
        return self.memo[number]

    def extend(self, items: list[Any]) -> None:
        below = self.top()
        if type(below) is not list:
            raise CheckpointError("adds items to something that is no list. The file is damaged.")
        below.extend(items)

    def set_items(self, items: list[Any]) -> None:
        table = self.top()
        if type(table) is not dict or len(items) % 2:
            raise CheckpointError("adds names to something that is no table. The file is damaged.")
        table.update((key, value) for key, value in zip(items[::2], items[1::2], strict=True) if type(key) is str)

    def global_name(self) -> None:
        self.stack.append(name(self.line(), self.line()))

    def stack_name(self) -> None:
        attribute, module = self.pop(), self.pop()
        if type(module) is not str or type(attribute) is not str:
            raise CheckpointError("has a name that is no text. The file is damaged.")
        self.stack.append(name(module, attribute))

    def foreign_name(self) -> None:
        name(self.line(), self.line())
        raise CheckpointError("has the pickle instruction b'i', which torch.save does not use. The file is refused.")

    def call(self) -> None:
        arguments, called = self.pop(), self.pop()
        if not isinstance(called, Name) or called.make is None or type(arguments) is not tuple or len(arguments) > 9:
            raise CheckpointError("calls something in its pickle that is no function. The file is damaged.")
        self.stack.append(called.make(arguments))

    def build(self) -> None:
        self.pop()
        if not isinstance(self.top(), dict | TensorRef):
            raise CheckpointError("gives attributes to something that has none. The file is damaged.")

    def persistent(self) -> None:
        made = storage(self.pop())
        first = self.storages.setdefault(made.key, made)
        if first.size != made.size and first.dtype == made.dtype:
            raise CheckpointError("has two sizes for one storage. The file is damaged.")
        self.stack.append(made)


_METHODS = {
    ord("("): lambda machine: machine.marks.append(len(machine.stack)),
    ord("t"): lambda machine: machine.stack.append(tuple(machine.marked())),
    ord("]"): lambda machine: machine.stack.append([]),
    ord("}"): lambda machine: machine.stack.append({}),
    ord("e"): lambda machine: machine.extend(machine.marked()),
    ord("u"): lambda machine: machine.set_items(machine.marked()),
    ord("a"): lambda machine: machine.extend([machine.pop()]),
    ord("s"): lambda machine: machine.set_items([machine.pop(), machine.pop()][::-1]),
    ord("c"): _Machine.global_name,
    0x93: _Machine.stack_name,
    ord("i"): _Machine.foreign_name,
    ord("R"): _Machine.call,
    0x81: _Machine.call,
    ord("b"): _Machine.build,
    ord("Q"): _Machine.persistent,
}


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise CheckpointError("has a text in its pickle that is not UTF-8. The file is damaged.") from None
