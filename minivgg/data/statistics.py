"""Mean and standard deviation of a dataset's channels, exactly, for `Normalise`."""

from __future__ import annotations

import math

import numpy as np

from .datasets import Dataset

__all__ = ["statistics"]

_BLOCK = 1024  # images counted at a time: bincount widens its input to 8 bytes a pixel


def statistics(dataset: Dataset) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(mean, std) for each channel over all pixels, in units of 0..1; std divides by the number of pixels.

    Pixels are counted by value and summed as integers, so the mean is the float64 nearest to the true one, and std
    the square root of the float64 nearest to the true variance. Neither depends on the order of the images.
    """
    means, stds = [], []
    for channel in range(dataset.images.shape[3]):
        counts = np.zeros(256, np.int64)
        for begin in range(0, len(dataset), _BLOCK):
            counts += np.bincount(dataset.images[begin : begin + _BLOCK, :, :, channel].reshape(-1), minlength=256)
        n = int(counts.sum())
        total = sum(value * count for value, count in enumerate(counts.tolist()))
        squares = sum(value * value * count for value, count in enumerate(counts.tolist()))
        means.append(total / (255 * n))
        stds.append(math.sqrt((n * squares - total * total) / (255 * 255 * n * n)))
    return tuple(means), tuple(stds)
