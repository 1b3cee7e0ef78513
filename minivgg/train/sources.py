"""The images of a run: to train on, to validate with, to test with."""

from __future__ import annotations

from typing import NamedTuple

from .. import data
from ..errors import DataError
from .config import TrainConfig

__all__ = ["Sources", "sources"]


class Sources(NamedTuple):
    """All training images, those of them that are trained on, those to validate with, and those to test with, if there are any."""

    whole: data.LabelledImages
    fit: data.LabelledImages
    held: data.LabelledImages
    test: data.LabelledImages | None


def sources(config: TrainConfig) -> Sources:
    """What `config` names. Where the data has no part to validate with, `val_split` of the training images is it, drawn by the seed.

    Raises DataError if the data cannot be read, or teaches nothing: see `data.parts`; ConfigError for a split that leaves no image.
    """
    whole, val, test = data.parts(config.data or None, grey=config.grey, on_bad=config.on_bad, workers=config.workers)
    _require_learnable(whole, test, config.data or whole.name)
    fit, held = (whole, val) if val is not None else data.split(whole, config.val_split, config.seed)
    return Sources(whole, fit, held, test)


def _require_learnable(train: data.LabelledImages, test: data.LabelledImages | None, place: str) -> None:
    """Raise DataError for fewer than two classes among the training labels, or test labels that training never shows."""
    seen = {*train.labels.tolist()}
    if len(seen) < 2:
        raise DataError(f"{place}: all {len(train):,} labels are {train.classes[train.labels[0]]}: there is nothing to tell apart.")
    unseen = sorted({*test.labels.tolist()} - seen) if test is not None else []
    if unseen:
        raise DataError(f"{place}: class {train.classes[unseen[0]]} is among the test labels, but no training image has it.")
