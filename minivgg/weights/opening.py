"""A file of weights, opened to be read piece by piece: what a reader has in memory is its arrays, and little else."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..errors import CheckpointError

__all__ = ["named", "opened", "size_of"]

_LONGEST = 1000  # characters of a message


@contextmanager
def opened(path: str | Path) -> Iterator[BinaryIO]:
    """The file, seekable, at its start. Raises CheckpointError with the path if it is missing, a folder, unreadable, or stops to
    be readable while it is read."""
    try:
        with Path(path).open("rb") as file, named(path):
            if not file.seekable():
                raise OSError("it is a pipe or a device, not a file")
            yield file
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error}). Check the path and its permissions.") from None


@contextmanager
def named(path: str | Path) -> Iterator[None]:
    """Within it, a CheckpointError is one printable line of bounded length that begins with the path, whatever it quotes of the file."""
    try:
        yield
    except CheckpointError as error:
        reason = str(error).removeprefix(f"{path}: ")
        line = reason if len(reason) <= _LONGEST else reason[:_LONGEST] + " …"
        if not line.isprintable():
            line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
        raise CheckpointError(f"{path}: {line}") from None


def size_of(file: BinaryIO) -> int:
    """The file's length in bytes; its position stays."""
    here = file.tell()
    size = file.seek(0, io.SEEK_END)
    file.seek(here)
    return size
