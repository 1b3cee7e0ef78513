"""`Sight`: how a trained network wants to see an image of any size, and at which scales it was trained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import data
from ..backend.arrays import Array
from ..errors import CheckpointError
from ..train import Predictor

__all__ = ["Sight"]


@dataclass(frozen=True)
class Sight:
    """What a run's preprocessing does in evaluation, in parts: `size` is the side of its crops, `low`..`high` the shortest sides S that
    images had in training, both in pixels.

    Images in files are rescaled. Those in memory, all of `native` pixels at their shortest side, may have been padded with
    black up to `size` instead; then that padded image is what has the side S, and what other scales are made from.
    """

    size: int
    low: int
    high: int
    native: int | None
    normalise: data.Normalise
    least: int | None  # a file may be decoded at a smaller size with this shortest side; see data.decode

    @classmethod
    def of(cls, predictor: Predictor) -> Sight:
        """The sight of a run. Raises CheckpointError if its preprocessing normalises nothing."""
        transform, size = predictor.transform, predictor.config.image_size
        steps = transform.steps if isinstance(transform, data.Compose) else (transform,)
        normalise = next((step for step in steps if isinstance(step, data.Normalise)), None)
        if normalise is None:
            raise CheckpointError(f"the run's preprocessing, {transform}, does not normalise pixels, so no views can be made for it.")
        for step in steps:
            if isinstance(step, data.Rescale):
                return cls(size, step.low, step.high, None, normalise, transform.least)
            if isinstance(step, data.RandomResizedCrop):
                return cls(size, step.side, step.side, None, normalise, transform.least)
        height, width, _ = predictor.shape
        if height is None or width is None:
            return cls(size, size, size, None, normalise, transform.least)
        side = max(size, min(height, width))
        return cls(size, side, side, min(height, width), normalise, None)

    @property
    def middle(self) -> int:
        """The scale S of a network trained at one, (S_min + S_max) / 2 rounded down of one trained at several."""
        return (self.low + self.high) // 2

    def at(self, image: Array, side: int) -> Array:
        """An image uint8 (H, W, C) as the network would be shown it with `side` pixels at its shortest side.

        Raises DataError if that makes more than 50 million pixels, as a narrow strip would.
        """
        if self.native is not None:
            image = _padded(data.rescale(image, self.native), self.size)
        return data.rescale(image, side)

    def normalised(self, images: Array) -> Array:
        """uint8 (B, H, W, C) → float32 of the same shape, as in training."""
        return np.asarray(self.normalise(images, data.Draws(0, 0, np.zeros(len(images), np.int64), training=False)))


def _padded(image: Array, size: int) -> Array:
    """Black around an image that is smaller than `size`, as much on all sides; one pixel more above and on the left, if it is odd.

    That is where data.Crop puts an image with enough padding in evaluation.
    """
    missing = [max(0, size - length) for length in image.shape[:2]]
    return np.pad(image, (*(((m + 1) // 2, m // 2) for m in missing), (0, 0))) if any(missing) else image
