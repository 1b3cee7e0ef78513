"""`ImageFolder`: one folder of image files for each class, decoded when they are asked for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..backend.arrays import Array
from ..errors import DataError
from .decode import FORMATS, decode

__all__ = ["ImageFolder", "find_images"]

_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}


@dataclass(frozen=True, eq=False)
class ImageFolder:
    """Labelled image files under `root`: `paths` relative to it, `labels` int64 (N,), the names of the classes."""

    root: Path
    paths: tuple[str, ...]
    labels: Array
    classes: tuple[str, ...]
    name: str
    channels: int = 3

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
        """SHA-256 of paths, sizes, labels and class names."""
        sha = hashlib.sha256(repr((self.classes, self.channels)).encode())
        for path, label in zip(self.paths, self.labels.tolist(), strict=True):
            sha.update(repr((path, (self.root / path).stat().st_size, label)).encode())
        return sha.hexdigest()


def find_images(root: Path, name: str, channels: int = 3) -> ImageFolder:
    """Every image file below `root`, whose folders are the classes, in the order of their names."""
    classes = tuple(sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")))
    paths, labels = [], []
    for label, folder in enumerate(classes):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix.lower() in _SUFFIXES and not path.name.startswith("."):
                paths.append(str(path.relative_to(root)))
                labels.append(label)
    if not paths:
        raise DataError(f"{root}: there are no images in folders of their class. Known formats: {', '.join(FORMATS)}.")
    return ImageFolder(root, tuple(paths), np.array(labels, np.int64), classes, name, channels)
