"""The idx format of MNIST: a magic number 0 0 dtype ndim, ndim big-endian uint32 sizes, then the values, big-endian.

See http://yann.lecun.com/exdb/mnist, "The IDX file format".
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from ..backend.arrays import Array
from ..errors import DataError
from .bounded import DEFLATE_RATIO, LIMIT, open_file, read_exactly

__all__ = ["read_idx"]

_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP = b"\x1f\x8b"


def read_idx(path: str | Path) -> Array:
    """The array in the idx file `path`, plain or gzipped (told by its content), in native byte order.

    Raises DataError, naming the path, if the file is missing, unreadable, no idx file, damaged, or not exactly as
    long as its header says. Memory is allocated only for what the file can hold, and for 4 GiB at most.
    """
    path = Path(path)
    with open_file(path) as (file, size):
        zipped = file.read(2) == _GZIP
        file.seek(0)
        if not zipped:
            return _parse(file, size, False, path)
        try:
            with gzip.GzipFile(fileobj=file, mode="rb") as stream:
                return _parse(stream, size, True, path)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError(f"{path}: damaged gzip file: {error}. Fetch it again.") from None


def _parse(stream: Any, size: int, zipped: bool, path: Path) -> Array:
    """The array in `stream`, whose file has `size` bytes."""
    magic = stream.read(4)
    if len(magic) < 4:
        raise DataError(f"{path}: truncated: an idx file begins with 4 bytes, but only {len(magic)} are there. Fetch it again.")
    code, ndim = magic[2], magic[3]
    if magic[:2] != b"\0\0" or code not in _DTYPES:
        raise DataError(
            f"{path}: not an idx file: it begins with {magic.hex(' ')}, expected 00 00, a dtype code "
            f"({', '.join(f'{c:02x}' for c in _DTYPES)}) and the number of dimensions."
        )
    sizes = stream.read(4 * ndim)
    if len(sizes) < 4 * ndim:
        raise DataError(f"{path}: truncated in its header: {ndim} sizes were promised, {len(sizes) // 4} are there. Fetch it again.")
    shape = struct.unpack(f">{ndim}I", sizes)
    dtype = np.dtype(_DTYPES[code])
    count = math.prod(shape) * dtype.itemsize
    _check(count, size if zipped else size - 4 - 4 * ndim, zipped, shape, path)
    try:
        values = read_exactly(stream, count, path).view(dtype).reshape(shape)
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: NumPy has no array of {ndim} dimensions, {shape}: {error}.") from None
    return values.astype(dtype.newbyteorder("="), copy=False)


def _check(count: int, stored: int, zipped: bool, shape: tuple[int, ...], path: Path) -> None:
    """Refuse a promise of `count` bytes that `stored` bytes of file cannot keep."""
    if count > LIMIT:
        raise DataError(f"{path}: its header promises {count:,} bytes {shape}; files of more than {LIMIT:,} are not read.")
    if count > (stored * DEFLATE_RATIO if zipped else stored):
        raise DataError(f"{path}: truncated: its header promises {count:,} bytes of values {shape}, {stored:,} are there. Fetch it again.")
    if not zipped and count < stored:
        raise DataError(f"{path}: {stored - count:,} trailing bytes after the {count:,} that its header promises {shape}. Fetch it again.")
