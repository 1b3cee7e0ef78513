"""Image files to arrays, safely: known formats only, a bound on pixels, every byte decoded, the camera's orientation applied."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ..backend.arrays import Array
from ..errors import DataError

__all__ = ["FORMATS", "decode", "read_image"]

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_MAX_PIXELS = 50_000_000


def decode(path: str | Path, channels: int, least: int | None = None) -> Array:
    """The whole image as uint8 (H, W, channels), grey (1) or RGB (3), upright.

    `least`: a JPEG file may be read at a half, a quarter or an eighth of its size, as long as its shortest side keeps so many pixels.
    Raises DataError, with path and reason, for a file that is missing, of another format, over 50 million pixels, or damaged.
    """
    from PIL import Image, ImageOps

    path = Path(path)
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata; what matters raises
            with Image.open(file, formats=FORMATS) as image:
                if image.width * image.height > _MAX_PIXELS:
                    raise DataError(f"{path}: {image.width}×{image.height} pixels are more than {_MAX_PIXELS:,}. Scale the image down.")
                mode = "L" if channels == 1 else "RGB"
                if least:
                    image.draft(None, (least, least))
                image.load()  # all of it; verify() would pass half a JPEG
                colour = _in_mode(ImageOps.exif_transpose(image), mode, path)
                return np.asarray(colour, np.uint8).reshape(colour.height, colour.width, channels)
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file. Check the path.") from None
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:  # Pillow raises nearly anything on a damaged file
        reason = (
            "it is no image of a known format" if type(error).__name__ == "UnidentifiedImageError" else f"{error or type(error).__name__}"
        )
        raise DataError(f"{path}: cannot be read as an image: {reason}. Known formats: {', '.join(FORMATS)}.") from None


def read_image(path: str | Path, channels: int, size: tuple[int, int]) -> Array:
    """The image as uint8 (H, W, channels): decoded, scaled isotropically until it covers `size`, its centre cut out."""
    from PIL import Image, ImageOps

    height, width = size
    image = decode(path, channels)
    picture = Image.fromarray(image[..., 0] if channels == 1 else image)
    fitted = ImageOps.fit(picture, (width, height), Image.Resampling.BICUBIC)
    return np.asarray(fitted, np.uint8).reshape(height, width, channels)


def _in_mode(image: Any, mode: str, path: Path) -> Any:
    """16-bit grey scaled to 8 bits; transparency laid on white; everything else as Pillow converts it."""
    from PIL import Image

    if image.mode == "F" or (image.mode == "I" and image.format not in {"PNG", "PPM", None}):
        kind = "floating-point" if image.mode == "F" else "32-bit"
        raise DataError(f"{path}: {kind} values have no known range of brightness. Save the image with 8 or 16 bits.")
    if image.mode.startswith("I;16") or image.mode == "I":
        image = Image.fromarray((np.asarray(image).astype(np.int64).clip(0, 65535) // 257).astype(np.uint8))
    if image.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image.convert(mode)
