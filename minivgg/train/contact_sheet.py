"""A picture of a batch as the network will see it: `contact_sheet`.

Normalisation is undone, so that the mean is what it was; values beyond black and white, which a colour shift can give, are
cut to them. Small images are enlarged by a whole factor, each pixel a square.
"""

from __future__ import annotations

import dataclasses
import io
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import data
from ..backend.arrays import Array
from ..backend.layout import nhwc
from ..errors import ConfigError
from .build import evaluation_loader
from .config import TrainConfig
from .preprocessing import describe, preprocessing
from .sources import sources

__all__ = ["contact_sheet"]

_LEAST = 96  # pixels of an image's side on the sheet, at least
_MARGIN, _CAPTION, _TEXT = 4, 18, 13  # pixels: between images, of a caption, of its letters
_MOST = 2**26  # pixels of a sheet


def contact_sheet(config: TrainConfig, count: int = 32, epoch: int = 0, evaluation: bool = False) -> tuple[bytes, str]:
    """(a PNG file, what was done to the images) of the first `count` images of an epoch, in training's order, with their classes below.

    evaluation: the first validation images, prepared without randomness. Of a plan of several runs it is the first one's scale. Mixup,
    which is computed in the step, is not shown. Raises ConfigError, DataError or ShapeError as training would, and ConfigError
    for a sheet of more than 67 million pixels.
    """
    if config.scales:
        config = dataclasses.replace(config, scale=config.scales.split(",")[0], scales="")
    layout = _Layout(count, config.image_size)
    _, fit, held, _ = sources(config)
    transform = preprocessing(config, fit)
    if evaluation:
        loader = evaluation_loader(held, min(count, len(held)), transform, 0)
    else:
        loader = data.Loader(fit, min(count, len(fit)), transform, seed=config.seed, workers=0)
    batch = next(iter(loader.epoch(epoch)))
    names = [fit.classes[label] for label in batch.labels.tolist()]
    return _sheet(_pixels(nhwc(batch.images), transform), names, layout), describe(transform)


def _pixels(images: Array, transform: data.Transform) -> Array:
    """Images (B, H, W, C) as uint8 again: x·std + mean, of the transform's Normalise."""
    steps = transform.steps if isinstance(transform, data.Compose) else (transform,)
    for step in steps:
        if isinstance(step, data.Normalise):
            images = images * np.array(step.std, np.float32) + np.array(step.mean, np.float32)
    return np.asarray(np.rint(images * 255).clip(0, 255), np.uint8)


@dataclass(frozen=True)
class _Layout:
    """Where `count` images of side × side go, about as many pixels high as wide. ConfigError if they make too large a sheet."""

    count: int
    side: int

    def __post_init__(self) -> None:
        width, height = self.size
        if width * height > _MOST:
            images = f"{self.count} images of {self.side}×{self.side}"
            raise ConfigError(f"{images} make a sheet of {width:,}×{height:,} pixels, more than {_MOST:,}: lower --count.")

    @property
    def shown(self) -> int:
        """Pixels of a picture's side on the sheet: a multiple of the image's."""
        return self.side * max(1, math.ceil(_LEAST / self.side))

    @property
    def columns(self) -> int:
        """Pictures in a row."""
        return min(self.count, math.ceil(math.sqrt(self.count * (self.shown + _CAPTION) / self.shown)))

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the sheet in pixels."""
        return self.corner(self.columns - 1, 0)[0] + self.shown + _MARGIN, self.corner(0, math.ceil(self.count / self.columns))[1]

    def corner(self, column: int, row: int) -> tuple[int, int]:
        """(left, top) of a picture."""
        return _MARGIN + column * (self.shown + _MARGIN), _MARGIN + row * (self.shown + _CAPTION + _MARGIN)


def _sheet(images: Array, names: list[str], layout: _Layout) -> bytes:
    """A PNG of images (B, H, W, C) with a name below each."""
    from PIL import Image, ImageDraw, ImageFont

    sheet, shown = Image.new("RGB", layout.size, "white"), layout.shown
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_TEXT)
    for k, name in enumerate(names):
        row, column = divmod(k, layout.columns)
        left, top = layout.corner(column, row)
        picture = Image.fromarray(images[k, ..., 0] if images.shape[3] == 1 else images[k])
        sheet.paste(picture.resize((shown, shown), Image.Resampling.NEAREST), (left, top))
        draw.text((left, top + shown + 1), _fitted(name, shown, draw, font), "black", font)
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


def _fitted(name: str, width: int, draw: Any, font: Any) -> str:
    """`name`, with its end cut off if it is wider than `width` pixels; what cannot be shown is a question mark."""
    name = "".join(letter if letter.isprintable() else "?" for letter in name)
    try:
        draw.textlength(name, font)
    except UnicodeEncodeError:  # Pillow without FreeType knows Latin letters only
        name = name.encode("latin-1", "replace").decode("latin-1")
    short = name
    while name and draw.textlength(short, font) > width:
        name = name[:-1]
        short = name + ".."
    return short
