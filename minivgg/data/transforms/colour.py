"""What pixels are worth: normalising, and shifts along the colours that vary most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...backend.arrays import Array
from ...errors import ConfigError, DataError, ShapeError
from ..arguments import number
from ..draws import Draws
from .base import Transform

__all__ = ["ColourShift", "Normalise"]


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


@dataclass(frozen=True)
class ColourShift(Transform):
    """In training, all pixels of an image get darker, lighter, bluer, … together; in evaluation none do (Krizhevsky et al. 2012, §4.1).

    Formula    x[c] + Σᵢ aᵢ·λᵢ·pᵢ[c] for an image x in units of 0..1, with aᵢ ~ N(0, std²) drawn once for each image and use
    Parameters `values` λ₁, λ₂, … are the eigenvalues of the C×C covariance of the training set's pixels in units of 0..1, and
               `vectors` p₁, p₂, … its eigenvectors of length 1, one a row (see `colours`). `unit` is the std of the Normalise that
               came before: the images are (x − mean) / unit, so what is added to them is the shift / unit.
    Normal     a = std·√(−2·ln(1 − u))·cos(2π·v) with u, v uniform in [0, 1) (Box & Muller 1958)

    On photographs λ₁ is about 0.2, so that with std = 0.1 the shift has a deviation of about 0.02 along p₁: 5 grey levels of 255, or
    about 3 in each of three channels. Raises ConfigError for eigenvalues that pixels in 0..1 cannot have: fitted in 0..255 they are
    65,025 times as large.
    """

    kind = "colour_shift"
    vectors: tuple[tuple[float, ...], ...]
    values: tuple[float, ...]
    std: float
    unit: tuple[float, ...]

    def __post_init__(self) -> None:
        values, unit = _channels("ColourShift's values", self.values), _channels("ColourShift's unit", self.unit)
        rows = self.vectors if isinstance(self.vectors, (Sequence, np.ndarray)) else ()
        vectors = tuple(_channels("ColourShift's vectors", row) for row in rows)
        count = len(values)
        if len(unit) != count or [len(vector) for vector in vectors] != [count] * count:
            raise ConfigError(f"ColourShift needs {count} vectors of {count} numbers and {count} units for its {count} values.")
        if min(values) < 0 or sum(values) > count / 4:
            raise ConfigError(
                f"ColourShift's values are eigenvalues of the covariance of pixels in 0..1: none negative, {count / 4} in all at most; "
                f"but they are {values}. Fit them on pixels / 255."
            )
        if np.abs(np.array(vectors) @ np.array(vectors).T - np.eye(count)).max() > 1e-6:
            raise ConfigError(f"ColourShift's vectors must be of length 1 and at right angles, but are {vectors}.")
        std = number("ColourShift's std", self.std)
        if std < 0 or min(unit) <= 0:
            raise ConfigError(f"ColourShift's std must not be negative, and its unit must be positive, but they are {std} and {unit}.")
        self._set(vectors=vectors, values=values, std=std, unit=unit)

    def apply(self, images: Array, draws: Draws) -> Array:
        count = len(self.values)
        if images.dtype != np.float32:
            raise DataError(f"ColourShift expects float32 images, but they are {images.dtype}. Put it behind Normalise.")
        if images.shape[3] != count:
            raise ShapeError(f"ColourShift has {count} channels, but the images {images.shape} have {images.shape[3]}.")
        if not draws.training:
            return images
        uniform = draws.uniform(self.kind, 2 * count)  # (B, 2·C)
        normal = np.sqrt(-2 * np.log1p(-uniform[:, :count])) * np.cos(2 * math.pi * uniform[:, count:])  # (B, C)
        along = self.std * normal * self.values
        shift = np.zeros((len(images), count))  # (B, C); without BLAS, whose bits may depend on the company
        for i, vector in enumerate(self.vectors):
            shift += along[:, i, None] * vector
        return images + (shift / np.array(self.unit)).astype(np.float32)[:, None, None, :]


def _channels(name: str, value: Any) -> tuple[float, ...]:
    values = tuple(value) if isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, str) else (value,)
    if not values:
        raise ConfigError(f"{name} must have one number for each channel, but is empty.")
    return tuple(number(name, part) for part in values)
