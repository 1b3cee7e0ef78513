"""`Sheet`: pictures of one size in rows and columns, each with lines of text below, as one PNG.

Small images are enlarged by a whole factor, each pixel a square. A sheet is about as many pixels high as wide.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import data
from ..backend.arrays import Array
from ..errors import ConfigError

__all__ = ["Layout", "Sheet", "pixels"]

_MARGIN, _LINE, _TEXT = 4, 18, 13  # pixels: between the pictures of a tile, of a line of text, of its letters
_MOST = 2**26  # pixels of a sheet
_BAR = (189, 215, 244)


def pixels(images: Array, transform: data.Transform) -> Array:
    """Prepared images float32 (B, H, W, C) as uint8 again: x·std + mean, of the transform's Normalise. What lies beyond black and white
    is cut to them."""
    steps = transform.steps if isinstance(transform, data.Compose) else (transform,)
    for step in steps:
        if isinstance(step, data.Normalise):
            images = images * np.array(step.std, np.float32) + np.array(step.mean, np.float32)
    return np.asarray(np.rint(images * 255).clip(0, 255), np.uint8)


@dataclass(frozen=True)
class Layout:
    """Where the tiles of a sheet go: `count` of them, each with `across` pictures side by side and `lines` of text below.

    height, width   of an image, in pixels
    least           pixels that a picture has on the sheet at least, from left to right: images are enlarged by a whole factor
    gap             pixels between tiles, and around them
    remedy          what the message of the error says before the number of tiles that fit, such as "lower --count to"

    Raises ConfigError for a sheet of more than 67 million pixels.
    """

    count: int
    height: int
    width: int
    least: int = 96
    across: int = 1
    lines: int = 1
    gap: int = _MARGIN
    remedy: str = "lower --count to"

    def __post_init__(self) -> None:
        width, height = self.size
        if width * height > _MOST:
            images = f"{self.count} images of {self.height}×{self.width}"
            raise ConfigError(f"{images} make a sheet of {width:,}×{height:,} pixels, more than {_MOST:,}: {self._way_out}.")

    @property
    def factor(self) -> int:
        """By which images are enlarged."""
        return max(1, math.ceil(self.least / self.width))

    @property
    def tile(self) -> tuple[int, int]:
        """(width, height) of a tile, its text included, without the margin around it, in pixels."""
        shown = self.across * (self.factor * self.width + _MARGIN) - _MARGIN
        return shown, self.factor * self.height + self.lines * _LINE

    @property
    def columns(self) -> int:
        """Tiles in a row."""
        return self._columns(self.count)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the sheet in pixels."""
        return self._size(self.count)

    def corner(self, k: int) -> tuple[int, int]:
        """(left, top) of tile k, in pixels."""
        width, height = self.tile
        row, column = divmod(k, self.columns)
        return self.gap + column * (width + self.gap), self.gap + row * (height + self.gap)

    def _columns(self, count: int) -> int:
        width, height = self.tile
        return max(1, min(count, math.ceil(math.sqrt(count * height / width))))

    def _size(self, count: int) -> tuple[int, int]:
        (width, height), columns = self.tile, self._columns(count)
        return self.gap + columns * (width + self.gap), self.gap + math.ceil(count / columns) * (height + self.gap)

    @property
    def _way_out(self) -> str:
        width, height = self.tile
        most = _MOST // ((width + self.gap) * (height + self.gap))  # the last row may not be full, and then fewer fit
        fit = next(n for n in range(most, -1, -1) if math.prod(self._size(n)) <= _MOST)
        return f"{self.remedy} {fit:,}" if fit else "not even one fits"


class Sheet:
    """A white sheet to fill: `picture` and `line` by the number of the tile, then `png`."""

    def __init__(self, layout: Layout) -> None:
        from PIL import Image, ImageDraw, ImageFont

        self.layout = layout
        self._image = Image.new("RGB", layout.size, "white")
        self._draw, self._font = ImageDraw.Draw(self._image), ImageFont.load_default(_TEXT)

    def enlarged(self, image: Array) -> Array:
        """uint8 (H, W, C) as it is shown: (factor·H, factor·W, C)."""
        factor = self.layout.factor
        return image.repeat(factor, 0).repeat(factor, 1)

    def picture(self, tile: int, shown: Array, position: int = 0) -> None:
        """Put an enlarged image, uint8 (h, w, 1 or 3), into a tile, the `position`th from the left."""
        from PIL import Image

        left, top = self.layout.corner(tile)
        left += position * (self.layout.factor * self.layout.width + _MARGIN)
        self._image.paste(Image.fromarray(shown[..., 0] if shown.shape[2] == 1 else shown), (left, top))

    def line(self, tile: int, number: int, text: str, right: str = "", bar: float = 0.0, colour: str = "black") -> None:
        """Write the `number`th line below a tile's pictures: `text`, cut off where it is too long, and `right` at the right side.

        `bar`, in 0..1, is the share of the line that is coloured behind the text, from the left.
        """
        left, top = self.layout.corner(tile)
        width, height = self.layout.tile
        top += height - (self.layout.lines - number) * _LINE
        if round(bar * width):
            self._draw.rectangle((left, top + 2, left + round(bar * width) - 1, top + _LINE - 1), _BAR)
        taken = math.ceil(self._draw.textlength(right, self._font)) if right else 0
        room = width - taken - _MARGIN * bool(right)
        self._draw.text((left, top + 1), _fitted(text, room, self._draw, self._font), colour, self._font)
        self._draw.text((left + width - taken, top + 1), right, colour, self._font)

    def png(self) -> bytes:
        """The file's bytes."""
        file = io.BytesIO()
        self._image.save(file, "PNG")
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
