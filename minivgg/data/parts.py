"""A source of images cut into its parts: `parts` finds them, `split` takes a validation part out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from ..errors import ConfigError
from .datasets import load
from .folder import find_images
from .images import LabelledImages
from .mnist import has_pairs
from .strata import held_out

__all__ = ["Parts", "parts", "split"]

Source = TypeVar("Source", bound=LabelledImages)


class Parts(NamedTuple):
    """What a source has: images to train with; to validate with, unless a part of the training images is to be taken; to test with."""

    train: LabelledImages
    val: LabelledImages | None
    test: LabelledImages | None


def parts(source: str | Path | None = None, *, grey: bool = False) -> Parts:
    """The parts of `source`: what `load` reads, or a folder of image files.

    An image folder is root/train/<class>/…, with root/val/<class>/… and root/test/<class>/… where there are such, or
    root/<class>/…. `grey`: its images are read with one channel, not three.
    """
    path = None if source is None else Path(source)
    if path is None or not os.path.isdir(path) or has_pairs(path):  # noqa: PTH112  see datasets.load
        train, test = load(source)
        return Parts(train, None, test)
    channels, name = 1 if grey else 3, path.resolve().name
    if not (path / "train").is_dir():
        return Parts(find_images(path, name, channels), None, None)
    found = [find_images(path / part, f"{name}/{part}", channels) if (path / part).is_dir() else None for part in Parts._fields]
    assert found[0] is not None
    return Parts(found[0], found[1], found[2])


def split(dataset: Source, fraction: float, seed: int) -> tuple[Source, Source]:
    """(training part, validation part), the latter with `fraction` of the images of each class.

    Drawn from the stream (seed, "split"): the same seed gives the same parts, in the dataset's order. Each class
    keeps an image for training. Raises ConfigError if the fraction is not between 0 and 1, or leaves no validation image.
    """
    held = held_out(dataset.labels, fraction, seed, "split", "the validation fraction")
    if not held.any():
        raise ConfigError(
            f"a validation fraction of {fraction} of {len(dataset):,} images in {len(dataset.classes)} classes leaves "
            "none for validation (each class keeps one for training). Raise the fraction or add images."
        )
    name = dataset.name
    return dataset.take(np.flatnonzero(~held), f"{name}/fit"), dataset.take(np.flatnonzero(held), f"{name}/validation")
