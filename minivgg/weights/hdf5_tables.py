"""What an HDF5 file's tables are read through: every byte counted, so that circles end, and no address believed."""

from __future__ import annotations

from typing import BinaryIO

from ..errors import CheckpointError
from .opening import size_of

__all__ = ["Tables"]


class Tables:
    """A file, or the span of one (first byte, size); `path` for messages; and what may still be read: `budget` bytes of tables (a VGG-19
    has 0.1 MB of them), `limit` bytes of arrays."""

    def __init__(self, file: BinaryIO, path: str, limit: int, span: tuple[int, int] | None = None) -> None:
        self.file, self.path, self.limit = file, path, limit
        self.begin, self.size = span or (0, size_of(file))
        self.budget = min(2 * self.size + (1 << 20), 1 << 22)
        self.heaps: dict[int, dict[int, tuple[int, int]]] = {}  # of texts: address → index → where it is, and its size

    def damaged(self, what: str) -> CheckpointError:
        """The error to be raised, with the path."""
        return CheckpointError(f"{self.path}: {what}. The file is damaged, incomplete or foreign.")

    def refused(self, what: str) -> CheckpointError:
        """The error for what may be valid HDF5, but is not what Keras writes."""
        return CheckpointError(f"{self.path}: {what}, which is not read. Save it anew with Keras.")

    def spend(self, size: int) -> None:
        """Count a piece of a table; 64 bytes more stand for the time that a piece takes."""
        self.budget -= size + 64
        if self.budget < 0:
            raise self.damaged("its tables run in circles, or are larger than those of any network")

    def claim(self, size: int, where: str) -> None:
        """Count an array's bytes, before there is one."""
        self.limit -= size
        if self.limit < 0:
            raise self.damaged(f"{where} would take {size:,} bytes, too many for a file of {self.size:,}")

    def piece(self, at: int, size: int) -> bytes:
        """So many bytes of the file, or what there is of them."""
        self.file.seek(self.begin + at)
        return self.file.read(size)

    def read(self, at: int, size: int, mark: bytes = b"") -> bytes:
        """A piece of a table, which begins with the mark."""
        self.spend(size)
        if at + size > self.size:
            raise self.damaged(f"a table reaches to byte {at + size:,} of {self.size:,}")
        data = self.piece(at, size)
        if not data.startswith(mark):
            raise self.damaged(f'"{mark.decode()}" was expected at byte {at:,}, where there is {data[: len(mark)]!r}')
        return data

    def number(self, data: bytes, at: int, size: int = 8) -> int:
        """An unsigned integer of so many bytes within a table."""
        if at + size > len(data):
            raise self.damaged("a table ends too early")
        return int.from_bytes(data[at : at + size], "little")

    def text(self, data: bytes, where: str) -> str:
        """A name of 1 to 200 printable characters."""
        try:
            name = data.decode()
        except UnicodeDecodeError:
            name = ""
        if not name.isprintable() or not 0 < len(name) <= 200:
            raise self.damaged(f"a name in {where} is empty, no text, or has more than 200 characters")
        return name
