"""Image files to arrays, safely: known formats only, bounds on bytes and pixels, every byte decoded, the camera's orientation applied.

Memory: an image of N pixels takes at most 24·N bytes while it is decoded (WebP 22, a photograph in JPEG 14), and a file's own bytes at
most twice; N is at most 50 million. The content decides, not the name: a PNG named .jpg is a PNG. Colour profiles are not applied.
"""

from __future__ import annotations

import ctypes
import functools
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..backend.arrays import Array
from ..errors import DataError
from .bounded import one_line, open_file

__all__ = ["FORMATS", "decode", "open_image", "orientation", "read_image"]

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_MAX_PIXELS = 50_000_000
_MAX_BYTES = 2**29  # of a file: 50 million pixels of 16-bit RGBA without compression take 400 MB
_PILLOW = ("ignore", None, Warning, re.compile(r"PIL\."), 0)  # the filter of warnings that `_quiet` sets
_ORIENTATION = 0x0112  # EXIF's tag
_TILE_WIDTH, _TILE_LENGTH = 322, 323  # TIFF's tags


@contextmanager
def open_image(path: str | Path) -> Iterator[Any]:
    """The file as a Pillow image whose header has been checked and whose pixels have not been read.

    Raises DataError, in one line with path and reason, for a file that is missing, no regular file, of another format, over 512 MiB
    or 50 million pixels; and for whatever Pillow raises in the body of the `with`: the file is damaged.
    """
    from PIL import Image

    name = one_line(path)
    _quiet()
    _quiet_libtiff()
    with open_file(Path(path)) as (file, size):
        if size > _MAX_BYTES:
            raise DataError(f"{name}: {size:,} bytes are more than {_MAX_BYTES:,}, the most that is read of an image.")
        try:
            with Image.open(file, formats=FORMATS) as image:
                _bound(name, *image.size)
                if image.format == "TIFF":
                    tags: Any = image.tag_v2  # type: ignore[attr-defined]
                    _bound(name, tags.get(_TILE_WIDTH, 0), tags.get(_TILE_LENGTH, 0))  # a tile is decoded whole
                yield image
        except (DataError, MemoryError):
            raise
        except Exception as error:  # Pillow raises nearly anything on a damaged file
            raise DataError(f"{name}: {_reason(error)}.") from None


def decode(path: str | Path, channels: int, least: int | None = None) -> Array:
    """The whole image as uint8 (H, W, channels), grey (1) or RGB (3), upright; of several frames or pages, the first.

    Transparency is laid on white, 16-bit values are scaled to 8 bits, CMYK and palettes become colours.
    `least`: a JPEG file may be read at a half, a quarter or an eighth of its size, as long as its shortest side keeps so many pixels;
    all its bytes are decoded all the same, so the same files are refused. Raises DataError as `open_image`.
    """
    with open_image(path) as image:
        if least:
            image.draft(None, (least, least))
        image.load()  # all of it; verify() would pass half a JPEG
        _bound(one_line(path), *image.size)
        image = _in_mode(image, "L" if channels == 1 else "RGB", path)
        return np.asarray(image, np.uint8).reshape(image.height, image.width, channels)


def orientation(image: Any) -> int:
    """EXIF's orientation of an open image, 1 to 8; 1 where it is missing, out of range or unreadable: the pixels may be sound."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # EXIF is a format of its own, and often damaged by editors
        return 1
    return value if value in range(1, 9) else 1


def read_image(path: str | Path, channels: int, size: tuple[int, int]) -> Array:
    """The image as uint8 (H, W, channels): decoded, scaled isotropically until it covers `size`, its centre cut out."""
    from PIL import Image, ImageOps

    height, width = size
    image = decode(path, channels)
    picture = Image.fromarray(image[..., 0] if channels == 1 else image)
    fitted = ImageOps.fit(picture, (width, height), Image.Resampling.BICUBIC)
    return np.asarray(fitted, np.uint8).reshape(height, width, channels)


def _quiet() -> None:
    """From now on Pillow's warnings are not shown: they are of odd metadata, and what matters raises.

    `warnings.catch_warnings` would be neater, but exchanges a list of the whole process: two threads that decode at once would leave
    each other's behind, and swallow everybody's warnings.
    """
    filters: Any = warnings.filters
    if not filters or filters[0] != _PILLOW:
        warnings.filterwarnings("ignore", module=_PILLOW[3].pattern)


@functools.cache
def _quiet_libtiff() -> None:
    """From now on libtiff does not write to stderr what is wrong with a file: the exception says that it is bad.

    Pillow silences libtiff's warnings, but not its errors, and offers no way to. The library is found among those that Pillow's own
    module has loaded; where that cannot be, its lines remain.
    """
    from PIL import Image

    module: Any = Image.core  # type: ignore[attr-defined]
    with suppress(OSError, AttributeError):
        ctypes.CDLL(module.__file__).TIFFSetErrorHandler(None)


def _reason(error: Exception) -> str:
    """Why Pillow could not read a file, and what to do."""
    kind = type(error).__name__
    if kind == "DecompressionBombError":
        return f"its header promises more than {_MAX_PIXELS:,} pixels. Scale the image down"
    if kind == "UnidentifiedImageError":
        return f"cannot be read as an image: it is no image of a known format. Known formats: {', '.join(FORMATS)}"
    return f"cannot be read as an image: {' '.join(str(error).split()).rstrip('.') or kind}. Fetch or save it again"


def _bound(name: str, width: int, height: int) -> None:
    if width * height > _MAX_PIXELS:
        raise DataError(f"{name}: {width}×{height} pixels are more than {_MAX_PIXELS:,}. Scale the image down.")


def _in_mode(image: Any, mode: str, path: str | Path) -> Any:
    """A loaded image in `mode`, upright."""
    from PIL import Image

    turn = orientation(image)
    if image.mode == "LAB":
        raise DataError(f"{one_line(path)}: CIELAB colours are not read. Save the image in RGB.")
    if image.mode == "F" or (image.mode == "I" and image.format not in {"PNG", "PPM"}):
        kind = "floating-point" if image.mode == "F" else "32-bit"
        raise DataError(f"{one_line(path)}: {kind} values have no known range of brightness. Save the image with 8 or 16 bits.")
    if image.mode.startswith("I;16") or image.mode == "I":
        values = np.asarray(image).clip(0, 65535)
        values //= 257
        image = Image.fromarray(values.astype(np.uint8))
    elif image.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        image = white
    image = image if image.mode == mode else image.convert(mode)  # which would copy it
    turns = Image.Transpose
    upright = (
        None,
        turns.FLIP_LEFT_RIGHT,
        turns.ROTATE_180,
        turns.FLIP_TOP_BOTTOM,
        turns.TRANSPOSE,
        turns.ROTATE_270,
        turns.TRANSVERSE,
        turns.ROTATE_90,
    )
    method = upright[turn - 1]
    return image if method is None else image.transpose(method)
