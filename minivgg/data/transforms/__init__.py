"""Preprocessing and augmentation: immutable values that map a batch of images to another, one kind of idea a room.

`to_json` and `from_json` turn one into plain dicts, lists and numbers and back, for checkpoints.
"""

from __future__ import annotations

from .base import Transform
from .colour import ColourShift, Normalise
from .compose import Compose, from_json
from .cutout import CutOut
from .geometry import Crop, Mirror, Pad
from .scaling import RandomResizedCrop, Rescale, rescale

__all__ = [
    "ColourShift",
    "Compose",
    "Crop",
    "CutOut",
    "Mirror",
    "Normalise",
    "Pad",
    "RandomResizedCrop",
    "Rescale",
    "Transform",
    "from_json",
    "rescale",
]
