"""An HDF5 dataset's numbers: in its header, in one piece, or in chunks.

    layout 3.0   size (2 bytes), data
    layout 3.1   address, size (8 bytes each)
    layout 3.2   axes + 1, the address of a B-tree, the sizes of a chunk (4 bytes each; the last is a number's)

The tree's keys are (size in the file, filters left out, offsets of the first number), and its leaves are chunks, each of full size, also
where it reaches over the array's end. Filters work on whole chunks: 1 zlib, 2 shuffle (all first bytes of the numbers, all second ones, …),
3 fletcher32 (a sum in 4 bytes at the end). What is not there is 0.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .hdf5_tables import Tables

__all__ = ["read_array"]

_MAX_AXES = 8
_MAX_CHUNK = 1 << 20  # bytes; h5py's own choice is never larger
_FLOATS: dict[
    bytes, Any
] = {  # type messages but for their version: sign's place, size; offset, bits, exponent's and mantissa's places and sizes, bias
    bytes.fromhex("20 0f 00 02000000 0000 1000 0a05 000a 0f000000"): np.dtype("<f2"),
    bytes.fromhex("20 1f 00 04000000 0000 2000 1708 0017 7f000000"): np.dtype("<f4"),
    bytes.fromhex("20 3f 00 08000000 0000 4000 340b 0034 ff030000"): np.dtype("<f8"),
}


def read_array(tables: Tables, messages: Mapping[int, bytes], where: str) -> Any:
    """The array of a dataset, from its header's messages by kind. Raises CheckpointError for one that is damaged or not read."""
    shape, kind = _shape(tables, messages.get(1, b""), where), messages.get(3, b"")
    dtype = _FLOATS.get(kind[1:20])
    if dtype is None or kind[0] & 15 != 1:
        raise tables.refused(f"{where} has numbers that are no little-endian floats of 16, 32 or 64 bits")
    layout = messages[8]
    form = tables.number(layout, 0, 1), tables.number(layout, 1, 1)
    if form == (3, 2):
        return _Chunked(tables, shape, dtype, where).read(layout, _filters(tables, messages.get(11, b""), where))
    if form not in {(3, 0), (3, 1)}:
        raise tables.refused(f"{where} has the layout {form[0]}.{form[1]}")
    size = math.prod(shape) * dtype.itemsize
    length = tables.number(layout, 2, 2) if form == (3, 0) else tables.number(layout, 10)
    if length != size:
        raise tables.damaged(f"{where} {dtype} {list(shape)} needs {size:,} bytes, but has {length:,}")
    tables.claim(size, where)
    array: Any = np.zeros(shape, dtype)
    flat = array.reshape(-1).view("u1")
    if form == (3, 0):
        tables.number(layout, 4 + size, 0)
        flat[:] = np.frombuffer(layout[4 : 4 + size], "u1")
    elif size:
        begin = tables.number(layout, 2)
        if begin + size > tables.size:
            raise tables.damaged(f"{where} has {size:,} bytes from {begin:,} on, beyond the file's {tables.size:,}")
        tables.file.seek(tables.begin + begin)
        if tables.file.readinto(flat.data) != size:  # type: ignore[attr-defined]
            raise tables.damaged(f"ends within {where}")
    return array


def _shape(tables: Tables, message: bytes, where: str) -> tuple[int, ...]:
    version, axes = tables.number(message, 0, 1), tables.number(message, 1, 1)
    begin = {1: 8, 2: 4}.get(version, 0)
    if not begin or axes > _MAX_AXES or (version == 2 and tables.number(message, 3, 1) > 1):
        raise tables.refused(f"{where} has a shape of version {version} with {axes} axes")
    shape = tuple(tables.number(message, begin + 8 * i) for i in range(axes))
    if math.prod(n or 1 for n in shape) > 1 << 40:
        raise tables.damaged(f"{where} has the shape {list(shape)}")
    return shape


