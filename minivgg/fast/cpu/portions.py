"""Portions: which images, and which rows of their tiles, are at work together."""

from __future__ import annotations

from dataclasses import dataclass

from .bands import bands
from .winograd import Tiling

__all__ = ["Portion", "portions"]


@dataclass(frozen=True)
class Portion:
    """Some images, and a band of their tiles: all of them, unless it is a single image."""

    images: slice
    band: slice

    def count(self, across: int) -> int:
        """Its tiles."""
        return int(self.images.stop - self.images.start) * int(self.band.stop - self.band.start) * across

    def place(self, whole: Portion, across: int) -> slice:
        """Where its tiles lie among those of a portion that it is a part of."""
        band = whole.band.stop - whole.band.start
        start = ((self.images.start - whole.images.start) * band + self.band.start - whole.band.start) * across
        return slice(start, start + self.count(across))


def portions(images: slice, g: Tiling, channels: int, itemsize: int, limit: int, least: int = 1) -> list[Portion]:
    """Portions of up to `limit` bytes of transformed tiles, and `least` images or more; bands, where one image is too large."""
    down, across = g.tiles
    row = (g.m + 2) ** 2 * across * channels * itemsize
    return [Portion(*part) for part in bands(images, down, row, limit, least)]
