"""Mean and standard deviation of a dataset's channels, exactly, for `Normalise`."""

from __future__ import annotations

import math

import numpy as np

from .images import LabelledImages

__all__ = ["statistics"]

_LEAST = 64  # pixels of the shortest side: enough of an image to count its colours
_BLOCK = 1024  # images counted at a time: bincount widens its input to 8 bytes a pixel


def statistics(dataset: LabelledImages) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(mean, std) for each channel over all pixels, in units of 0..1; std divides by the number of pixels.

    Pixels are counted by value and summed as integers, so the mean is the float64 nearest to the true one, and std
    the square root of the float64 nearest to the true variance. Neither depends on the order of the images.
    """
    channels = dataset.shape[2]
    counts = np.zeros((channels, 256), np.int64)
    for begin in range(0, len(dataset), _BLOCK):
        images = dataset.read(np.arange(begin, min(begin + _BLOCK, len(dataset))), _LEAST)
        for block in images if isinstance(images, list) else [images]:
            for channel in range(channels):
                counts[channel] += np.bincount(block[..., channel].reshape(-1), minlength=256)
    means, stds = [], []
    for row in counts.tolist():
        n = sum(row)
        total = sum(value * count for value, count in enumerate(row))
        squares = sum(value * value * count for value, count in enumerate(row))
        means.append(total / (255 * n))
        stds.append(math.sqrt((n * squares - total * total) / (255 * 255 * n * n)))
    return tuple(means), tuple(stds)
