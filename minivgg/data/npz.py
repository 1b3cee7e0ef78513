"""Arrays from NumPy's .npz archives, without pickle, evaluation of text, or trust in a header.

An .npz is a zip archive of .npy files. `numpy.load` allocates whatever a header says and evaluates the header as a
Python literal; here the three header fields are matched by patterns, and sizes are compared with the archive first.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from ..backend.arrays import Array
from ..errors import DataError
from .bounded import DEFLATE_RATIO, LIMIT, open_file, read_exactly

__all__ = ["read_npz"]

_MAGIC = b"\x93NUMPY"
_HEADER_LIMIT = 10_000  # bytes; NumPy's own limit
_DESCR = re.compile(r"""['"]descr['"]\s*:\s*['"]([<>|=]?[A-Za-z]\d*)['"]""")
_ORDER = re.compile(r"""['"]fortran_order['"]\s*:\s*(True|False)""")
_SHAPE = re.compile(r"""['"]shape['"]\s*:\s*\(([\d\s,]*)\)""")


def read_npz(path: str | Path, names: Collection[str]) -> dict[str, Array]:
    """Those of the arrays `names` that the archive `path` has, by name: numbers and text, never objects.

    Raises DataError, naming the path, if the file is missing, unreadable, no archive or damaged (the archive's
    checksums are verified). Memory is allocated only for what the file can hold, and for 4 GiB an array at most.
    """
    path = Path(path)
    with open_file(path) as (file, size):
        if file.read(4) != b"PK\x03\x04":
            raise DataError(f"{path}: not an .npz archive. Expected numpy.savez(…, x_train=…, y_train=…), or a folder of idx files.")
        file.seek(0)
        try:
            with zipfile.ZipFile(file) as archive:
                members = archive.namelist()
                if len(set(members)) < len(members):
                    raise DataError(f"{path}: the archive holds two arrays of one name. Save it again.")
                return {name: _member(archive, f"{name}.npy", size, path) for name in names if f"{name}.npy" in members}
        except (DataError, MemoryError):
            raise
        except Exception as error:  # zipfile raises nearly anything on a damaged archive
            raise DataError(f"{path}: damaged archive: {type(error).__name__}: {error}. Fetch or save it again.") from None


def _member(archive: zipfile.ZipFile, member: str, size: int, path: Path) -> Array:
    info = archive.getinfo(member)
    where = f"{path}: {member}"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{where} is compressed in a way that NumPy does not write. Save it with numpy.savez.")
    backed = min(info.compress_size, size) * (DEFLATE_RATIO if info.compress_type == zipfile.ZIP_DEFLATED else 1)
    if info.file_size > backed:
        raise DataError(f"{where} promises {info.file_size:,} bytes, but the archive can hold no more than {backed:,} of it.")
    with archive.open(info) as stream:
        dtype, fortran, shape, begin = _header(stream, where)
        count = math.prod(shape) * dtype.itemsize
        if count > LIMIT:
            raise DataError(f"{where} is an array of {count:,} bytes {shape}; more than {LIMIT:,} are not read.")
        if begin + count != info.file_size:
            raise DataError(
                f"{where}: its header promises {count:,} bytes of values {shape}, {info.file_size - begin:,} are there. Save it again."
            )
        values = read_exactly(stream, count, where)
    array = values.view(dtype) if dtype.itemsize else np.zeros(math.prod(shape), dtype)
    array = array.reshape(shape, order="F" if fortran else "C")
    return np.ascontiguousarray(array.astype(dtype.newbyteorder("="), copy=False)).reshape(shape)


def _header(stream: Any, where: str) -> tuple[np.dtype[Any], bool, tuple[int, ...], int]:
    """dtype, Fortran order, shape, and the number of bytes before the values."""
    start = stream.read(8)
    width = 2 if start[6:7] == b"\x01" else 4
    length = int.from_bytes(stream.read(width), "little")
    if len(start) < 8 or start[:6] != _MAGIC or start[6] not in (1, 2, 3) or length > _HEADER_LIMIT:
        raise DataError(f"{where} is not an .npy array of format 1, 2 or 3. Save it with numpy.savez.")
    header = stream.read(length).decode("utf-8", "replace")
    descr, order, shape = _DESCR.search(header), _ORDER.search(header), _SHAPE.search(header)
    if descr is None or order is None or shape is None:
        raise DataError(f"{where} has no header of a plain array (structured dtypes are not read): {header.strip()!r:.120}.")
    if descr[1].lstrip("<>|=")[0] not in "biufUS":
        raise DataError(
            f"{where} has dtype {descr[1]!r}; only numbers and text are read, never pickled objects. Convert it and save again."
        )
    sizes = tuple(int(part) for part in shape[1].split(",") if part.strip())
    return np.dtype(descr[1]), order[1] == "True", sizes, 8 + width + length
