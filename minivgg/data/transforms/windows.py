"""Rescale and then Crop, of which only the pixels are made that the crop keeps: a quarter of them for 224×224 of a side of 256 to 512."""

from __future__ import annotations

import numpy as np

from ...backend.arrays import Array
from ..draws import Draws
from .base import Images
from .geometry import Crop
from .scaling import Rescale, resized, scaled

__all__ = ["rescaled_crop"]


def rescaled_crop(rescale: Rescale, crop: Crop, images: Images, scale_draws: Draws, crop_draws: Draws) -> Array:
    """What `crop`, which has no padding, makes of what `rescale` makes of the images: uint8 (B, h, w, C).

    Sizes, places and errors are the same. A value may differ by a grey level of 255, rarely by two: Pillow rounds between its two
    passes, along rows and along columns, and begins with the one that is cheaper; and it knows the box's corners in single precision.
    So evaluation, which should give the same whatever is cropped afterwards, takes the two steps in turn.
    Beside pixels of noise that are nearly black or white it may be more, 12 was seen: what overshoots is cut off between the passes.
    """
    if not isinstance(images, list):
        rescale.check(images, scale_draws)
    sides = rescale.sides(scale_draws).tolist()
    sizes = [scaled(image.shape[0], image.shape[1], side) for image, side in zip(images, sides, strict=True)]
    corners = crop.corners(np.array([crop.places(*size) for size in sizes]), crop_draws).tolist()
    return np.stack([_window(*part, crop.window) for part in zip(images, sizes, corners, strict=True)])


def _window(image: Array, size: tuple[int, int], corner: list[int], window: tuple[int, int]) -> Array:
    (top, left), (height, width) = corner, window
    if image.shape[:2] == size:
        return image[top : top + height, left : left + width]
    down, across = image.shape[0] / size[0], image.shape[1] / size[1]  # pixels of the original for one of the scaled image
    box = (left * across, top * down, min((left + width) * across, image.shape[1]), min((top + height) * down, image.shape[0]))
    return resized(image, height, width, box)
