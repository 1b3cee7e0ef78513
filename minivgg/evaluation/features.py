"""Features: what a layer of a trained network says of each image, as a vector of length 1.

Simonyan & Zisserman (arXiv:1409.1556, appendix B): the image is rescaled so that its shortest side is Q, the network is applied densely,
the map of the penultimate layer is averaged over space, the result over the image and its mirror image, and over several scales
Q, or the scales' vectors are stacked, so that a classifier can weigh them. The vector is divided by its L2 norm.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from .. import data, models
from ..backend.arrays import Array, to_numpy
from ..errors import OutOfMemoryError
from ..train import Predictor, readable
from .averaging import averaged, image_names
from .bands import bytes_per_pixel, room, scores
from .batches import ViewBatch
from .feature_file import FeatureFile, FeatureSet
from .scales import scales_for
from .sight import Sight
from .trunk import trunk

__all__ = ["features", "features_of_parts"]


def features(
    predictor: Predictor,
    dataset: data.LabelledImages,
    layer: str = "",
    scales: str | Sequence[int] = "",
    flip: bool = True,
    stack: bool = False,
    memory: int | None = None,
) -> FeatureSet:
    """x float32 (N, D), rows of length 1 (or 0, where all is 0), for the images of `dataset`. Its classes may be others than the network's.

    `layer`: see `trunk`; D is its number of channels, times the number of scales if they are stacked. `scales`: see `scales_for`.
    `memory`: bytes that activations may take, by default half of what is free.
    Raises ConfigError for impossible choices, DataError if channels differ or a file is no sound image, NumericalError if the
    features are not finite, OutOfMemoryError if the memory does not suffice for one image.
    """
    predictor.require_channels(dataset)
    sight = Sight.of(predictor)
    whole = models.dense(predictor.model)
    network = trunk(whole, predictor.config.model, predictor.config.head, layer)
    sides = scales_for(sight, scales, _least(network))
    early = len(network.features) < len(whole.features)  # its map's cells are no last cells, and bands are not for it
    pixels, most = room(predictor, network, memory)

    def say(batch: ViewBatch) -> Array:
        """The mean of each view's map, float64 (B, D)."""
        if early:
            _require_memory(batch.images, network, layer, most)
        ask = network.features if early else lambda x: scores(network, x, pixels, most)
        return np.asarray(predictor.scores(sight.normalised(batch.images), ask).mean((2, 3)))

    x = averaged(dataset, sight, "dense", sides, flip, pixels, say, stack)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    unit = (x / np.where(length > 0, length, 1.0)).astype(np.float32)
    return FeatureSet(unit, np.asarray(dataset.labels), image_names(dataset))


def features_of_parts(
    predictor: Predictor,
    parts: data.Parts,
    layer: str = "",
    scales: str | Sequence[int] = "",
    flip: bool = True,
    stack: bool = False,
    memory: int | None = None,
) -> FeatureFile:
    """The features of all parts of a source, and how they were made. A source without parts is one set. Raises what `features` raises."""
    there = {name: part for name, part in parts._asdict().items() if part is not None}
    sets = {name: features(predictor, part, layer, scales, flip, stack, memory) for name, part in there.items()}
    config = predictor.config
    network = trunk(models.dense(predictor.model), config.model, config.head, layer)
    how = {
        "model": config.model,
        "width": config.width,
        "head": config.head,
        "weights": _weights(predictor),
        "layer": layer or "penultimate",
        "scales": list(scales_for(Sight.of(predictor), scales, _least(network))),
        "flip": flip,
        "stack": stack,
    }
    return FeatureFile(sets if len(sets) > 1 else {"": sets["train"]}, parts.train.classes, how)


def _least(network: models.Dense) -> int:
    """The shortest side that a trunk can look at, in pixels: five halvings, or as many cells as its first fully connected layer sees."""
    return 32 * (network.cells if len(list(network.classifier.named_children())) else 1)


def _require_memory(images: Array, network: models.Dense, layer: str, most: int) -> None:
    """Raise OutOfMemoryError if images (B, H, W, C) have more than `most` pixels."""
    count, height, width, _ = images.shape
    if count * height * width > most:
        each = bytes_per_pixel(network)
        raise OutOfMemoryError(
            f"an image of {height}×{width} needs about {readable(height * width * each)} up to {layer}, but only "
            f"{readable(most * each)} may be used. Lower --scales, or raise --memory."
        )


def _weights(predictor: Predictor) -> str:
    """SHA-256 of the network's parameters and buffers: their names and bytes."""
    sha = hashlib.sha256()
    for name, array in sorted(predictor.model.state_dict().items()):
        sha.update(name.encode() + b"\n" + np.ascontiguousarray(to_numpy(array)).tobytes())
    return sha.hexdigest()
