"""`Transform`, the base: an immutable value that maps a batch of images (B, H, W, C) to another.

In training, randomness comes from `Draws`, decided for each sample; in evaluation there is none. A transform never
changes its input. Images of several sizes are a list of (H, W, C): each is then a batch of its own, with its own
sample's draws, and the results are one array again as soon as their sizes agree.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np

from ...backend.arrays import Array
from ...errors import DataError, ShapeError
from ..draws import Draws

__all__ = ["Images", "Transform", "joined"]

Images = Array | list[Array]  # (B, H, W, C), or B images (H, W, C)


class Transform:
    """Base of all transforms: a frozen dataclass with `kind`, its name in JSON and in random streams, and `apply`."""

    kind: ClassVar[str]
    kinds: ClassVar[dict[str, type[Transform]]] = {}  # every transform, by the name of its kind

    def __init_subclass__(cls) -> None:
        if "kind" in vars(cls):
            Transform.kinds[cls.kind] = cls

    @property
    def least(self) -> int | None:
        """The shortest side, in pixels, that suffices of a decoded image; None: nothing less than the whole does."""
        return None

    def __call__(self, images: Images, draws: Draws) -> Images:
        """images uint8 or float32, (B, H, W, C) or a list of B images (H, W, C), with draws for B samples → the new batch.

        Raises ShapeError where sizes do not fit, DataError for another dtype.
        """
        if isinstance(images, list):
            return joined([self(image[None], draws.of(k))[0] for k, image in enumerate(images)])
        self.check(images, draws)
        return self.apply(images, draws)

    def check(self, images: Array, draws: Draws) -> None:
        """Raise ShapeError or DataError for what is no batch of images."""
        if images.ndim != 4 or len(images) != len(draws.indices):
            raise ShapeError(f"{self} expects images (B, H, W, C) with B = {len(draws.indices)} draws, but they are {images.shape}.")
        if images.dtype not in (np.uint8, np.float32):
            raise DataError(f"{self} expects uint8 or float32 images, but they are {images.dtype}.")

    def apply(self, images: Array, draws: Draws) -> Images:
        """What the transform does, on checked images."""
        raise TypeError(f"{type(self).__name__} must define apply(images, draws).")

    def to_json(self) -> dict[str, Any]:
        """{"name": kind, parameter: value, …} of plain lists and numbers; equal transforms give equal dicts."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]
        return {"name": self.kind, **{name: _plain(value) for name, value in fields.items()}}

    def _set(self, **values: Any) -> None:
        """Write checked parameters, at construction only."""
        for name, value in values.items():
            object.__setattr__(self, name, value)


def _plain(value: Any) -> Any:
    return [_plain(part) for part in value] if isinstance(value, tuple) else value


def joined(images: list[Array]) -> Images:
    """The images as one array (B, H, W, C), if all have one shape."""
    return np.stack(images) if len({image.shape for image in images}) == 1 else images
