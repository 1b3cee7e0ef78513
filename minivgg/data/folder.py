"""`ImageFolder`: one folder of image files for each class, decoded when they are asked for."""

from __future__ import annotations

import hashlib
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..backend.arrays import Array
from ..errors import DataError
from .decode import decode
from .tree import Found

__all__ = ["ImageFolder"]

_HEAD, _TAIL = 16 * 1024, 4 * 1024  # bytes of each file that its fingerprint depends on
_LEAST = 1  # all bytes are decoded, at the smallest size: enough to know whether a file is sound


@dataclass(frozen=True, eq=False)
class ImageFolder:
    """Labelled image files under `root`: `paths` relative to it, `labels` int64 (N,), the names of the classes."""

    root: Path
    paths: tuple[str, ...]
    labels: Array
    classes: tuple[str, ...]
    name: str
    channels: int = 3

    @classmethod
    def of(cls, found: Found, classes: tuple[str, ...], name: str, channels: int) -> ImageFolder:
        """The images that were found, numbered by `classes`, class by class in their order."""
        labelled = [(path, label) for label, folder in enumerate(classes) for path in found.classes.get(folder, ())]
        labels = np.array([label for _, label in labelled], np.int64)
        return cls(found.root, tuple(path for path, _ in labelled), labels, classes, name, channels)

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def shape(self) -> tuple[int | None, int | None, int]:
        """(None, None, C): each image has a height and a width of its own."""
        return None, None, self.channels

    def read(self, indices: Array, least: int | None = None) -> list[Array]:
        """The images at `indices`, each uint8 (H, W, C). DataError, with the path, for a file that is no sound image."""
        return [decode(self.root / self.paths[index], self.channels, least) for index in indices]

    def take(self, indices: Array, name: str | None = None) -> ImageFolder:
        """The samples at `indices` (int, any order) as a dataset of the same classes."""
        paths = tuple(self.paths[index] for index in indices)
        return replace(self, paths=paths, labels=self.labels[indices], name=name or self.name)

    def fingerprint(self) -> str:
        """SHA-256 of class names, channels, and each image's path, label, size in bytes, first 16 KiB and last 4 KiB.

        A change in the middle of a file that keeps its size is not noticed: reading 20 KiB of each file takes seconds where
        reading all of them takes minutes.
        """
        sha = hashlib.sha256(repr((self.classes, self.channels)).encode())
        for path, label in zip(self.paths, self.labels.tolist(), strict=True):
            sha.update(repr((path, label)).encode())
            sha.update(_ends(self.root / path))
        return sha.hexdigest()

    def sound(self, workers: int) -> tuple[ImageFolder, list[str]]:
        """(the images that can be read, why the others cannot, a line each in the order of paths), having decoded every file."""

        def reason(index: int) -> str | None:
            try:
                self.read(np.array([index]), _LEAST)
            except DataError as error:
                return str(error)
            return None

        with ThreadPoolExecutor(max(1, workers), thread_name_prefix="minivgg-check") as pool:
            reasons = list(pool.map(reason, range(len(self))))
        good = np.array([index for index, found in enumerate(reasons) if found is None], np.int64)
        return self.take(good), [found for found in reasons if found is not None]


def _ends(path: Path) -> bytes:
    """The size of a file, its first and its last bytes; nothing of what is no readable file, which decoding will refuse."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for a writer
            return b"no file"
        with path.open("rb") as file:
            head = file.read(_HEAD)
            file.seek(max(0, status.st_size - _TAIL))
            return f"{status.st_size}:".encode() + head + file.read(_TAIL)
    except (OSError, ValueError):
        return b"no file"
