"""How the makers of published weights prepare an image: scale, crop, order of the colours, mean and deviation.

name         the network was trained on                                            so pixels 0..255 become
torchvision  RGB in 0..1, minus (0.485, 0.456, 0.406), by (0.229, 0.224, 0.225)    (x/255 − mean)/std
caffe        BGR in 0..255, minus (103.939, 116.779, 123.68), as the VGG authors   x − mean, in RGB: the first filters are flipped
unit         RGB in 0..1                                                           x/255

All rescale to a shortest side of 256 for a crop of 224, and in that ratio for others. Here images are RGB throughout: a network that
wants BGR has the input channels of its first convolution turned round when it is read, which changes no bit of its outputs but for the
order of a sum. Subtracting the mean stays outside of the convolution: with zeros around the image it could not be folded into the bias.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .. import data
from ..errors import ConfigError, nearest

__all__ = ["PREPARATIONS", "Preparation", "preparation", "require_sound"]

_LARGEST = 7_071  # pixels of a side: its square is the most that an image may have


@dataclass(frozen=True)
class Preparation:
    """`mean` and `std` of RGB in units of 0..1; `bgr`: whether the file's first filters expect blue first."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bgr: bool = False

    def transform(self, image_size: int, channels: int = 3) -> data.Transform:
        """For crops of image_size × image_size from images with a shortest side of image_size · 256/224. Of grey images the mean over
        the colours is taken."""
        mean, std = (values if channels == 3 else (sum(values) / 3,) * channels for values in (self.mean, self.std))
        return data.Compose((data.Rescale(side := round(image_size * 256 / 224), side), data.Crop(image_size), data.Normalise(mean, std)))


PREPARATIONS = {
    "torchvision": Preparation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "caffe": Preparation((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255,) * 3, bgr=True),
    "unit": Preparation((0.0,) * 3, (1.0,) * 3),
}


def preparation(name: str) -> Preparation:
    """The one of that name. Raises ConfigError with the nearest valid name."""
    if name not in PREPARATIONS:
        raise ConfigError(f'unknown preparation "{name}": {nearest(name, PREPARATIONS)}')
    return PREPARATIONS[name]


def require_sound(transform: data.Transform, channels: int) -> None:
    """Raise ValueError for what a file says of its images' preparation, if it takes memory without bound, other channels than the network
    has, or numbers that would not stay finite."""
    largest = max(_integers(transform.to_json()), default=0)
    if largest > _LARGEST:
        raise ValueError(f"images cannot be prepared with sizes of {largest:,}; {_LARGEST:,} is the most")
    for step in _steps(transform):
        if isinstance(step, data.Normalise):
            if len(step.mean) != channels:
                raise ValueError(f"{len(step.mean)} colours are normalised, but the network takes {channels}")
            if max(map(abs, step.mean)) > 1e6 or min(step.std) < 1e-9:
                raise ValueError(f"images cannot be normalised by {step.mean} and {step.std}")


def _steps(transform: data.Transform) -> Iterator[data.Transform]:
    for step in transform.steps if isinstance(transform, data.Compose) else ():
        yield from _steps(step)
    yield transform


def _integers(value: Any) -> Iterator[int]:
    """All whole numbers in a value of JSON."""
    if isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _integers(part)
    elif isinstance(value, int):
        yield value