def _filters(tables: Tables, message: bytes, where: str) -> list[int]:
    """The filters' numbers, in the order in which they were applied."""
    if not message:
        return []
    version, count = tables.number(message, 0, 1), tables.number(message, 1, 1)
    at, found = {1: 8, 2: 2}.get(version, 0), list[int]()
    for _ in range(count):
        number = tables.number(message, at, 2)
        if not at or number not in {1, 2, 3} or count > 3:
            raise tables.refused(f"{where} is compressed with the filter {number} of {count}; gzip, shuffle and fletcher32 are known")
        found.append(number)
        name = tables.number(message, at + 2, 2) if version == 1 else 0
        values = tables.number(message, at + (6 if version == 1 else 4), 2)
        at += 8 + -(-name // 8) * 8 + 4 * (values + values % 2) if version == 1 else 6 + 4 * values
    return found


class _Chunked:
    """An array that is read chunk by chunk."""

    def __init__(self, tables: Tables, shape: tuple[int, ...], dtype: Any, where: str) -> None:
        self.tables, self.shape, self.dtype, self.where = tables, shape, dtype, where

    def read(self, layout: bytes, filters: list[int]) -> Any:
        tables, axes = self.tables, len(self.shape)
        self.sizes = tuple(tables.number(layout, 11 + 4 * i, 4) for i in range(axes))
        self.chunk_bytes = math.prod(self.sizes) * self.dtype.itemsize
        if tables.number(layout, 2, 1) != axes + 1 or tables.number(layout, 11 + 4 * axes, 4) != self.dtype.itemsize:
            raise tables.damaged(f"{self.where} has chunks of other axes or numbers than its own")
        if not axes or not 0 < self.chunk_bytes <= _MAX_CHUNK:
            raise tables.refused(
                f"{self.where} is in chunks {list(self.sizes)} of {self.chunk_bytes:,} bytes; from 1 to {_MAX_CHUNK:,} are read"
            )
        tables.claim(math.prod(-(-n // c) for n, c in zip(self.shape, self.sizes, strict=True)) * self.chunk_bytes, self.where)
        array = np.zeros(self.shape, self.dtype)
        seen: set[tuple[int, ...]] = set()
        root = tables.number(layout, 3)
        for key, address in self._leaves(root) if root != (1 << 64) - 1 else ():
            length, left_out = tables.number(key, 0, 4), tables.number(key, 4, 4)
            first = tuple(tables.number(key, 8 + 8 * i) for i in range(axes))
            if first in seen or any(at % c or at >= n for at, c, n in zip(first, self.sizes, self.shape, strict=True)):
                raise tables.damaged(f"{self.where} has a chunk at {list(first)} twice, or one that does not belong there")
            seen.add(first)
            piece = self._unpacked(address, length, [f for i, f in enumerate(filters) if not left_out >> i & 1])
            into = array[tuple(slice(at, at + c) for at, c in zip(first, self.sizes, strict=True))]
            into[...] = piece[tuple(slice(n) for n in into.shape)]
        return array

    def _leaves(self, root: int) -> Iterator[tuple[bytes, int]]:
        """(key, address) of each chunk."""
        nodes, step = [root], 24 + 8 * len(self.shape)
        while nodes:
            address = nodes.pop()
            node = self.tables.read(address, 8, b"TREE\1")
            entries = self.tables.read(address + 24, self.tables.number(node, 6, 2) * step)
            for at in range(0, len(entries), step):
                child = self.tables.number(entries, at + step - 8)
                if node[5]:
                    nodes.append(child)
                else:
                    yield entries[at : at + step - 8], child

    def _unpacked(self, address: int, length: int, filters: list[int]) -> Any:
        """A chunk's numbers, in its shape."""
        tables = self.tables
        if length > 2 * self.chunk_bytes + 1024 or address + length > tables.size:
            raise tables.damaged(f"{self.where} has a chunk of {length:,} bytes at {address:,}, which is too long or beyond the file")
        data = tables.piece(address, length)
        for number in reversed(filters):
            if number == 1:
                try:
                    data = zlib.decompressobj().decompress(data, self.chunk_bytes + 5)
                except zlib.error as error:
                    raise tables.damaged(f"a chunk of {self.where} cannot be unpacked ({error})") from None
            elif number == 2:
                whole = len(data) - len(data) % self.dtype.itemsize
                data = np.frombuffer(data[:whole], "u1").reshape(self.dtype.itemsize, -1).T.tobytes() + data[whole:]
            elif len(data) < 4 or _fletcher(data[:-4]) != tuple(np.frombuffer(data[-4:], "<u2") % 65535):
                raise tables.damaged(f"a chunk of {self.where} does not match its checksum")
            else:
                data = data[:-4]
        if len(data) != self.chunk_bytes:
            raise tables.damaged(f"a chunk of {self.where} has {len(data):,} bytes; {self.chunk_bytes:,} were expected")
        return np.frombuffer(data, self.dtype).reshape(self.sizes)


def _fletcher(data: bytes) -> tuple[int, int]:
    """(sum of the data's big-endian 16-bit words, sum of its partial sums), modulo 65535; an odd byte is the upper half of a last one."""
    words = np.frombuffer(data + b"\0" * (len(data) % 2), ">u2")
    total = partial = 0
    for at in range(0, len(words), 1 << 14):
        block = words[at : at + (1 << 14)].astype(np.uint64)
        partial += len(block) * total + int((block * np.arange(len(block), 0, -1, dtype=np.uint64)).sum())
        total += int(block.sum())
    return total % 65535, partial % 65535
