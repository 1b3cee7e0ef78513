"""Reading foreign files with a bound on memory: nothing is allocated that the file itself cannot back.

A header may promise any size. Each reader compares the promise with the bytes that are there (compressed
bytes can grow by a known factor at most) and with `LIMIT`, and only then allocates.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..backend.arrays import Array
from ..errors import DataError

__all__ = ["DEFLATE_RATIO", "LIMIT", "one_line", "open_file", "read_exactly"]

LIMIT = 4 * 2**30  # bytes of one array in a file
DEFLATE_RATIO = 1032  # deflate's best code spends two bits on 258 bytes
_CHUNK = 2**20


def one_line(path: str | Path) -> str:
    """A path for a message: whatever its name, one line of printable characters (a line feed becomes \\n, an odd byte \\udcff)."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in str(path))


@contextmanager
def open_file(path: Path) -> Iterator[tuple[IO[bytes], int]]:
    """`path` opened for reading, and its size in bytes; DataError if it is missing, no regular file, empty or unreadable."""
    try:
        status = _status(path)
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f"{one_line(path)}: expected a regular file, but this is a folder, a pipe or a device.")
        if status.st_size == 0:
            raise DataError(f"{one_line(path)}: the file is empty (0 bytes). Fetch it again.")
        with path.open("rb") as file:
            yield file, status.st_size
    except FileNotFoundError:
        raise DataError(f"{one_line(path)}: there is no such file or folder. Check the path.") from None
    except OSError as error:
        raise DataError(f"{one_line(path)}: cannot be read: {error.strerror or error}.") from None


def _status(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except ValueError as error:  # a NUL in the name
        raise DataError(f"{one_line(path)}: not a path: {error}.") from None


def read_exactly(stream: Any, count: int, path: Path | str) -> Array:
    """The next `count` bytes of `stream`, which must be its last, as a uint8 array; DataError if there are fewer or more."""
    out = np.empty(count, np.uint8)
    view, done = out.data, 0
    while done < count:
        got = stream.readinto(view[done : done + _CHUNK])
        if not got:
            raise DataError(f"{path}: truncated: its header promises {count:,} bytes of values, {done:,} are there. Fetch it again.")
        done += got
    if stream.read(1):
        raise DataError(f"{path}: trailing bytes after the {count:,} bytes of values that its header promises. Fetch it again.")
    return out
