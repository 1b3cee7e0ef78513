"""Preprocessing and augmentation: immutable values that map a batch of images (B, H, W, C) to another.

In training, randomness comes from `Draws`, decided for each sample; in evaluation there is none. A transform never
changes its input. `to_json` and `from_json` turn one into plain dicts, lists and numbers and back, for checkpoints.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..backend.arrays import Array
from ..errors import ConfigError, DataError, ShapeError, nearest
from .arguments import integer, number
from .draws import Draws

__all__ = ["Compose", "Crop", "Mirror", "Normalise", "Pad", "Transform", "from_json"]


class Transform:
    """Base of all transforms: a frozen dataclass with `kind`, its name in JSON and in random streams, and `apply`."""

    kind: ClassVar[str]

    def __call__(self, images: Array, draws: Draws) -> Array:
        """images uint8 or float32 (B, H, W, C), with draws for B samples → the new batch.

        Raises ShapeError where sizes do not fit, DataError for another dtype.
        """
        if images.ndim != 4 or len(images) != len(draws.indices):
            raise ShapeError(f"{self} expects images (B, H, W, C) with B = {len(draws.indices)} draws, but they are {images.shape}.")
        if images.dtype not in (np.uint8, np.float32):
            raise DataError(f"{self} expects uint8 or float32 images, but they are {images.dtype}.")
        return self.apply(images, draws)

    def apply(self, images: Array, draws: Draws) -> Array:
        """What the transform does, on checked images."""
        raise TypeError(f"{type(self).__name__} must define apply(images, draws).")

    def to_json(self) -> dict[str, Any]:
        """{"name": kind, parameter: value, …} of plain lists and numbers; equal transforms give equal dicts."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]
        return {"name": self.kind, **{name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}}

    def _set(self, **values: Any) -> None:
        """Write checked parameters, at construction only."""
        for name, value in values.items():
            object.__setattr__(self, name, value)


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
class Compose(Transform):
    """One transform after the other; a Compose inside is opened, so that `steps` is flat. `Compose(())` changes nothing."""

    kind = "compose"
    steps: tuple[Transform, ...]

    def __post_init__(self) -> None:
        flat: list[Transform] = []
        for step in self.steps:
            flat.extend(step.steps if isinstance(step, Compose) else (step,))
        wrong = [step for step in flat if not isinstance(step, Transform)]
        if wrong:
            raise ConfigError(f"Compose takes transforms, but got {wrong[0]!r:.60}. Derive from Transform.")
        self._set(steps=tuple(flat))

    def apply(self, images: Array, draws: Draws) -> Array:
        seen: dict[str, int] = {}
        for step in self.steps:
            occurrence = seen.get(step.kind, 0)
            seen[step.kind] = occurrence + 1
            images = step(images, draws.nth(occurrence))
        return images

    def to_json(self) -> dict[str, Any]:
        return {"name": self.kind, "steps": [step.to_json() for step in self.steps]}


_KINDS: dict[str, type[Transform]] = {kind.kind: kind for kind in (Compose, Crop, Mirror, Normalise, Pad)}


def from_json(data: Any) -> Transform:
    """The transform that `to_json` described; ConfigError for an unknown name, parameter or value."""
    if not isinstance(data, dict) or not isinstance(data.get("name"), str):
        raise ConfigError(f'a transform is stored as {{"name": …, parameters}}, but this is {data!r:.80}.')
    parameters = {name: value for name, value in data.items() if name != "name"}
    if data["name"] not in _KINDS:
        raise ConfigError(f"unknown transform {data['name']!r}: {nearest(data['name'], _KINDS)}")
    kind = _KINDS[data["name"]]
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for name in parameters:
        if name not in fields:
            raise ConfigError(f"{kind.__name__} has no parameter {name!r}: {nearest(str(name), fields)}")
    missing = [name for name, field in fields.items() if field.default is dataclasses.MISSING and name not in parameters]
    if missing:
        raise ConfigError(f"{kind.__name__} needs the parameter {missing[0]!r}.")
    if kind is Compose:
        if not isinstance(parameters["steps"], list):
            raise ConfigError(f"Compose's steps must be a list, but are {parameters['steps']!r:.80}.")
        return Compose(tuple(from_json(step) for step in parameters["steps"]))
    return kind(**parameters)


def _channels(name: str, value: Any) -> tuple[float, ...]:
    values = tuple(value) if isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, str) else (value,)
    if not values:
        raise ConfigError(f"{name} must have one number for each channel, but is empty.")
    return tuple(number(name, part) for part in values)


def _padded(images: Array, pixels: int, value: float) -> Array:
    return images if pixels == 0 else np.pad(images, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)), constant_values=value)
