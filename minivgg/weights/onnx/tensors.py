"""TensorProto: where a tensor's numbers lie in the file, and how they become an array.

    1 dims          sizes, varints                       4 float_data    float32, packed
    2 data_type     1 float, 10 float16, 11 double,      5 int32_data    int32, bool, and the bits of float16 and bfloat16: varints
                    16 bfloat16, 6 int32, 7 int64,       7 int64_data    varints
                    9 bool                              10 double_data   float64, packed
    8 name                                               9 raw_data      little-endian, C order

A tensor has one of the five fields of numbers. What is read at first is only where they lie; the numbers go from the file straight into
their array, once it is known that they are wanted and that there are as many as the sizes say. What all arrays take together is limited
to twice the file: bfloat16, which NumPy does not have, becomes float32; and a graph that uses one tensor many times cannot make it many
times its size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from ...errors import CheckpointError
from ..opening import size_of
from ..protobuf import varints

__all__ = ["FLOATS", "Source", "Stored"]

_BFLOAT16 = 16
FLOATS = frozenset({1, 10, 11, _BFLOAT16})  # the data_types of floating-point numbers
# data_type → (NumPy's dtype, the typed field that may hold it)
_KINDS = {
    1: ("<f4", "float_data"),
    6: ("<i4", "int32_data"),
    7: ("<i8", "int64_data"),
    9: ("?", "int32_data"),
    10: ("<f2", "int32_data"),
    11: ("<f8", "double_data"),
    _BFLOAT16: ("<u2", "int32_data"),
}
_SLACK = 8 << 20  # bytes beyond twice the file's size
_CHUNK = 1 << 20  # numbers, or bytes, at once
_MOST_SIZES = 64  # numbers of a shape, or of axes


@dataclass(frozen=True)
class Stored:
    """A tensor in the file: its name, sizes, data_type, the field that holds its numbers, and where they lie, as (first byte, bytes).

    `values` are the numbers themselves, of a constant that has them as attributes.
    """

    name: str
    shape: tuple[int, ...]
    kind: int
    field: str = "raw_data"
    places: tuple[tuple[int, int], ...] = ()
    values: tuple[float, ...] = ()

    @property
    def floating(self) -> bool:
        """Whether its numbers are floating-point ones."""
        return self.kind in FLOATS

    def check(self, path: str) -> None:
        """Raises CheckpointError unless its type is known and its bytes are as many as its sizes say."""
        if self.kind not in _KINDS:
            known = "float, float16, bfloat16, double, int32, int64, bool"
            raise CheckpointError(f"{path}: {self.name} is of ONNX's type {self.kind}; supported are {known}.")
        dtype, typed = _KINDS[self.kind]
        if self.field not in {"raw_data", typed}:
            raise CheckpointError(f"{path}: {self.name} has its numbers in {self.field}, but its type belongs into {typed} or raw_data.")
        count, size = math.prod(self.shape), sum(length for _, length in self.places)
        if self.field in {"raw_data", "float_data", "double_data"}:
            needs = count * np.dtype(dtype).itemsize
            if needs != size:
                raise CheckpointError(f"{path}: {self.name} {list(self.shape)} needs {needs:,} bytes, but has {size:,}.")
        elif not count <= size <= 10 * count:  # a varint has 1 to 10 bytes
            raise CheckpointError(f"{path}: {self.name} {list(self.shape)} needs {count:,} numbers, but has {size:,} bytes of them.")


class Source:
    """The file that tensors are read from, and how many bytes of arrays may still be made."""

    def __init__(self, file: BinaryIO, path: str) -> None:
        self.file, self.path = file, path
        self.left = 2 * size_of(file) + _SLACK

    def charge(self, size: int, name: str) -> None:
        """Raises CheckpointError if arrays of `size` more bytes would take more than twice the file's."""
        self.left -= size
        if self.left < 0:
            raise CheckpointError(f"{self.path}: {name} makes the arrays larger than twice the file: it is damaged, or not of a network.")

    def array(self, tensor: Stored) -> Any:
        """Its numbers, a new array in C order; bfloat16 as float32. Raises CheckpointError if they are not in the file."""
        if tensor.values:
            return np.array(tensor.values, np.float32).reshape(tensor.shape)
        count, half = math.prod(tensor.shape), tensor.kind == _BFLOAT16
        dtype = np.dtype(_KINDS[tensor.kind][0])
        made = np.dtype("<u4") if half else dtype
        self.charge(count * made.itemsize, tensor.name)
        array = np.empty(count, made)
        if tensor.field in {"raw_data", "float_data", "double_data"}:
            self._bytes(tensor, array, dtype)
        else:
            self._varints(tensor, array, dtype)
        if half:  # the upper half of a float32
            array <<= 16
            array = array.view("<f4")
        return array.reshape(tensor.shape)

    def numbers(self, tensor: Stored) -> tuple[int, ...]:
        """The whole numbers of a shape, of axes, or of one size. Raises CheckpointError if they are none, or more than 64."""
        if tensor.floating or math.prod(tensor.shape) > _MOST_SIZES or len(tensor.shape) > 1:
            raise CheckpointError(f"{self.path}: {tensor.name} {list(tensor.shape)} is used as a shape, but is no list of whole numbers.")
        return tuple(int(number) for number in self.array(tensor).ravel())

    def _bytes(self, tensor: Stored, array: Any, dtype: Any) -> None:
        """The file's bytes into the array, piece by piece where they have to be converted."""
        at = 0
        for first, length in tensor.places:
            self.file.seek(first)
            end = at + length // dtype.itemsize
            while at < end:
                part = array[at : end if array.dtype == dtype else min(end, at + _CHUNK)]
                buffer = part if array.dtype == dtype else np.empty(len(part), dtype)
                if self.file.readinto(buffer.view("u1").data) != buffer.nbytes:  # type: ignore[attr-defined]
                    raise CheckpointError(f"{self.path}: ends within {tensor.name}. The file is incomplete.")
                if buffer is not part:
                    part[...] = buffer
                at += len(part)

    def _varints(self, tensor: Stored, array: Any, dtype: Any) -> None:
        """The numbers of packed varints into the array. Those of float16 and bfloat16 are the 16 bits of each number."""
        bits = np.dtype("<u2") if tensor.kind in {10, _BFLOAT16} else dtype
        target, at = array if array.dtype == np.dtype("<u4") else array.view(bits), 0
        lowest, highest = (0, 1) if bits.kind == "b" else (int(np.iinfo(bits).min), int(np.iinfo(bits).max))
        for number in self._numbers(tensor):
            signed = number - (1 << 64) if number >> 63 else number
            if at == len(target) or not lowest <= signed <= highest:
                raise CheckpointError(f"{self.path}: {tensor.name} has more numbers than its sizes say, or one beyond its type: {signed}.")
            target[at] = signed
            at += 1
        if at != len(target):
            raise CheckpointError(f"{self.path}: {tensor.name} {list(tensor.shape)} needs {len(target):,} numbers, but has {at:,}.")

    def _numbers(self, tensor: Stored) -> Iterator[int]:
        for first, length in tensor.places:
            self.file.seek(first)
            rest = b""
            while length:
                chunk = self.file.read(min(_CHUNK, length))
                length -= len(chunk)
                piece = rest + chunk
                end = next((i for i in range(len(piece), max(len(piece) - 11, 0), -1) if piece[i - 1] < 0x80), 0)
                if not chunk or not end:
                    raise CheckpointError(f"{self.path}: ends within {tensor.name}, or has a number of more than 64 bits.")
                yield from varints(memoryview(piece)[:end], self.path)
                rest = piece[end:]
            if rest:
                raise CheckpointError(f"{self.path}: ends within a number of {tensor.name}.")
