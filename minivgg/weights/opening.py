"""A file of weights, opened to be read piece by piece: what a reader has in memory is its arrays, and little else."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..errors import CheckpointError

__all__ = ["opened", "size_of"]


@contextmanager
def opened(path: str | Path) -> Iterator[BinaryIO]:
    """The file, seekable, at its start. Raises CheckpointError with the path if it is missing, a folder, unreadable, or stops to
    be readable while it is read."""
    try:
        with Path(path).open("rb") as file:
            if not file.seekable():
                raise OSError("it is a pipe or a device, not a file")
            yield file
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error}). Check the path and its permissions.") from None


def size_of(file: BinaryIO) -> int:
    """The file's length in bytes; its position stays."""
    here = file.tell()
    size = file.seek(0, io.SEEK_END)
    file.seek(here)
    return size
