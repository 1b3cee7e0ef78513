"""What a trained network says of every image of a data set, by one of the paper's protocols; and what several say together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from .. import data, models, ops
from ..backend.arrays import Array
from ..backend.limits import memory_limit
from ..errors import ConfigError, DataError, NumericalError, nearest
from ..train import Predictor
from .bands import bytes_per_pixel, scores
from .batches import ViewBatch, batches
from .scales import scales_for
from .scored import Scored
from .sight import Sight
from .views import PROTOCOLS, View, views

__all__ = ["free_memory", "fuse", "image_names", "posteriors"]


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
    Raises ConfigError for impossible choices, DataError if channels or classes differ or a file is no sound image, NumericalError if
    the network's scores are not finite, OutOfMemoryError if the memory does not suffice for one image.
    """
    if protocol not in PROTOCOLS:
        raise ConfigError(f'unknown protocol "{protocol}": {nearest(protocol, PROTOCOLS)}')
    predictor.require_fit(dataset)
    sight = Sight.of(predictor)
    sides = scales_for(sight, scales)
    mirrored = protocol != "center" if flip is None else flip
    network = models.dense(predictor.model)
    most = (free_memory(predictor) if memory is None else memory) // bytes_per_pixel(network)
    pixels = max(1, min(predictor.config.micro_batch * sight.size**2, most))
    names = image_names(dataset)
    found = np.zeros((len(dataset), len(dataset.classes)))
    for batch in batches(_views(dataset, names, sight, protocol, sides, mirrored), pixels):
        np.add.at(found, batch.indices, batch.shares[:, None] * _softmax(predictor, network, sight, batch, pixels, most))
    if not np.isfinite(found).all():
        first = int(np.argmin(np.isfinite(found).all(1)))
        raise NumericalError(
            f"the network's scores of {dataset.name}, image {names[first]}, are not finite: its weights may have diverged."
        )
    listed = " ".join(map(str, sides))
    title = f"{protocol}, scale{'s' if len(sides) > 1 else ''} {listed}{', mirrored' if mirrored else ''}"
    return Scored(found, np.asarray(dataset.labels), dataset.classes, names, title)


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


def image_names(dataset: data.LabelledImages) -> tuple[str, ...]:
    """An image file's path below the data set's root, or an image's number."""
    return dataset.paths if isinstance(dataset, data.ImageFolder) else tuple(map(str, range(len(dataset))))


def _views(
    dataset: data.LabelledImages, names: tuple[str, ...], sight: Sight, protocol: str, sides: Sequence[int], flip: bool
) -> Iterator[tuple[int, View]]:
    """(number, view) of all images, one image in memory at a time."""
    least = None if sight.least is None else max(sight.least, *sides)
    for index in range(len(dataset)):
        image = dataset.read(np.array([index]), least)[0]
        for view in views(image, sight, protocol, sides, flip, f"{dataset.name}/{names[index]}"):
            yield index, view


def _softmax(predictor: Predictor, network: models.Dense, sight: Sight, batch: ViewBatch, pixels: int, most: int) -> Array:
    """float64 (B, K): the soft-max of each view's logits."""
    images = sight.normalised(batch.images)
    if batch.whole:
        maps = predictor.scores(images, lambda x: scores(network, x, pixels, most))  # (B, K, h, w)
        return ops.softmax(maps.mean((2, 3)), axis=1)
    return ops.softmax(predictor.scores(images), axis=1)


def free_memory(predictor: Predictor) -> int:
    """Half of the memory that is free where the network computes."""
    if predictor.device.kind == "cpu":
        return memory_limit().free // 2
    used, total = predictor.device.memory()
    return (total - used) // 2
