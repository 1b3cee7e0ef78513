"""How large images are: isotropic rescaling, and crops of random size rescaled to one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...backend.arrays import Array
from ...errors import ConfigError, DataError
from ..arguments import integer, number
from ..draws import Draws
from .base import Images, Transform, joined
from .geometry import Crop

__all__ = ["RandomResizedCrop", "Rescale", "rescale", "resized", "scaled"]

_MAX_PIXELS = 50_000_000  # of a rescaled image: a long, thin one would grow without bound


@dataclass(frozen=True)
class Rescale(Transform):
    """uint8 images scaled isotropically until their shortest side has S pixels, antialiased: (H, W, C) → (S, W·S/H, C) or (H·S/W, S, C).

    In training S is drawn for each image from low..high, each integer equally likely (scale jitter: Simonyan & Zisserman §3.1); in
    evaluation it is the middle, (low + high) // 2. Raises as `rescale` does.
    """

    kind = "rescale"
    low: int
    high: int

    def __post_init__(self) -> None:
        self._set(low=integer("Rescale's low", self.low, 1), high=integer("Rescale's high", self.high, 1))
        if self.low > self.high:
            raise ConfigError(f"Rescale's low must not exceed its high, but they are {self.low} and {self.high}.")

    @property
    def least(self) -> int | None:
        return self.high

    def sides(self, draws: Draws) -> Array:
        """S of each image, int (B,)."""
        if not draws.training or self.low == self.high:
            return np.full(len(draws.indices), (self.low + self.high) // 2)
        return self.low + (draws.uniform(self.kind, 1)[:, 0] * (self.high - self.low + 1)).astype(np.intp)

    def apply(self, images: Array, draws: Draws) -> Images:
        return joined([rescale(image, side) for image, side in zip(images, self.sides(draws).tolist(), strict=True)])


@dataclass(frozen=True)
class RandomResizedCrop(Transform):
    """A random part of each uint8 image, scaled to size × size, antialiased; in evaluation the centre (Szegedy et al. 2015, §6).

    In training the part covers a share of the image's area that is uniform in `area`, and its width is its height times a ratio
    whose logarithm is uniform in those of `ratio`; a side that would be longer than the image's is cut to that. Every place is
    equally likely. In evaluation the image is rescaled to the shortest side `side` (`size` by default), and the
    middle of it is taken.
    """

    kind = "random_resized_crop"
    size: int
    side: int = 0
    area: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    def __post_init__(self) -> None:
        size = integer("RandomResizedCrop's size", self.size, 1)
        side = integer("RandomResizedCrop's side", self.side, 0) or size
        area, ratio = _range("RandomResizedCrop's area", self.area), _range("RandomResizedCrop's ratio", self.ratio)
        if area[1] > 1:
            raise ConfigError(f"RandomResizedCrop's area is a share of the image, at most 1, but is {area}.")
        if side < size:
            raise ConfigError(f"RandomResizedCrop cuts {size}×{size} out of a shortest side of {side}: make it {size} or more.")
        self._set(size=size, side=side, area=area, ratio=ratio)

    @property
    def least(self) -> int | None:
        return max(self.side, math.ceil(self.size / math.sqrt(self.area[0])))  # the smallest part need not be enlarged

    def apply(self, images: Array, draws: Draws) -> Images:
        if not draws.training:
            whole = joined([rescale(image, self.side) for image in images])
            return Crop(self.size)(whole, draws)
        count, height, width, channels = images.shape
        share, ratio, *corner = draws.uniform(self.kind, 4).T
        pixels = (self.area[0] + (self.area[1] - self.area[0]) * share) * height * width  # (B,)
        stretch = np.exp(math.log(self.ratio[0]) + math.log(self.ratio[1] / self.ratio[0]) * ratio)
        heights, widths = (
            np.clip(np.rint(np.sqrt(part)), 1, most).astype(np.intp)
            for part, most in ((pixels / stretch, height), (pixels * stretch, width))
        )
        tops, lefts = (corner[0] * (height - heights + 1)).astype(np.intp), (corner[1] * (width - widths + 1)).astype(np.intp)
        boxes = np.stack([lefts, tops, lefts + widths, tops + heights], axis=1).tolist()
        out = np.empty((count, self.size, self.size, channels), np.uint8)
        for k, box in enumerate(boxes):
            out[k] = resized(images[k], self.size, self.size, box)
        return out


def rescale(image: Array, side: int) -> Array:
    """One uint8 image (H, W, C), isotropically scaled to the shortest side `side`, bicubic and antialiased.

    The longer side is rounded to the nearest pixel. Raises DataError if the result would have more than 50 million pixels, or for
    another dtype.
    """
    height, width, _ = image.shape
    size = scaled(height, width, side)
    return image if size == (height, width) else resized(image, *size)


def scaled(height: int, width: int, side: int) -> tuple[int, int]:
    """(height, width) of an image after `rescale`; DataError if it would be too large."""
    shortest = min(height, width)
    rows, columns = (max(side, round(length * side / shortest)) for length in (height, width))
    if rows * columns > _MAX_PIXELS and shortest != side:
        raise DataError(
            f"an image of {height}×{width}, rescaled to a shortest side of {side}, would be {rows:,}×{columns:,}, more than "
            f"{_MAX_PIXELS:,} pixels. Crop it to something less long and thin, or leave it out."
        )
    return rows, columns


def resized(image: Array, height: int, width: int, box: Any = None) -> Array:
    """The part `box` (left, top, right, bottom; may be fractions of pixels) of a uint8 image, or all of it, as (height, width, C).

    Bicubic and antialiased; pixels beyond the box's edge count as far as the filter reaches, as they do in the whole.
    """
    from PIL import Image

    if image.dtype != np.uint8:
        raise DataError(f"only uint8 images can be rescaled, but they are {image.dtype}. Rescale before Normalise.")
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    out = picture.resize((width, height), Image.Resampling.BICUBIC, box)
    return np.asarray(out, np.uint8).reshape(height, width, image.shape[2])


def _range(name: str, value: Any) -> tuple[float, float]:
    """`value` as two positive numbers, the smaller first."""
    if not isinstance(value, Sequence) or len(value) != 2:
        raise ConfigError(f"{name} must be a pair (least, most), but is {value!r}.")
    low, high = (number(name, part) for part in value)
    if not 0 < low <= high:
        raise ConfigError(f"{name} must be two positive numbers, the smaller first, but is {value!r}.")
    return low, high
