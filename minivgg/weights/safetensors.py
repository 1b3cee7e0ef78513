"""The safetensors format, read strictly.

    8 bytes   n, the header's length, a little-endian unsigned integer
    n bytes   JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, …, "__metadata__": {str: str}}
    the rest  the arrays' bytes, in C order, back to back; offsets count from here

The header is parsed here rather than by the library because the library takes the last of two equal names
without a word, and so that the very bytes whose digest was verified are the ones that become arrays.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import CheckpointError
from .bfloat16 import upper
from .opening import opened, size_of

__all__ = ["read_metadata", "read_safetensors", "safetensors_bytes"]

_DTYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8", "I64": "<i8",
    "F16": "<f2", "F32": "<f4", "F64": "<f8", "BF16": "<u2",
}  # fmt: skip
_NAMES = {np.dtype(code).str: name for name, code in _DTYPES.items() if name != "BF16"}
_MAX_HEADER = 100_000_000  # bytes; the library's own limit
_HEADER_MEMORY = 16 << 20  # bytes beyond the file's size; a value takes up to 110, a character up to 4, twice
_MAX_DIMENSIONS = 32
_BLOCK = 1 << 18  # values widened at a time
_HUGE = 1 << 63  # no offset or size is as large; numbers of thousands of digits could not even be printed


def safetensors_bytes(arrays: Mapping[str, Any], metadata: Mapping[str, str], bfloat16: Collection[str] = ()) -> bytes:
    """The file's contents. Equal arrays and one metadata key give equal bytes; several keys may come in any order.

    bfloat16: names of float32 arrays that are written as BF16: they hold values of that type (`bfloat16.rounded`).
    """
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    if bfloat16:
        return _bytes({name: (upper(a), "BF16") if name in bfloat16 else (a, _NAMES[a.dtype.str]) for name, a in arrays.items()}, metadata)
    from safetensors.numpy import save

    return bytes(save(arrays, dict(metadata)))


def _bytes(arrays: Mapping[str, tuple[Any, str]], metadata: Mapping[str, str]) -> bytes:
    """What the library would write if it knew BF16 in NumPy: large numbers first, so that all are aligned; the header filled up to 8·n."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    order = sorted(arrays, key=lambda name: (-arrays[name][0].itemsize, name))
    end = 0
    for name in order:
        array, kind = arrays[name]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [end, end + array.nbytes]}
        end += array.nbytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *(arrays[name][0].tobytes() for name in order)])


def read_safetensors(file: BinaryIO, path: str) -> tuple[dict[str, Any], dict[str, str]]:
    """(arrays by name, metadata) of a file; `path` is for messages. The arrays are writable copies; BF16 becomes float32.

    Raises CheckpointError unless every byte of the file is accounted for exactly once.
    """
    size = size_of(file)
    header, begin = _header(file, size, path)
    metadata = _metadata(header, path)
    arrays: dict[str, Any] = {}
    end = max((_offsets(entry, name, path)[1] for name, entry in header.items()), default=0)
    if begin + end != size:
        raise CheckpointError(f"{path}: {begin + end:,} bytes were expected, but the file has {size:,}. It is damaged or incomplete.")
    end = 0
    for name, entry in sorted(header.items(), key=lambda item: (_offsets(item[1], item[0], path), item[0])):
        first, last = _offsets(entry, name, path)
        if first != end:
            raise CheckpointError(f"{path}: {name} begins at byte {first} of the data, but {end} was expected. The file is damaged.")
        arrays[name] = _array(file, last - first, entry, name, path)
        end = last
    return arrays, metadata


def read_metadata(path: str | Path) -> dict[str, str]:
    """The metadata of a .safetensors file, without its arrays. Raises CheckpointError if its header is damaged."""
    with opened(path) as file:
        return _metadata(_header(file, size_of(file), str(path))[0], str(path))


def _metadata(header: dict[str, Any], path: str) -> dict[str, str]:
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise CheckpointError(f"{path}: its __metadata__ is not a table of strings. The file is damaged.")
    return metadata


