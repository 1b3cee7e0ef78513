"""Where pixels go: padding, mirroring, cropping, rescaling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...backend.arrays import Array
from ...errors import ConfigError, ShapeError
from ..arguments import integer, number
from ..draws import Draws
from .base import Images, Transform, joined

__all__ = ["Crop", "Mirror", "Pad", "Rescale", "rescale"]


@dataclass(frozen=True)
class Pad(Transform):
    """`pixels` of `value` around each image: (B, H, W, C) → (B, H + 2·pixels, W + 2·pixels, C).

    `value` is in the images' own units: 0..255 before Normalise (0 is black), standard deviations after it.
    """

    kind = "pad"
    pixels: int
    value: float = 0.0

    def __post_init__(self) -> None:
        self._set(pixels=integer("Pad's pixels", self.pixels, 0), value=number("Pad's value", self.value))

    def apply(self, images: Array, draws: Draws) -> Array:
        if images.dtype == np.uint8 and (self.value != int(self.value) or not 0 <= self.value <= 255):
            raise ConfigError(f"{self} cannot pad uint8 images with {self.value}: give an integer in 0..255, or pad after Normalise.")
        return _padded(images, self.pixels, self.value)


@dataclass(frozen=True)
class Mirror(Transform):
    """In training, each image is mirrored left to right with probability `p`; in evaluation none is."""

    kind = "mirror"
    p: float = 0.5

    def __post_init__(self) -> None:
        self._set(p=number("Mirror's p", self.p))
        if not 0 <= self.p <= 1:
            raise ConfigError(f"Mirror's p must be a probability in 0..1, but is {self.p}.")

    def apply(self, images: Array, draws: Draws) -> Array:
        if not draws.training:
            return images
        chosen = draws.uniform(self.kind, 1)[:, 0] < self.p
        out = images.copy()
        out[chosen] = images[chosen, :, ::-1]
        return out


@dataclass(frozen=True)
class Crop(Transform):
    """A window of `size` (an int, or (height, width)) out of each image with `padding` zeros around it.

    In training its place is random, every offset equally likely; in evaluation it is the centre
    (the upper left one of the middle, if the margin is odd). Raises ShapeError if the window is larger than the padded image.
    """

    kind = "crop"
    size: int | tuple[int, int]
    padding: int = 0

    def __post_init__(self) -> None:
        pair = self.size if isinstance(self.size, (tuple, list)) else (self.size, self.size)
        if len(pair) != 2:
            raise ConfigError(f"Crop's size must be an integer or (height, width), but is {self.size!r}.")
        height, width = (integer("Crop's size", side, 1) for side in pair)
        self._set(size=(height, width), padding=integer("Crop's padding", self.padding, 0))

    def apply(self, images: Array, draws: Draws) -> Array:
        assert isinstance(self.size, tuple)
        count, height, width, _ = images.shape
        wanted = np.array(self.size)
        places = np.array((height, width)) + 2 * self.padding - wanted + 1  # offsets along each axis
        if (places < 1).any():
            raise ShapeError(
                f"{self} does not fit: images of {height}×{width} with {self.padding} pixels of padding around them are "
                f"{height + 2 * self.padding}×{width + 2 * self.padding}, the crop is {wanted[0]}×{wanted[1]}. "
                "Take a smaller size or more padding."
            )
        if not draws.training:
            top, left = (places - 1) // 2
            return _padded(images, self.padding, 0)[:, top : top + wanted[0], left : left + wanted[1]]
        corner = (draws.uniform(self.kind, 2) * places).astype(np.intp)  # (B, 2)
        rows = corner[:, 0, None] + np.arange(wanted[0])  # (B, h)
        columns = corner[:, 1, None] + np.arange(wanted[1])  # (B, w)
        return _padded(images, self.padding, 0)[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]


def _padded(images: Array, pixels: int, value: float) -> Array:
    return images if pixels == 0 else np.pad(images, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)), constant_values=value)


@dataclass(frozen=True)
class Rescale(Transform):
    """uint8 images scaled isotropically until their shortest side has S pixels, antialiased: (H, W, C) → (S, W·S/H, C) or (H·S/W, S, C).

    In training S is drawn for each image from low..high, each integer equally likely (scale jitter: Simonyan & Zisserman §3.1); in
    evaluation it is the middle, (low + high) // 2.
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

    def apply(self, images: Array, draws: Draws) -> Images:
        if not draws.training or self.low == self.high:
            sides = np.full(len(images), (self.low + self.high) // 2)
        else:
            sides = self.low + (draws.uniform(self.kind, 1)[:, 0] * (self.high - self.low + 1)).astype(np.intp)
        return joined([rescale(image, int(side)) for image, side in zip(images, sides, strict=True)])


def rescale(image: Array, side: int) -> Array:
    """One uint8 image (H, W, C), isotropically scaled to the shortest side `side`; the longer one is rounded to the nearest pixel."""
    from PIL import Image

    height, width, channels = image.shape
    if min(height, width) == side:
        return image
    height, width = (max(side, round(length * side / min(height, width))) for length in (height, width))
    picture = Image.fromarray(image[..., 0] if channels == 1 else image)
    return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC), np.uint8).reshape(height, width, channels)
