"""What pixels are worth: normalising."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...backend.arrays import Array
from ...errors import ConfigError, DataError, ShapeError
from ..arguments import number
from ..draws import Draws
from .base import Transform

__all__ = ["Normalise"]


@dataclass(frozen=True)
class Normalise(Transform):
    """uint8 pixels to float32: (x / 255 − mean) / std, with one mean and std for each channel in units of 0..1.

    Each result is the formula in float64, rounded once. Raises ShapeError for another number of channels.
    """

    kind = "normalise"
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        self._set(mean=_channels("Normalise's mean", self.mean), std=_channels("Normalise's std", self.std))
        if len(self.mean) != len(self.std):
            raise ConfigError(f"Normalise needs as many means as stds, but has {len(self.mean)} and {len(self.std)}.")
        if min(self.std) <= 0:
            raise ConfigError(f"Normalise's std must be positive, but is {self.std}. A std of 0 means images that are all alike.")

    def apply(self, images: Array, draws: Draws) -> Array:
        channels = images.shape[3]
        if images.dtype != np.uint8:
            raise DataError(f"{self} expects uint8 images in 0..255, but they are {images.dtype}. Normalise once, before float transforms.")
        if channels != len(self.mean):
            raise ShapeError(f"{self} has {len(self.mean)} channels, but the images {images.shape} have {channels}.")
        table = ((np.arange(256)[:, None] / 255 - self.mean) / self.std).astype(np.float32)  # (256, C)
        out = np.empty(images.shape, np.float32)
        for channel in range(channels):
            out[..., channel] = table[:, channel][images[..., channel]]
        return out


def _channels(name: str, value: Any) -> tuple[float, ...]:
    values = tuple(value) if isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, str) else (value,)
    if not values:
        raise ConfigError(f"{name} must have one number for each channel, but is empty.")
    return tuple(number(name, part) for part in values)
