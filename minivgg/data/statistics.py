"""Mean, standard deviation and covariance of a dataset's channels, exactly: sums of integers, in one pass."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..backend.arrays import Array
from .images import LabelledImages

__all__ = ["Sums", "statistics", "sums"]

_LEAST = 64  # pixels of the shortest side: enough of an image to count its colours
_BLOCK = 64  # images in memory that are counted at a time, and
_PIXELS = 1 << 20  # pixels, as float64: a photograph is counted in parts
_MOST = 20_000  # image files that are decoded for it


@dataclass(frozen=True)
class Sums:
    """Of `count` pixels with values in 0..255: each channel's total, and the total of the products of each two channels.

    Integers, so they do not depend on the order of the images, nor on how they were read in blocks. `images` were read of `total`.
    """

    count: int
    totals: tuple[int, ...]
    products: tuple[tuple[int, ...], ...]
    images: int
    total: int

    @property
    def mean(self) -> tuple[float, ...]:
        """The float64 nearest to each channel's mean, in units of 0..1."""
        return tuple(total / (255 * self.count) for total in self.totals)

    @property
    def covariance(self) -> tuple[tuple[float, ...], ...]:
        """(C, C) in units of 0..1, each the float64 nearest to the true one; the divisor is the number of pixels."""
        n, scale = self.count, (255 * self.count) ** 2
        rows = zip(self.totals, self.products, strict=True)
        return tuple(tuple((n * p - t * u) / scale for u, p in zip(self.totals, row, strict=True)) for t, row in rows)

    @property
    def std(self) -> tuple[float, ...]:
        """Each channel's standard deviation, in units of 0..1."""
        return tuple(math.sqrt(row[channel]) for channel, row in enumerate(self.covariance))


def sums(dataset: LabelledImages) -> Sums:
    """The sums over all pixels of `dataset`.

    Files are decoded with a shortest side of 64 pixels or more, large JPEG files small; of more than 20,000 files every k-th is read,
    with the least k that leaves 20,000 or fewer.
    """
    channels = dataset.shape[2]
    every = math.ceil(len(dataset) / _MOST) if dataset.shape[0] is None else 1
    chosen = np.arange(0, len(dataset), every)
    count, totals, products = 0, np.zeros(channels, object), np.zeros((channels, channels), object)
    together = 1 if dataset.shape[0] is None else _BLOCK  # a file's image may be large
    for begin in range(0, len(chosen), together):
        images = dataset.read(chosen[begin : begin + together], _LEAST)
        for block in images if isinstance(images, list) else [images]:
            whole = block.reshape(-1, channels)
            for start in range(0, len(whole), _PIXELS):
                pixels = whole[start : start + _PIXELS].astype(np.float64)  # whole numbers: float64 adds them exactly up to 2⁵³
                count += len(pixels)
                totals += _whole(pixels.sum(axis=0))
                products += _whole(pixels.T @ pixels)
    return Sums(count, tuple(totals), tuple(map(tuple, products)), len(chosen), len(dataset))


def statistics(dataset: LabelledImages) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(mean, std) for each channel over all pixels, in units of 0..1; std divides by the number of pixels.

    The mean is the float64 nearest to the true one, and std the square root of the float64 nearest to the true variance.
    See `sums` for which pixels are counted of image files.
    """
    found = sums(dataset)
    return found.mean, found.std


def _whole(sums: Array) -> Array:
    """Exact float64 sums as Python integers, which have no largest one."""
    return sums.astype(np.int64).astype(object)
