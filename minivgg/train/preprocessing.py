"""What a configuration does to images before the network sees them: rescale, crop, mirror, normalise."""

from __future__ import annotations

import math

from .. import data
from ..errors import ConfigError
from .config import TrainConfig

__all__ = ["preprocessing", "scales"]


def scales(config: TrainConfig) -> tuple[int, int] | None:
    """(S_min, S_max) of the shortest side that images are rescaled to, in pixels; None if `scale` is empty."""
    low, _, high = config.scale.partition("-")
    return (int(low), int(high or low)) if low else None


def preprocessing(config: TrainConfig, dataset: data.LabelledImages) -> data.Transform:
    """Crop (after padding with black where images are too small), mirror, and normalise by the dataset's own statistics.

    A margin of `shift` pixels on each side is what a random crop can move in; evaluation takes the centre.
    Raises ConfigError if an image is so far from square that the crop cannot fit.
    """
    size, (height, width, _), rescaled = config.image_size, dataset.shape, scales(config)
    steps: list[data.Transform] = []
    if height is None or width is None or rescaled:
        low, high = rescaled or (size, size)
        steps.append(data.Rescale(low, high))
        height = width = low
    padding = max(0, math.ceil((size - min(height, width)) / 2) + config.shift)
    if min(height, width) > size and config.image_size * 4 < min(height, width):
        raise ConfigError(
            f"images of {height}×{width} cropped to {size}×{size} would show little of themselves. "
            f"Set image_size nearer to {min(height, width)} (--image-size), or rescale the images."
        )
    mean, std = data.statistics(dataset)
    steps += [data.Crop(size, padding)] if padding or (height, width) != (size, size) or rescaled else []
    steps += [data.Mirror()] if config.mirror else []
    return data.Compose((*steps, data.Normalise(mean, std)))
