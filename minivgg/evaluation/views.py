"""Views of an image: the whole of it, its centre, or a grid of crops, at several scales, each as it is and mirrored.

A protocol is a list of views with a share each, which sum up to 1: the image's score is the sum of its views' posteriors by their
shares. Simonyan & Zisserman, arXiv:1409.1556, §3.2 and §4.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..backend.arrays import Array
from ..errors import DataError
from .sight import Sight

__all__ = ["PROTOCOLS", "View", "grid", "views"]

PROTOCOLS = ("center", "dense", "multi-crop", "both")
_GRID = 5  # crops along each side of an image: 25, and 50 with their mirror images


class View(NamedTuple):
    """`image` uint8 (H, W, C); `share` of its posterior in the image's; `whole`: an uncropped image, for the dense network."""

    image: Array
    share: float
    whole: bool


def grid(length: int, size: int) -> list[int]:
    """Where five crops of `size` pixels begin along `length` pixels: i·(length − size)/4 for i = 0..4, a half rounded up.

    >>> grid(256, 224), grid(37, 32)
    ([0, 8, 16, 24, 32], [0, 1, 3, 4, 5])
    """
    return [(2 * i * (length - size) + _GRID - 1) // (2 * (_GRID - 1)) for i in range(_GRID)]


def views(image: Array, sight: Sight, protocol: str, scales: Sequence[int], flip: bool, name: str = "the image") -> Iterator[View]:
    """The views of a decoded image, uint8 (H, W, C), whose shares sum up to 1.

    center      the crop at the centre              multi-crop  5×5 crops, in a regular grid
    dense       the whole image                     both        half dense, half multi-crop
    Crops at the same place, of which there are some where the image is hardly larger than the crop, are one view with their
    joint share. `scales` are the shortest sides that the image is rescaled to. Raises DataError, with `name`, for a strip that would
    have more than 50 million pixels then.
    """
    for side in scales:
        try:
            scaled = sight.at(image, side)
        except DataError as error:
            raise DataError(f"{name}: {error}") from None
        for picture, share, whole in _pieces(scaled, sight.size, protocol):
            share /= len(scales) * (2 if flip else 1)
            yield View(picture, share, whole)
            if flip:
                yield View(picture[:, ::-1], share, whole)


def _pieces(image: Array, size: int, protocol: str) -> Iterator[tuple[Array, float, bool]]:
    """(piece, share, whether it is the whole) of one image at one scale."""
    height, width = image.shape[:2]
    part = 0.5 if protocol == "both" else 1.0
    if protocol in ("dense", "both"):
        yield image, part, True
    if protocol in ("multi-crop", "both"):
        places = Counter((top, left) for top in grid(height, size) for left in grid(width, size))
        for (top, left), count in places.items():
            yield image[top : top + size, left : left + size], part * count / _GRID**2, False
    if protocol == "center":
        top, left = (height - size) // 2, (width - size) // 2
        yield image[top : top + size, left : left + size], part, False
