"""`LabelledImages`: what every dataset offers, whether its images lie in memory or in files."""

from __future__ import annotations

from typing import Protocol, Self

from ..backend.arrays import Array
from .transforms.base import Images

__all__ = ["LabelledImages"]


class LabelledImages(Protocol):
    """N images in K classes. `labels` int64 (N,); `name` is for messages."""

    @property
    def labels(self) -> Array: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int | None, int | None, int]:
        """(H, W, C) of every image; H and W are None where images have sizes of their own."""
        ...

    def __len__(self) -> int: ...

    def read(self, indices: Array, least: int | None = None) -> Images:
        """The images at `indices`, uint8: an array (B, H, W, C), or a list of (H, W, C).

        `least`: the shortest side that the caller will scale them to, at most; a file may be decoded at a smaller size
        that still has it. Raises DataError, with the path, for a file that is no sound image.
        """
        ...

    def take(self, indices: Array, name: str | None = None) -> Self:
        """The samples at `indices` (int, any order) as a dataset of the same classes."""
        ...

    def fingerprint(self) -> str:
        """SHA-256 of what identifies images, labels and class names."""
        ...
