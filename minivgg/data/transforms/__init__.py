"""Preprocessing and augmentation: immutable values that map a batch of images to another, one kind of idea a room.

`to_json` and `from_json` turn one into plain dicts, lists and numbers and back, for checkpoints.
"""

from __future__ import annotations

from .base import Transform
from .colour import Normalise
from .compose import Compose, from_json
from .geometry import Crop, Mirror, Pad, Rescale, rescale

__all__ = ["Compose", "Crop", "Mirror", "Normalise", "Pad", "Rescale", "Transform", "from_json", "rescale"]
