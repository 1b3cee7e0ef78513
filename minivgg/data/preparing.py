"""`Preparation`: from the numbers of a batch's samples to its images, in whichever thread or process."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..backend.arrays import Array
from ..backend.layout import as_nchw
from ..errors import DataError, ShapeError
from .bounded import one_line
from .draws import Draws
from .folder import ImageFolder
from .images import LabelledImages
from .transforms import Transform
from .transforms.base import Images, joined

__all__ = ["Preparation"]

_FILES = 8  # that are decoded before they are transformed: draws cost less for several at once


@dataclass(frozen=True)
class Preparation:
    """How the batches of a loader are made: `transform` with draws from `seed`, random in `training`; `name` is the dataset's."""

    transform: Transform
    seed: int
    training: bool
    name: str

    def batch(self, images: LabelledImages, positions: Array, epoch: int, indices: Array) -> Array:
        """The images at `positions` of `images`, prepared: float32 (B, C, H, W), stored channels-last.

        `indices` int (B,) are the samples' numbers in the loader's dataset, which decide their draws. A DataError names the image
        itself; any other error has a note that names the sample.
        """
        try:
            return self.transformed(images, positions, Draws(self.seed, epoch, indices, self.training))
        except DataError:
            raise
        except Exception as error:
            culprit = self._culprit(images, positions, epoch, indices)
            error.add_note(f"while preparing {culprit} of {self.name} for epoch {epoch}")
            raise

    def transformed(self, images: LabelledImages, positions: Array, draws: Draws) -> Array:
        """The same with given draws. Raises ShapeError where the transform leaves no batch of images of one size; DataError, which names
        the image in one line, for a file that is no sound image or one that the transform cannot take."""
        out = self._files(images, positions, draws) if images.shape[0] is None else self._few(images, positions, draws)
        if isinstance(out, list):
            sizes = " and ".join(sorted({f"{image.shape[0]}×{image.shape[1]}" for image in out})[:2])
            raise ShapeError(f"{self.transform} left images of {sizes}, but a batch has one size. Add Crop(size).")
        if out.ndim != 4 or len(out) != len(positions):
            raise ShapeError(f"{self.transform} made {out.shape} of {len(positions)} images, expected (B, H, W, C).")
        return as_nchw(np.ascontiguousarray(out, np.float32))

    def _files(self, images: LabelledImages, positions: Array, draws: Draws) -> Images:
        """Some files after the other, so that a batch of large images is never in memory as they are."""
        out: list[Array] = []
        for start in range(0, len(positions), _FILES):
            out.extend(self._few(images, positions[start : start + _FILES], draws.of(start, _FILES)))
        return joined(out)

    def _few(self, images: LabelledImages, positions: Array, draws: Draws) -> Images:
        pixels = images.read(positions, self.transform.least)
        try:
            return self.transform(pixels, draws)
        except DataError as error:
            raise self._named(error, images, positions, pixels, draws) from None

    def _named(self, error: DataError, images: LabelledImages, positions: Array, pixels: Images, draws: Draws) -> DataError:
        """The error of the transform with the first image that it cannot take; as it is if the batch is at fault."""
        for k, position in enumerate(positions):
            try:
                self.transform(pixels[k : k + 1], draws.of(k))
            except DataError as found:
                place = images.root / images.paths[position] if isinstance(images, ImageFolder) else f"{self.name}, image {position}"
                return DataError(f"{one_line(place)}: {found}")
        return error

    def _culprit(self, images: LabelledImages, positions: Array, epoch: int, indices: Array) -> str:
        """The sample that fails on its own: its draws are the same in a batch of one."""
        for k, index in enumerate(indices):
            one = slice(k, k + 1)
            try:
                self.transformed(images, positions[one], Draws(self.seed, epoch, indices[one], self.training))
            except Exception:
                return f"sample {index}"
        return f"samples {', '.join(map(str, indices))} together"
