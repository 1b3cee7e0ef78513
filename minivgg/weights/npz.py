"""NumPy's .npz: a zip of .npy members, read without pickle and without believing the sizes it claims.

A member is, by https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html:

    6 bytes   \\x93NUMPY
    2 bytes   version: 1.0, 2.0 or 3.0
    2 bytes   the header's length, a little-endian unsigned integer; of versions 2.0 and 3.0 4 bytes
    header    {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }, blanks, a line's end
    the rest  the array's bytes

The header is a literal of Python, but of this one form in every file of numbers that NumPy writes, so that nothing is parsed as Python.
"""

from __future__ import annotations

import math
import re
import struct
import zipfile
import zlib
from typing import IO, Any, BinaryIO

import numpy as np

from ..errors import CheckpointError
from .opening import size_of

__all__ = ["read_npz"]

_HEADER = re.compile(
    r"\{'descr': '(?P<dtype>[^']{1,20})', 'fortran_order': (?P<fortran>True|False), "
    r"'shape': \((?P<shape>(?:\d{1,18}, ?)*(?:\d{1,18})?)\), \} *\n"
)
_NUMBERS = re.compile(r"[<>|=]?[biufc]\d{1,2}|\|b1|\?")
_LONGEST = 4096  # bytes of a header
_MAX_DIMENSIONS = 32
_SPARE = 16 << 20  # bytes that arrays may take beyond twice the file's size
_PIECE = 1 << 20  # bytes unpacked at a time
_MEMBER = 1000  # bytes that Python's zipfile keeps of a member, and more


def read_npz(file: BinaryIO, path: str) -> tuple[dict[str, Any], dict[str, str]]:
    """(arrays by name, {}) of an .npz file; `path` is for messages.

    Raises CheckpointError for a damaged zip, a name that occurs twice, an array of anything but numbers, a shape that does not fit its
    bytes, or arrays that are more than twice as large as the file.
    """
    arrays: dict[str, Any] = {}
    size = size_of(file)
    _require_few(file, size, path)
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            total = sum(member.file_size for member in members)
            if total > 2 * size + _SPARE:
                raise CheckpointError(
                    f"{path}: its arrays would take {total:,} bytes, more than twice the file's {size:,}. If you trust it, load it with "
                    "NumPy and save it by numpy.savez, which does not compress."
                )
            for member in members:
                name = member.filename.removesuffix(".npy")
                if name in arrays:
                    raise CheckpointError(f'{path}: the name "{name}" occurs twice, so its contents are ambiguous.')
                with archive.open(member) as content:
                    arrays[name] = _array(content, member.file_size, name, path)
    except (
        zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, struct.error, UnicodeError, ValueError,
    ) as error:  # fmt: skip
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path}: is not a whole .npz file ({error}).") from None
    return arrays, {}


def _require_few(file: BinaryIO, size: int, path: str) -> None:
    """Raise CheckpointError if the zip has so many members that the list of them would take more memory than the file."""
    file.seek(max(0, size - 65_557))  # a comment is at most 65,535 bytes, the end of the directory before it 22
    tail = file.read()
    count = 0
    for end in re.finditer(rb"PK\x05\x06", tail):  # of several, one in another's fields or comment, which one zipfile takes is its affair
        at = end.start()
        members, length = (int.from_bytes(tail[at + first : at + last], "little") for first, last in ((10, 12), (12, 16)))
        count = max(count, members, min(length, size) // 47)
    if count * _MEMBER > size + _SPARE:
        raise CheckpointError(f"{path}: lists {count:,} arrays in {size:,} bytes, too many for a file of weights.")
    file.seek(0)


def _array(content: IO[bytes], size: int, name: str, path: str) -> Any:
    """The array of a member of `size` bytes, unpacked piece by piece into its own memory."""
    start = content.read(8)
    width = {1: 2, 2: 4, 3: 4}.get(start[6] if len(start) == 8 and start[:6] == b"\x93NUMPY" and start[7] == 0 else 0)
    if width is None:
        raise CheckpointError(f"{path}: {name} is not a NumPy array: it does not begin as one.")
    length = int.from_bytes(content.read(width), "little")
    header = content.read(min(length, _LONGEST)).decode("latin-1")
    found = _HEADER.fullmatch(header)
    if "'|O'" in header:
        raise CheckpointError(f"{path}: {name} holds Python objects; reading them could run code from the file, so it is refused.")
    if found is None or not _NUMBERS.fullmatch(found["dtype"]):
        raise CheckpointError(f"{path}: {name} is not a NumPy array of numbers: its header is {header[:200]!r}.")
    shape = tuple(int(n) for n in found["shape"].replace(",", " ").split())
    try:
        dtype = np.dtype(found["dtype"])
    except TypeError:
        raise CheckpointError(f"{path}: {name} has the dtype {found['dtype']}, which NumPy does not have.") from None
    needed, left = math.prod(shape) * dtype.itemsize, size - 8 - width - length
    if len(shape) > _MAX_DIMENSIONS or needed != left:
        raise CheckpointError(f"{path}: {name} {dtype} {shape} needs {needed:,} bytes, but has {left:,}.")
    array = np.empty(shape, dtype, order="F" if found["fortran"] == "True" else "C")
    _fill(array.reshape(-1, order="A").view("u1") if array.size else np.empty(0, "u1"), content)
    return array


def _fill(target: Any, content: IO[bytes]) -> None:
    """Unpack what is left of the member into `target` (n,) uint8. Raises EOFError if that is not n bytes."""
    at = 0
    while piece := content.read(_PIECE):
        if len(piece) > len(target) - at:
            raise EOFError("an array is longer than it claims")
        target[at : at + len(piece)] = np.frombuffer(piece, "u1")
        at += len(piece)
    if at < len(target):
        raise EOFError("an array is shorter than it claims")
