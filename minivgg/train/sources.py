"""The images of a run: to fit, to validate, to test."""

from __future__ import annotations

from typing import NamedTuple

from .. import data
from .config import TrainConfig

__all__ = ["Sources", "sources"]


class Sources(NamedTuple):
    """All training images, those of them that are trained on, those to validate with, and those to test with, if there are any."""

    whole: data.LabelledImages
    fit: data.LabelledImages
    held: data.LabelledImages
    test: data.LabelledImages | None


def sources(config: TrainConfig) -> Sources:
    """What `config` names. Where the data has no part to validate with, `val_split` of the training images is it, drawn by the seed."""
    whole, val, test = data.parts(config.data or None, grey=config.grey)
    fit, held = (whole, val) if val is not None else data.split(whole, config.val_split, config.seed)
    return Sources(whole, fit, held, test)
