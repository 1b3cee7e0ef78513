"""What there is to know of one image: its size, what identifies its pixels, and whatever is odd about it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..backend.arrays import Array
from .decode import decode, open_image, orientation

__all__ = ["Examined", "examine", "examine_pixels"]

TINY = 16  # pixels of the shortest side, below which hardly anything can be recognised
LONG = 4  # times as long as wide
_SUFFIXES = {
    "BMP": {".bmp"},
    "GIF": {".gif"},
    "JPEG": {".jfif", ".jpe", ".jpeg", ".jpg"},
    "MPO": {".jfif", ".jpe", ".jpeg", ".jpg"},
    "PNG": {".apng", ".png"},
    "PPM": {".pbm", ".pgm", ".pnm", ".ppm"},
    "TIFF": {".tif", ".tiff"},
    "WEBP": {".webp"},
}


@dataclass(frozen=True)
class Examined:
    """`height` and `width` upright, in pixels; `digest` is the SHA-256 of size and pixels; `remarks` are reasons to look at it."""

    height: int
    width: int
    digest: str
    remarks: tuple[str, ...]


def examine(path: Path, channels: int) -> Examined:
    """An image file, decoded whole. Raises DataError, with path and reason, if it is no sound image."""
    seen = examine_pixels(decode(path, channels))
    with open_image(path) as image:
        return Examined(seen.height, seen.width, seen.digest, (*seen.remarks, *_of_header(image, path.suffix.lower())))


def examine_pixels(image: Array) -> Examined:
    """An image in memory, uint8 (H, W, C)."""
    height, width = image.shape[:2]
    remarks = []
    if min(height, width) < TINY:
        remarks.append(f"tiny: {height}×{width}")
    if max(height, width) > LONG * min(height, width):
        remarks.append(f"extreme shape: {height}×{width} is {max(height, width) / min(height, width):.1f} to 1")
    if (image == image[0, 0]).all():
        remarks.append(f"one colour: every pixel is {', '.join(map(str, image[0, 0].tolist()))}")
    sha = hashlib.sha256(repr(image.shape).encode())
    sha.update(image.tobytes())
    return Examined(height, width, sha.hexdigest(), tuple(remarks))


def _of_header(image: Any, suffix: str) -> list[str]:
    remarks = []
    if suffix not in _SUFFIXES.get(image.format, {suffix}):
        remarks.append(f"wrong suffix: {suffix}, but a {image.format} file")
    try:
        if image.format in {"GIF", "PNG", "TIFF", "WEBP"} and image.is_animated:
            remarks.append("several frames or pages: the first is read")
    except Exception:  # as for any damaged file; the first frame is sound
        remarks.append("several frames or pages, of which later ones are damaged: the first is read")
    if orientation(image) == 1:
        try:
            stored = image.getexif().get(0x0112, 1)
        except Exception:
            stored = "unreadable"
        if stored != 1:
            remarks.append(f"odd EXIF: its orientation is {stored}, and taken for 1")
    return remarks
