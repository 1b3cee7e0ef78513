"""A source of images cut into its parts: `parts` finds them, `split` takes a validation part out."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from ..errors import ConfigError, DataError
from .bounded import one_line
from .datasets import load
from .folder import ImageFolder
from .images import LabelledImages
from .mnist import has_pairs
from .strata import held_out
from .tree import faults, scan

__all__ = ["Parts", "parts", "split"]

Source = TypeVar("Source", bound=LabelledImages)


class Parts(NamedTuple):
    """What a source has: images to train with; to validate with, unless a part of the training images is to be taken; to test with."""

    train: LabelledImages
    val: LabelledImages | None
    test: LabelledImages | None


def parts(source: str | Path | None = None, *, grey: bool = False, on_bad: str = "fail", workers: int = 1) -> Parts:
    """The parts of `source`: what `load` reads, or a folder of image files.

    An image folder is root/train/<class>/…, with root/val/<class>/… and root/test/<class>/… where there are such, or
    root/<class>/…. `grey`: its images are read with one channel, not three. `on_bad`: with "skip" every file is read once, in
    `workers` threads, and those that are no sound images are left out, with one warning. Raises DataError if the folders
    cannot be trained with, or if a class has no sound image.
    """
    path = None if source is None else Path(source)
    if path is None or not os.path.isdir(path) or has_pairs(path):  # noqa: PTH112  see datasets.load
        train, test = load(source)
        return Parts(train, None, test)
    found = scan(path)
    for fault in faults(found):
        raise DataError(fault)
    name, classes = one_line(path.resolve().name), tuple(found["train"].classes)
    cut = {
        part: ImageFolder.of(each, classes, name if each.root == path else f"{name}/{part}", 1 if grey else 3)
        for part, each in found.items()
    }
    if on_bad == "skip":
        cut = {part: _sound(part, folder, workers) for part, folder in cut.items()}
    return Parts(cut["train"], cut.get("val"), cut.get("test"))


def _sound(part: str, folder: ImageFolder, workers: int) -> ImageFolder:
    """The folder without its bad files."""
    kept, bad = folder.sound(workers)
    if not bad:
        return folder
    lost = np.flatnonzero(np.bincount(kept.labels, minlength=len(kept.classes)) == 0)
    if not len(kept) or (part == "train" and lost.size):
        classes = f"class {folder.classes[lost[0]]}" if part == "train" else "the whole part"
        raise DataError(f"{folder.name}: {classes} has no image that can be read. The first bad file is {bad[0]}")
    warnings.warn(
        f"{folder.name}: {len(bad):,} of {len(folder):,} image files cannot be read and are left out: {' '.join(bad[:3])}"
        + (f" … and {len(bad) - 3:,} more" if len(bad) > 3 else ""),
        stacklevel=3,
    )
    return kept


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
