"""A picture of a batch as the network will see it: `contact_sheet`.

Normalisation is undone, so that the mean is what it was; values beyond black and white, which a colour shift can give, are
cut to them.
"""

from __future__ import annotations

import dataclasses

from .. import data
from ..backend.layout import nhwc
from .build import evaluation_loader
from .config import TrainConfig
from .preprocessing import describe, preprocessing
from .sheet import Layout, Sheet, pixels
from .sources import sources

__all__ = ["contact_sheet"]


def contact_sheet(config: TrainConfig, count: int = 32, epoch: int = 0, evaluation: bool = False) -> tuple[bytes, str]:
    """(a PNG file, what was done to the images) of the first `count` images of an epoch, in training's order, with their classes below.

    evaluation: the first validation images, prepared without randomness. Of a plan of several runs it is the first one's scale. Mixup,
    which is computed in the step, is not shown. Raises ConfigError, DataError or ShapeError as training would, and ConfigError
    for a sheet of more than 67 million pixels.
    """
    if config.scales:
        config = dataclasses.replace(config, scale=config.scales.split(",")[0], scales="")
    layout = Layout(count, config.image_size, config.image_size)
    _, fit, held, _ = sources(config)
    transform = preprocessing(config, fit)
    if evaluation:
        loader = evaluation_loader(held, min(count, len(held)), transform, 0)
    else:
        loader = data.Loader(fit, min(count, len(fit)), transform, seed=config.seed, workers=0)
    batch = next(iter(loader.epoch(epoch)))
    names = [fit.classes[label] for label in batch.labels.tolist()]
    sheet = Sheet(layout)
    for k, (image, name) in enumerate(zip(pixels(nhwc(batch.images), transform), names, strict=True)):
        sheet.picture(k, sheet.enlarged(image))
        sheet.line(k, 0, name)
    return sheet.png(), describe(transform)