def _header(file: BinaryIO, size: int, path: str) -> tuple[dict[str, Any], int]:
    """The JSON header and the offset at which the data begins."""
    if size < 8:
        raise CheckpointError(f"{path}: {size} bytes are too few for a safetensors file, which begins with 8 bytes of length.")
    length = int.from_bytes(file.read(8), "little")
    if length > min(_MAX_HEADER, size - 8):
        raise CheckpointError(f"{path}: is not a safetensors file, or is cut off: a header of {length:,} bytes in {size:,}.")
    try:
        text = file.read(length)
        values = sum(text.count(mark) for mark in b",:[{")  # at most
        if 9 * length + 120 * values > size + _HEADER_MEMORY:
            raise CheckpointError(f"{path}: its header of {length:,} bytes has {values:,} values, too much for a file of {size:,} bytes.")
        header = json.loads(text.decode(), object_pairs_hook=lambda pairs: _without_duplicates(pairs, path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path}: its header is not valid JSON ({error}). The file is damaged, or no safetensors file.") from None
    if not isinstance(header, dict):
        raise CheckpointError(f"{path}: its header is a {type(header).__name__}, not a table. The file is damaged.")
    return header, 8 + length


def _without_duplicates(pairs: list[tuple[str, Any]], path: str) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names: set[str] = set()
        twice = next(name for name, _ in pairs if name in names or names.add(name))  # type: ignore[func-returns-value]
        raise CheckpointError(f'{path}: the name "{twice}" occurs twice in its header, so its contents are ambiguous.')
    return made


def _offsets(entry: Any, name: str, path: str) -> tuple[int, int]:
    offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
    if not (
        isinstance(offsets, list) and len(offsets) == 2 and all(type(i) is int for i in offsets) and 0 <= offsets[0] <= offsets[1] < _HUGE
    ):
        raise CheckpointError(f"{path}: {name} has no valid data_offsets. The file is damaged.")
    return offsets[0], offsets[1]


def _array(file: BinaryIO, size: int, entry: Mapping[str, Any], name: str, path: str) -> Any:
    kind, shape = entry.get("dtype"), entry.get("shape")
    if not isinstance(kind, str) or kind not in _DTYPES:
        kind = repr(kind) if isinstance(kind, str) else f"a {type(kind).__name__}"  # which may be nested too deep to be shown
        raise CheckpointError(f"{path}: {name} has the dtype {kind}; supported are {', '.join(sorted(_DTYPES))}.")
    if not (isinstance(shape, list) and len(shape) <= _MAX_DIMENSIONS and all(type(n) is int and 0 <= n < _HUGE for n in shape)):
        raise CheckpointError(f"{path}: {name} has a shape that is not a list of sizes, {_MAX_DIMENSIONS} at most. The file is damaged.")
    dtype = np.dtype(_DTYPES[kind])
    if math.prod(shape) * dtype.itemsize != size:
        raise CheckpointError(f"{path}: {name} {kind} {shape} needs {math.prod(shape) * dtype.itemsize:,} bytes, but has {size:,}.")
    try:
        array = np.empty(shape, "<f4" if kind == "BF16" else dtype)
    except ValueError:  # one size is 0, but the product of the others overflows
        raise CheckpointError(f"{path}: {name} has the impossible shape {shape}. The file is damaged.") from None
    content = array.reshape(-1).view("u1")[array.nbytes - size :]
    if size and file.readinto(content.data) != size:  # type: ignore[attr-defined]
        raise CheckpointError(f"{path}: ends within {name}. The file is damaged or incomplete.")
    if kind == "BF16":
        _widen(content.view("<u2"), array.reshape(-1).view("<u4"))
    return array


def _widen(halves: Any, wide: Any) -> None:
    """BF16 is the upper half of a float32. `halves` (n,) is the last half of the memory of `wide` (n,): from the front, block by block,
    nothing is written over before it is read."""
    for at in range(0, len(halves), _BLOCK):
        wide[at : at + _BLOCK] = halves[at : at + _BLOCK].astype("<u4") << 16
