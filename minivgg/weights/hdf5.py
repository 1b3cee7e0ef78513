"""HDF5, as much of it as Keras writes, read in Python: no C code sees a stranger's file, and no plug-in is ever loaded.

    superblock 0   \\x89HDF…, sizes of addresses, where the file ends, the root group's header
    header 1       messages: 1 dataspace, 3 datatype, 8 layout, 11 filters, 12 attribute, 16 continuation, 17 a group's table
    table          a B-tree ("TREE") of nodes ("SNOD") of (name's offset in a heap ("HEAP"), address of a header)
    data           in the header, in one piece, or in chunks under another B-tree (`hdf5_chunks`)

That is what h5py writes unless told otherwise. Refused, each by name: links that are soft or lead out of the file, data in other files or
put together from other data, types but IEEE floats of 16, 32 and 64 bits, and the layouts of libver="latest".
The library itself stood 6,000 mutated files without a crash in one version; old ones have known faults, and none of them bounds memory.
All that is read of tables is counted, so that circles end. See "HDF5 File Format Specification", version 3.0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np

from ..errors import CheckpointError
from .hdf5_chunks import Chunks
from .opening import size_of

__all__ = ["Hdf5", "Names"]

Names = tuple[str, ...]
Messages = list[tuple[int, bytes]]

_NOWHERE = 0xFFFF_FFFF_FFFF_FFFF
_MAX_DEPTH = 16
_MAX_ARRAYS = 10_000
_MAX_AXES = 8
_FLOATS = {  # size → (byte with the place of the sign, bits: offset, precision; exponent: place, size; mantissa: place, size; bias)
    2: (15, "00001000" "0a05" "000a" "0f000000"),
    4: (31, "00002000" "1708" "0017" "7f000000"),
    8: (63, "00004000" "340b" "0034" "ff030000"),
}  # fmt: skip
_REFUSED = {
    2: "is a group in the layout of newer files",
    6: "has links in the layout of newer files, of which some lead out of a file",
    7: "has its data in other files",
}


class Hdf5:
    """An HDF5 file. `path` is for messages; `limit` bounds the bytes of all arrays together."""

    def __init__(self, file: BinaryIO, path: str, limit: int) -> None:
        self.file, self.path, self.size, self.limit = file, path, size_of(file), limit
        self.budget = min(2 * self.size + (1 << 20), 1 << 24)  # of bytes in tables; a VGG-19 has 0.1e6
        self.seen: set[int] = set()
        self.heaps: dict[int, bytes] = {}

    def read(self, wanted: Callable[[Names], bool]) -> tuple[dict[Names, Any], dict[Names, str]]:
        """(arrays, the attributes "name" of groups), both by names from the root on, where `wanted` is true of all names on the way.

        Raises CheckpointError for a file that is damaged, or has what is refused above.
        """
        start = self.bytes(0, min(96, self.size))
        if not start.startswith(b"\x89HDF\r\n\x1a\n"):
            raise CheckpointError(f"{self.path}: is not an HDF5 file: it begins with {start[:8]!r}.")
        if start[8] > 1 or start[13:15] != b"\x08\x08":
            raise CheckpointError(
                f"{self.path}: is an HDF5 file with superblock {start[8]}; 0 is read, which h5py writes unless told libver='latest'."
            )
        at = 24 if start[8] == 0 else 28
        if self.number(start, at, 8) or self.number(start, at + 16, 8) > self.size:
            self.damaged(f"should have {self.number(start, at + 16, 8):,} bytes, but has {self.size:,}")
        arrays: dict[Names, Any] = {}
        labels: dict[Names, str] = {}
        for names, messages in self._objects((), self.number(start, at + 40, 8), wanted):
            if any(kind == 8 for kind, _ in messages):
                arrays[names] = self._array(messages, "/".join(names))
            elif label := self._label(messages, "/".join(names)):
                labels[names] = label
            if len(arrays) > _MAX_ARRAYS:
                self.damaged(f"has more than {_MAX_ARRAYS:,} arrays")
        return arrays, labels

    def damaged(self, what: str) -> None:
        """Raise the error that says so."""
        raise CheckpointError(f"{self.path}: {what}. The file is damaged, incomplete or foreign.")

    def bytes(self, at: int, size: int) -> bytes:
        """A piece of a table, counted."""
        self.budget -= size + 64
        if self.budget < 0:
            self.damaged("its tables run in circles, or are larger than those of any network")
        if at + size > self.size:
            self.damaged(f"a table refers to byte {at + size:,} of {self.size:,}")
        self.file.seek(at)
        return self.file.read(size)

    def number(self, data: bytes, at: int, size: int) -> int:
        """An unsigned integer within a table."""
        if at + size > len(data):
            self.damaged("a table ends too early")
        return int.from_bytes(data[at : at + size], "little")

    def _objects(self, names: Names, address: int, wanted: Callable[[Names], bool]) -> Iterator[tuple[Names, Messages]]:
        """Each group and dataset below, depth first, with the messages of its header."""
        where = "/".join(names) or "the root"
        if address in self.seen or len(names) > _MAX_DEPTH:
            self.damaged(f"{where} has two names, or stands {_MAX_DEPTH} groups deep")
        self.seen.add(address)
        messages = self._messages(address, where)
        yield names, messages
        for kind, data in messages:
            if kind == 17:
                for name, child in self._members(data, where):
                    if wanted((*names, name)):
                        yield from self._objects((*names, name), child, wanted)

    def _messages(self, address: int, where: str) -> Messages:
        """Those of an object's header, its continuations included."""
        prefix = self.bytes(address, 16)
        if prefix[0] != 1:
            self.damaged(f"the header of {where} is not of version 1, but begins with {prefix[:4]!r}")
        found: Messages = []
        blocks = [(address + 16, self.number(prefix, 8, 4))]
        for begin, size in blocks:  # grows while it is walked
            data, at = self.bytes(begin, size), 0
            while at + 8 <= size:
                kind, length, flags = self.number(data, at, 2), self.number(data, at + 2, 2), data[at + 4]
                content = data[at + 8 : at + 8 + length]
                if len(content) < length:
                    self.damaged(f"the header of {where} ends within a message")
                if kind in _REFUSED or (flags & 2 and kind in {1, 3, 8, 11, 17}):
                    reason = _REFUSED.get(kind, "shares its type with others")
                    raise CheckpointError(f"{self.path}: {where} {reason}, which is not read. Save it anew with Keras.")
                if kind == 16:
                    blocks.append((self.number(content, 0, 8), self.number(content, 8, 8)))
                found.append((kind, content))
                at += 8 + length
        return found

    def _members(self, table: bytes, where: str) -> Iterator[tuple[str, int]]:
        """(name, address) of each object in a group."""
        heap = self.bytes(self.number(table, 8, 8), 32)
        names = self.bytes(self.number(heap, 24, 8), self.number(heap, 8, 8))
        if heap[:4] != b"HEAP":
            self.damaged(f"the names in {where} are missing")
        nodes = [self.number(table, 0, 8)]
        while nodes:
            address = nodes.pop()
            node = self.bytes(address, 8)
            count = self.number(node, 6, 2)
            if node[:4] == b"TREE" and node[4] == 0:
                children = self.bytes(address + 24, 16 * count + 8)
                nodes += [self.number(children, 8 + 16 * i, 8) for i in reversed(range(count))]
                continue
            if node[:4] != b"SNOD":
                self.damaged(f"the table of {where} has a node that is none")
            entries = self.bytes(address + 8, 40 * count)
            for at in range(0, len(entries), 40):
                name = self._text(names[self.number(entries, at, 8) :].split(b"\0", 1)[0], where)
                if self.number(entries, at + 16, 4) > 1:
                    raise CheckpointError(f"{self.path}: {name} in {where} is a link, and links are not followed. Save it anew with Keras.")
                yield name, self.number(entries, at + 8, 8)

    def _text(self, data: bytes, where: str) -> str:
        try:
            name = data.decode()
        except UnicodeDecodeError:
            name = ""
        if not name.isprintable() or not 0 < len(name) <= 200:
            self.damaged(f"a name in {where} is no text, or has more than 200 letters")
        return name

    def _label(self, messages: Messages, where: str) -> str:
        """The attribute "name", a text in the header or in a heap ("GCOL"); "" if there is none."""
        for data in (content for kind, content in messages if kind == 12 and len(content) > 8):
            version, sizes = data[0], [self.number(data, at, 2) for at in (2, 4, 6)]
            at = 9 if version == 3 else 8
            name = data[at : at + sizes[0]].rstrip(b"\0")
            step = [-(-size // 8) * 8 if version == 1 else size for size in sizes]
            kind, value = data[at + step[0] : at + step[0] + sizes[1]], data[at + sum(step) :]
            if name != b"name" or len(kind) < 8:
                continue
            if kind[0] & 15 == 3:  # of fixed length
                return self._text(value.rstrip(b"\0"), where)
            if kind[0] & 15 == 9 and kind[1] & 15 == 1:  # of any length
                heap = self._heap(self.number(value, 4, 8), where)
                return self._text(self._item(heap, self.number(value, 12, 4), where)[: self.number(value, 0, 4)], where)
        return ""

    def _heap(self, address: int, where: str) -> bytes:
        if address not in self.heaps:
            start = self.bytes(address, 16)
            if start[:4] != b"GCOL":
                self.damaged(f"the name of {where} is missing")
            self.heaps[address] = self.bytes(address, self.number(start, 8, 8))
        return self.heaps[address]

    def _item(self, heap: bytes, index: int, where: str) -> bytes:
        at = 16
        while at + 16 <= len(heap):
            self.budget -= 16
            size = self.number(heap, at + 8, 8)
            if self.number(heap, at, 2) == index:
                return heap[at + 16 : at + 16 + size]
            at += 16 + -(-size // 8) * 8
        self.damaged(f"the name of {where} is missing")
        return b""

    def _array(self, messages: Messages, where: str) -> Any:
        """A dataset's numbers, a copy."""
        found = dict(reversed(messages))
        shape, dtype = self._shape(found.get(1, b""), where), self._dtype(found.get(3, b""), where)
        layout, size = found[8], math.prod(shape) * dtype.itemsize
        version, kind = self.number(layout, 0, 1), self.number(layout, 1, 1)
        if version != 3 or kind > 2:
            raise CheckpointError(f"{self.path}: {where} has the layout {version}.{kind}, which is not read. Save it anew with Keras.")
        if kind == 2:
            return self._chunks(layout, found.get(11, b""), shape, dtype, where)
        self._claim(size, where)
        length = self.number(layout, 2, 2) if kind == 0 else self.number(layout, 10, 8)
        if length != size:
            self.damaged(f"{where} {dtype} {shape} needs {size:,} bytes, but has {length:,}")
        if kind == 0:
            self.number(layout, 4 + size, 0)
            return np.frombuffer(layout[4 : 4 + size], dtype).reshape(shape).copy()
        array, address = np.empty(shape, dtype), self.number(layout, 2, 8)
        if size and address + size > self.size:
            self.damaged(f"{where} has its {size:,} bytes at {address:,}, beyond the file's {self.size:,}")
        self.file.seek(address if size else 0)
        if size and self.file.readinto(array.reshape(-1).view("u1").data) != size:  # type: ignore[attr-defined]
            self.damaged(f"ends within {where}")
        return array
