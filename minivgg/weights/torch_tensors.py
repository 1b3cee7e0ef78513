"""From references to arrays: each tensor of a torch.save file is read from its place in the file straight into its own buffer."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from ..errors import CheckpointError
from .torch_names import TensorRef, shown

__all__ = ["ITEMSIZES", "Extent", "read_tensors"]

_DTYPES = {
    "float64": "<f8", "float32": "<f4", "float16": "<f2", "bfloat16": "<u2", "int64": "<i8", "int32": "<i4", "int16": "<i2",
    "int8": "i1", "uint64": "<u8", "uint32": "<u4", "uint16": "<u2", "uint8": "u1", "bool": "u1",
}  # fmt: skip
ITEMSIZES = {name: np.dtype(code).itemsize for name, code in _DTYPES.items()}  # bytes
_SLACK = 4 << 20  # bytes that small files may exceed twice their size by, with the memory of the pickle machine
_PIECE = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Extent:
    """Where a storage's bytes are in the file; `crc` is their CRC-32, 0 if there is none."""

    begin: int
    size: int
    crc: int = 0


def read_tensors(file: BinaryIO, tensors: Mapping[str, TensorRef], extents: Mapping[str, Extent], size: int) -> dict[str, Any]:
    """The arrays by name, C-contiguous and writable. bfloat16 becomes float32. Two names of one tensor give one array.

    `size`: the file's, in bytes. Views may share bytes, and expanded ones repeat them, so that little of a file can claim much memory:
    what is made, and what is read for it, is bounded by twice the size (and 4 MB). Raises CheckpointError, without the file's path, for a
    tensor beyond its storage, a storage beyond the file, a wrong CRC, or more than that bound.
    """
    reader = _Reader(file, extents, 2 * size + _SLACK)
    return {name: reader.array(tensor, shown(name)) for name, tensor in tensors.items()}


class _Reader:
    def __init__(self, file: BinaryIO, extents: Mapping[str, Extent], limit: int) -> None:
        self.file, self.extents, self.limit = file, extents, limit
        self.made = self.read = 0  # bytes
        self.known: dict[TensorRef, Any] = {}
        self.verified: set[str] = set()

    def array(self, tensor: TensorRef, name: str) -> Any:
        if tensor not in self.known:
            self.known[tensor] = self.new(tensor, name)
        return self.known[tensor]

    def new(self, tensor: TensorRef, name: str) -> Any:
        dtype = np.dtype(_DTYPES[tensor.dtype])
        count = math.prod(tensor.shape)
        span = 1 + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride, strict=True)) if count else 0
        begin = self.begin(tensor, span * dtype.itemsize, name)
        wide = tensor.dtype == "bfloat16"
        made = count * (4 if wide else dtype.itemsize)
        if self.made + made > self.limit or self.read + span * dtype.itemsize > self.limit:
            raise CheckpointError(
                f"{name} {tensor.dtype} {list(tensor.shape)} needs more memory than twice the file's size, with the tensors before it: "
                "it repeats a few numbers often. Save tensor.clone()."
            )
        self.made, self.read = self.made + made, self.read + span * dtype.itemsize
        try:
            array = np.empty(tensor.shape, "<u4" if wide else dtype)
        except ValueError:  # a size of 0, and others whose product is beyond any memory
            raise CheckpointError(f"{name} has the shape {list(tensor.shape)}, which no array has. The file is damaged.") from None
        if count:
            self.fill(array, tensor, begin, span, dtype)
        if wide:  # bfloat16 is the upper half of a float32
            array <<= 16
            return array.view("<f4")
        return array.astype("?") if tensor.dtype == "bool" else array

    def begin(self, tensor: TensorRef, length: int, name: str) -> int:
        """Where the tensor's first byte is in the file; `length` bytes from there on are within its storage and the file."""
        held = tensor.storage
        unit = ITEMSIZES[held.dtype]
        offset = tensor.offset * ITEMSIZES[tensor.dtype]
        if length and offset + length > held.count * unit:
            raise CheckpointError(
                f"{name} {tensor.dtype} {list(tensor.shape)} with strides {list(tensor.stride)} ends at byte {offset + length:,} "
                f"of its storage, which has {held.count * unit:,}. The file is damaged."
            )
        extent = self.extents.get(held.key)
        if extent is None:
            raise CheckpointError(f"{name} is in storage {shown(held.key)}, which the file lacks. It is damaged or incomplete.")
        if held.size * unit > extent.size:
            raise CheckpointError(
                f"{name} needs {held.size * unit:,} bytes of storage, but {extent.size:,} are there. The file is damaged."
            )
        if held.key not in self.verified:
            self.verify(extent, name)
            self.verified.add(held.key)
        return extent.begin + held.first * unit + offset

    def verify(self, extent: Extent, name: str) -> None:
        if not extent.crc:
            return
        self.file.seek(extent.begin)
        crc = 0
        for at in range(0, extent.size, _PIECE):
            crc = zlib.crc32(self.file.read(min(_PIECE, extent.size - at)), crc)
        if crc != extent.crc:
            raise CheckpointError(f"{name} has the CRC {crc:08x}, but {extent.crc:08x} was written. The file is damaged.")

    def fill(self, array: Any, tensor: TensorRef, begin: int, span: int, dtype: np.dtype[Any]) -> None:
        """The numbers of the file into `array`, cast to its dtype."""
        self.file.seek(begin)
        steps = [step for n, step in zip(tensor.shape, tensor.stride, strict=True) if n > 1]
        sizes = [n for n in tensor.shape if n > 1]
        if steps != [math.prod(sizes[i + 1 :]) for i in range(len(sizes))]:
            self.spread(array, begin, tensor.stride, dtype)
        elif array.dtype == dtype:
            self.into(array.reshape(-1))
        else:
            flat = array.reshape(-1)
            for at in range(0, span, _PIECE):
                piece = np.empty(min(_PIECE, span - at), dtype)
                self.into(piece)
                flat[at : at + len(piece)] = piece

    def spread(self, array: Any, begin: int, stride: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """The same where the numbers lie in another order: by halves, along the axis of the largest steps, down to 1 MB of the file."""
        span = 1 + sum((n - 1) * step for n, step in zip(array.shape, stride, strict=True))
        if span * dtype.itemsize <= _PIECE:
            there = np.empty(span, dtype)
            self.file.seek(begin)
            self.into(there)
            strides = [step * dtype.itemsize if n > 1 else 0 for n, step in zip(array.shape, stride, strict=True)]
            array[...] = np.lib.stride_tricks.as_strided(there, array.shape, strides)
            return
        axis = max(range(array.ndim), key=lambda i: stride[i] if array.shape[i] > 1 else -1)
        half, before = array.shape[axis] // 2, (slice(None),) * axis
        self.spread(array[(*before, slice(half))], begin, stride, dtype)
        self.spread(array[(*before, slice(half, None))], begin + half * stride[axis] * dtype.itemsize, stride, dtype)

    def into(self, array: Any) -> None:
        if self.file.readinto(array.view("u1").data) != array.nbytes:  # type: ignore[attr-defined]
            raise CheckpointError("ends within a storage. The file is damaged or incomplete.")
