"""Which images a run is evaluated on: those it has never seen."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import data
from ..backend.arrays import Array
from ..errors import ConfigError, DataError
from ..train import Predictor, RunFolder, trained

__all__ = ["Chosen", "choose"]


class Chosen(NamedTuple):
    """`part`: "test", "validation", or "" if the source has no parts and all its images are taken."""

    dataset: data.LabelledImages
    part: str

    def image(self, index: int) -> Array:
        """The image with that number, uint8 (H, W, C)."""
        return self.dataset.read(np.array([index]))[0]


def choose(predictors: Sequence[Predictor], run: str | Path, source: str | None = None, on_bad: str | None = None) -> Chosen:
    """The test images of `source`, or else its validation images. If it has neither: of the images that the run was trained on, the
    part that it held out, and of others all.

    `run`: the first predictor's run folder or a checkpoint in it; its images are the source where none is named. `on_bad`: see
    `data.parts`, by default as the run had it.
    Raises ConfigError if the images of a run outside its folder are not named; DataError if the run's images have changed, or if of
    several predictors one may have been trained with what another held out.
    """
    first = predictors[0]
    folder = trained(run) if Path(run).is_dir() else RunFolder(Path(run).parent.parent)
    config = folder.config() if (folder.path / "config.toml").is_file() else None
    if source is None and config is None:
        raise ConfigError(
            f"{run} stands outside its run folder, so the images it was trained on are not known. Name them: evaluate {run} DATA."
        )
    own = config is not None and (source is None or os.path.abspath(source) == config.data)  # noqa: PTH100  a link stays a link
    bad = on_bad or (config.on_bad if config is not None and own else "fail")
    place = (config.data if own and config is not None else source) or None
    whole, val, test = data.parts(place, grey=first.config.grey, on_bad=bad)
    if own:
        first.require_same_images(whole)
    held_out = test or val
    if held_out is not None:
        return Chosen(held_out, "test" if test is not None else "validation")
    if not own and whole.fingerprint() != first.images["sha256"]:
        return Chosen(whole, "")
    for other in predictors[1:]:
        if (other.images, other.config.val_split, other.config.seed) != (first.images, first.config.val_split, first.config.seed):
            raise DataError(
                f"{whole.name} has no test images, and of two runs one may have been trained with what the other held out: "
                f"their seeds are {first.config.seed} and {other.config.seed}, their val_split {first.config.val_split:g} and "
                f"{other.config.val_split:g}. Name images that neither has seen: evaluate RUN DATA --with RUN."
            )
    return Chosen(data.split(whole, first.config.val_split, first.config.seed)[1], "validation")
