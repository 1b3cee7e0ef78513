"""What a trained network says of every image of a data set, by one of the paper's protocols; and what several say together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import data, models, ops
from ..backend.arrays import Array
from ..errors import ConfigError, DataError, nearest
from ..train import Predictor
from .averaging import averaged, image_names
from .bands import room, scores
from .batches import ViewBatch
from .scales import scales_for
from .scored import Scored
from .sight import Sight
from .views import PROTOCOLS

__all__ = ["fuse", "posteriors"]

_WHOLE = {"dense", "both"}  # protocols that look at whole images
_CROPS = 8  # that go through a chain at once


def posteriors(
    predictor: Predictor,
    dataset: data.LabelledImages,
    protocol: str = "center",
    scales: str | Sequence[int] = "",
    flip: bool | None = None,
    memory: int | None = None,
) -> Scored:
    """The posteriors of every image of `dataset`, averaged over the views of `protocol`: "center", "dense", "multi-crop" or "both".

    Each view's posterior is the soft-max of the logits; those of the dense network, a map, are averaged over the map before it. The
    views' posteriors are averaged by their shares (see `views`), in float64.
    `scales`: see `scales_for`. `flip`: mirror images, too; by default for all protocols but "center", which with no scales named is
    what training validates with. `memory`: bytes that a network's activations may take, by default half of what is free. No
    more pixels go through at once than in a step of training; a dense image that is larger goes in bands.
    A chain of layers that is no VGG has the protocols of crops only: "center" and "multi-crop".
    Raises ConfigError for impossible choices, DataError if channels or classes differ or a file is no sound image, NumericalError if
    the network's scores are not finite, OutOfMemoryError if the memory does not suffice for one image.
    """
    if protocol not in PROTOCOLS:
        raise ConfigError(f'unknown protocol "{protocol}": {nearest(protocol, PROTOCOLS)}')
    predictor.require_fit(dataset)
    sight = Sight.of(predictor)
    sides = scales_for(sight, scales)
    mirrored = protocol != "center" if flip is None else flip
    if isinstance(predictor.model, models.VGG) or protocol in _WHOLE:
        network = models.dense(predictor.model)
        pixels, most = room(predictor, network, memory)
    else:  # a chain of other layers, which sees crops of its own size
        pixels = _CROPS * sight.size**2

    def say(batch: ViewBatch) -> Array:
        """The soft-max of each view's logits, float64 (B, K)."""
        images = sight.normalised(batch.images)
        if not batch.whole:
            return np.asarray(ops.softmax(predictor.scores(images), axis=1))
        maps = predictor.scores(images, lambda x: scores(network, x, pixels, most))  # (B, K, h, w)
        return np.asarray(ops.softmax(maps.mean((2, 3)), axis=1))

    found = averaged(dataset, sight, protocol, sides, mirrored, pixels, say)
    listed = " ".join(map(str, sides))
    title = f"{protocol}, scale{'s' if len(sides) > 1 else ''} {listed}{', mirrored' if mirrored else ''}"
    return Scored(found, np.asarray(dataset.labels), dataset.classes, image_names(dataset), title)


def fuse(scored: Sequence[Scored]) -> Scored:
    """The mean of several networks' posteriors of the same images. Raises DataError if images or classes differ."""
    first = scored[0]
    if len(scored) == 1:
        return first
    for other in scored[1:]:
        if other.classes != first.classes or other.names != first.names or not np.array_equal(other.labels, first.labels):
            raise DataError(
                f"only scores of the same images and classes can be averaged, but these are of {len(first):,} images in the classes "
                f"{', '.join(first.classes[:5])} and of {len(other):,} in {', '.join(other.classes[:5])}."
            )
    mean = np.mean([one.probabilities for one in scored], axis=0)
    return Scored(mean, first.labels, first.classes, first.names, f"mean of {len(scored)} runs: {'; '.join(s.protocol for s in scored)}")
