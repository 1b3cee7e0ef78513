"""A heat map over an image: from violet, a little, through red to yellow, much; where there is nothing, the image stays.

The colours are computed in CIELAB, whose lightness L is about the one that people see: it rises evenly with the strength, from 35 to 90,
while the hue turns from violet (−50°) over red (40°) to yellow (100°). So equal steps look equal, and the order survives in a copy without
colours. The chroma is about what sRGB can show on this way; values beyond are cut.

    L, a = chroma·cos(hue), b = chroma·sin(hue)   →   Y = f⁻¹((L + 16)/116), X by + a/500, Z by − b/200   →   linear sRGB   →   sRGB

with f⁻¹(t) = t³ for t > 6/29, else 3·(6/29)²·(t − 4/29); CIE 15:2004 and IEC 61966-2-1, white point D65.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from ..backend.arrays import Array

__all__ = ["colours", "overlay"]

_LIGHTNESS, _HUE, _CHROMA = (35.0, 90.0), (-50.0, 40.0, 100.0), (60.0, 75.0, 80.0)  # from 0 to 1, evenly spaced
_WHITE = np.array([0.95047, 1.0, 1.08883])
_XYZ_TO_SRGB = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])
_MOST_OPAQUE, _KNEE = 0.6, 0.35  # of the heat at strength 1; the strength from which on it is that opaque


@cache
def colours() -> Array:
    """uint8 (256, 3): RGB of the strengths 0, 1/255, …, 1. Not to be written to."""
    strength = np.linspace(0, 1, 256)
    lightness = np.interp(strength, (0, 1), _LIGHTNESS)
    hue, chroma = np.deg2rad(np.interp(strength, (0, 0.5, 1), _HUE)), np.interp(strength, (0, 0.5, 1), _CHROMA)
    y = (lightness + 16) / 116
    t = np.stack([y + chroma * np.cos(hue) / 500, y, y - chroma * np.sin(hue) / 200], axis=1)
    xyz = np.where(t > 6 / 29, t**3, 3 * (6 / 29) ** 2 * (t - 4 / 29)) * _WHITE
    linear = (xyz @ _XYZ_TO_SRGB.T).clip(0, 1)
    rgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(255 * rgb).astype(np.uint8)


def overlay(image: Array, cells: Array) -> Array:
    """An image uint8 (H, W, 1 or 3) under the heat of a map (h, w), none negative: uint8 (H, W, 3).

    The map is divided by its largest value, and enlarged by bilinear interpolation between the cells' centres. The heat covers the more,
    the stronger it is, up to 60 %. Without any heat the image is as it was.
    """
    from PIL import Image

    height, width, _ = image.shape
    most = cells.max()
    share = Image.fromarray((cells / most if most > 0 else cells).astype(np.float32))
    strength = np.asarray(share.resize((width, height), Image.Resampling.BILINEAR)).clip(0, 1)
    heat = colours()[np.rint(255 * strength).astype(np.uint8)]
    opacity = _MOST_OPAQUE * np.minimum(strength / _KNEE, 1)[..., None]
    return np.asarray(np.rint((1 - opacity) * image + opacity * heat), np.uint8)
