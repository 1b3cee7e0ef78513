"""`read`: a file of weights, of whatever format and names, as a `Network`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .. import models
from ..backend.arrays import Array
from ..errors import CheckpointError
from ..weights import load, load_checkpoint, named, read_metadata
from .imagenet import imagenet_classes
from .network import Network
from .own import is_own, network_of
from .preparing import preparation
from .published import located

__all__ = ["read"]


def read(path: str | Path, prepared: str = "") -> Network:
    """The network in a file. `prepared`: a name of PREPARATIONS, for files that do not say how images are to be prepared; by default that
    of whoever the names are from. `path` may be a name of PUBLISHED, too, whose file was fetched.

    Raises CheckpointError, with path and reason, for a file that is damaged, foreign, or of no VGG; ConfigError for an unknown
    preparation.
    """
    path = located(path)
    with named(path):
        return _read(Path(path), prepared)


def _read(path: Path, prepared: str) -> Network:
    if path.suffix.lower() == ".safetensors" and is_own(read_metadata(path)):
        return network_of(load_checkpoint(path), str(path))
    return _torchvision(load(path), str(path), prepared or "torchvision")


def _torchvision(arrays: Mapping[str, Array], path: str, prepared: str) -> Network:
    """torchvision's names are this package's own."""
    for name in models.MODELS:
        if name.endswith("_lrn"):
            continue
        shapes = {key: array.shape for key, array in arrays.items()}
        convolution, score = shapes.get("features.0.weight"), shapes.get("classifier.6.weight")
        if convolution is None or score is None:
            break
        fc6 = shapes["classifier.0.weight"]
        side = 32 * round((fc6[1] / 512) ** 0.5)
        options = {
            "num_classes": score[0], "in_channels": convolution[1], "image_size": side, "width": convolution[0] / 64, "head": "paper",
        }  # fmt: skip
        found = {layer for layers in models.blocks(name).values() for layer in layers}
        if found == {key.rpartition(".")[0] for key in arrays}:
            classes = imagenet_classes() if score[0] == 1000 else tuple(f"class {k}" for k in range(score[0]))
            return Network(name, options, arrays, classes, preparation(prepared).transform(side), origin="torchvision")
    raise CheckpointError(f"{path}: its {len(arrays)} arrays are not those of a VGG: {', '.join(list(arrays)[:5])} …")
