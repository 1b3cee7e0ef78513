"""What the network does not get to see: a blanked square."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...backend.arrays import Array
from ..arguments import integer
from ..draws import Draws
from .base import Transform

__all__ = ["CutOut"]


@dataclass(frozen=True)
class CutOut(Transform):
    """In training, a square of size × size pixels of each image is set to 0; in evaluation none is (DeVries & Taylor 2017).

    Its centre is any pixel, each equally likely: it has the rows cy − ⌊size/2⌋ … cy − ⌊size/2⌋ + size − 1, columns likewise, and what
    hangs over the border is lost. After Normalise 0 is the mean; before it, black.
    """

    kind = "cutout"
    size: int

    def __post_init__(self) -> None:
        self._set(size=integer("CutOut's size", self.size, 1))

    def apply(self, images: Array, draws: Draws) -> Array:
        if not draws.training:
            return images
        _, height, width, _ = images.shape
        first = (draws.uniform(self.kind, 2) * (height, width)).astype(np.intp) - self.size // 2  # (B, 2)
        last = first + self.size
        out = images.copy()
        for k, ((top, left), (bottom, right)) in enumerate(zip(first.clip(0).tolist(), last.tolist(), strict=True)):
            out[k, top : max(bottom, 0), left : max(right, 0)] = 0
        return out
