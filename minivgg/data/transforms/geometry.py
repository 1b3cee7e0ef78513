"""Where pixels go: padding, mirroring, cropping."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...backend.arrays import Array
from ...errors import ConfigError, ShapeError
from ..arguments import integer, number
from ..draws import Draws
from .base import Transform

__all__ = ["Crop", "Mirror", "Pad"]


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

    @property
    def window(self) -> tuple[int, int]:
        """(height, width)."""
        assert isinstance(self.size, tuple)
        return self.size

    def places(self, height: int, width: int) -> tuple[int, int]:
        """How many offsets the window has along each axis of an image; ShapeError if it does not fit."""
        tall, wide = height + 2 * self.padding, width + 2 * self.padding
        if tall < self.window[0] or wide < self.window[1]:
            grown = f" with {self.padding} pixels of padding around them are {tall}×{wide}"
            raise ShapeError(
                f"{self} does not fit: images of {height}×{width}{grown if self.padding else ''}, the crop is "
                f"{self.window[0]}×{self.window[1]}. Take a smaller size, more padding, or rescale the images first to a shortest side "
                f"of {max(self.window)} or more."
            )
        return tall - self.window[0] + 1, wide - self.window[1] + 1

    def corners(self, places: Array, draws: Draws) -> Array:
        """(top, left) of the windows, int (B, 2); `places` int (2,) or (B, 2)."""
        if draws.training:
            return (draws.uniform(self.kind, 2) * places).astype(np.intp)
        return np.broadcast_to((places - 1) // 2, (len(draws.indices), 2))

    def apply(self, images: Array, draws: Draws) -> Array:
        count, height, width, channels = images.shape
        corners = self.corners(np.array(self.places(height, width)), draws)
        padded = _padded(images, self.padding, 0)
        out = np.empty((count, *self.window, channels), images.dtype)
        for k, (top, left) in enumerate(corners.tolist()):
            out[k] = padded[k, top : top + self.window[0], left : left + self.window[1]]
        return out


def _padded(images: Array, pixels: int, value: float) -> Array:
    return images if pixels == 0 else np.pad(images, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)), constant_values=value)
