"""A picture of a batch as the network will see it: `contact_sheet`.

Normalisation is undone, so that the mean is what it was; values beyond black and white, which a colour shift can give, are
cut to them. Small images are enlarged by a whole factor, each pixel a square.
"""

from __future__ import annotations

import io
import math
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

    evaluation: the first validation images, prepared without randomness. Mixup, which is computed in the step, is not shown. Raises
    ConfigError, DataError or ShapeError as training would, and ConfigError for a sheet of more than 67 million pixels.
    """
    _, fit, held, _ = sources(config)
    transform = preprocessing(config, fit)
    if evaluation:
        loader = evaluation_loader(held, min(count, len(held)), transform, 0)
    else:
        loader = data.Loader(fit, min(count, len(fit)), transform, seed=config.seed, workers=0)
    batch = next(iter(loader.epoch(epoch)))
    names = [fit.classes[label] for label in batch.labels.tolist()]
    return _sheet(_pixels(nhwc(batch.images), transform), names), describe(transform)


def _pixels(images: Array, transform: data.Transform) -> Array:
    """Images (B, H, W, C) as uint8 again: x·std + mean, of the transform's Normalise."""
    steps = transform.steps if isinstance(transform, data.Compose) else (transform,)
    for step in steps:
        if isinstance(step, data.Normalise):
            images = images * np.float32(step.std) + np.float32(step.mean)
    return np.asarray(np.rint(images * 255).clip(0, 255), np.uint8)


def _sheet(images: Array, names: list[str]) -> bytes:
    """A PNG of images (B, H, W, C), about as high as wide, with a name below each."""
    from PIL import Image, ImageDraw, ImageFont

    count, height, width, channels = images.shape
    factor = max(1, math.ceil(_LEAST / min(height, width)))
    high, wide = height * factor + _CAPTION, width * factor
    columns = min(count, math.ceil(math.sqrt(count * high / wide)))
    size = (columns * (wide + _MARGIN) + _MARGIN, math.ceil(count / columns) * (high + _MARGIN) + _MARGIN)
    if size[0] * size[1] > _MOST:
        raise ConfigError(f"{count} images of {height}×{width} make a sheet of {size[0]:,}×{size[1]:,} pixels: lower --count.")
    sheet = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_TEXT)
    for k, name in enumerate(names):
        left, top = (_MARGIN + place * step for place, step in ((k % columns, wide + _MARGIN), (k // columns, high + _MARGIN)))
        picture = Image.fromarray(images[k, ..., 0] if channels == 1 else images[k])
        sheet.paste(picture.resize((wide, height * factor), Image.Resampling.NEAREST), (left, top))
        draw.text((left, top + height * factor + 1), _fitted(name, wide, draw, font), "black", font)
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
