"""What a network says of every image of a data set: of each of its views, averaged by their shares."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from .. import data
from ..backend.arrays import Array
from ..errors import NumericalError
from .batches import ViewBatch, batches
from .sight import Sight
from .views import View, views

__all__ = ["averaged", "image_names"]


def averaged(
    dataset: data.LabelledImages,
    sight: Sight,
    protocol: str,
    sides: Sequence[int],
    flip: bool,
    pixels: int,
    say: Callable[[ViewBatch], Array],
    stack: bool = False,
) -> Array:
    """float64 (N, D): for each image the mean of what `say` gives of its views (see `views`), weighted by their shares.

    `say` takes a batch of at most `pixels` pixels, or of one view, and gives float64 (B, D). stack: each scale has a mean of its own, and
    they stand side by side, (N, scales·D). Raises DataError for a file that is no sound image, NumericalError, naming the image, for a
    mean that is not finite.
    """
    names, groups = image_names(dataset), [[side] for side in sides] if stack else [sides]
    found: Array | None = None
    for batch in batches(_views(dataset, names, sight, protocol, groups, flip), pixels):
        said = batch.shares[:, None] * say(batch)
        found = np.zeros((len(dataset) * len(groups), said.shape[1])) if found is None else found
        np.add.at(found, batch.indices, said)
    assert found is not None
    found = found.reshape(len(dataset), -1)
    sound = np.isfinite(found).all(1)
    if not sound.all():
        name = names[int(np.argmin(sound))]
        raise NumericalError(f"the network's answers for {dataset.name}, image {name}, are not finite: its weights may have diverged.")
    return found


def image_names(dataset: data.LabelledImages) -> tuple[str, ...]:
    """An image file's path below the data set's root, or an image's number."""
    return dataset.paths if isinstance(dataset, data.ImageFolder) else tuple(map(str, range(len(dataset))))


def _views(
    dataset: data.LabelledImages, names: tuple[str, ...], sight: Sight, protocol: str, groups: Sequence[Sequence[int]], flip: bool
) -> Iterator[tuple[int, View]]:
    """(image's number · number of groups + group's number, view) of all images, one image in memory at a time; `groups` of scales."""
    least = None if sight.least is None else max(sight.least, *(side for sides in groups for side in sides))
    for index in range(len(dataset)):
        image = dataset.read(np.array([index]), least)[0]
        for number, sides in enumerate(groups):
            for view in views(image, sight, protocol, sides, flip, f"{dataset.name}/{names[index]}"):
                yield index * len(groups) + number, view
