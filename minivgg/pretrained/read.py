"""`read`: a file of weights, of whatever format and names, as a `Network`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from .. import models
from ..errors import CheckpointError, ConfigError
from ..weights import is_checkpoint, load_checkpoint, named, read_metadata
from ..weights.checkpoint import OPTIMIZER
from ..weights.load import read as arrays_of
from ..weights.onnx import read_graph
from ..weights.onnx.properties import read_properties
from ..weights.opening import opened
from .assembling import Wishes, assembled, require_fit
from .conventions import CONVENTIONS
from .finite import require_finite
from .graphs import of_graph
from .network import Network
from .own import network_of
from .preparing import preparation
from .published import located
from .recognise import candidates, without_prefix
from .report import Match, Report, listed
from .told import KEYS, as_told

__all__ = ["read"]

_LARGEST = 4096  # pixels, as of the configuration's image_size


def read(
    path: str | Path, prepared: str = "", *, only: str = "", model: str = "", strict: bool = True, image_size: int = 0
) -> Network:  # fmt: skip
    """The network in a file of weights. `path` may be a name of PUBLISHED, too, whose file was fetched.

    prepared    a name of PREPARATIONS, for files that do not say how images are to be prepared; by default that of whoever the names
                are from: torchvision and timm "torchvision", Keras, Caffe and TensorFlow "caffe", ONNX "unit"
    only        "features": without the classifier, whatever that is
    model       a name of models.MODELS, where the arrays leave it open: vgg11_lrn has those of vgg11
    strict      refuse a file in which anything is missing or left over; otherwise what fits is taken, the features in any case
    image_size  pixels, for networks that take images of any size; by default 224

    Raises CheckpointError, with path and reason, for a file that is damaged, foreign, of no VGG, or that holds NaN; ConfigError for an
    unknown preparation or model, and for wishes that the file does not leave open.
    """
    path = located(path)
    wishes = Wishes(prepared, only, model, strict, image_size)
    if prepared:
        preparation(prepared)
    if model:
        models.blocks(model)
    if only not in {"", "features"} or not (image_size == 0 or 32 <= image_size <= _LARGEST):
        raise ConfigError(f'only must be "features" and image_size in 32..{_LARGEST}, if given, but they are {only!r} and {image_size}.')
    with named(path):
        return _read(path, wishes)


def _read(path: Path, wishes: Wishes) -> Network:
    if path.suffix.lower() == ".safetensors" and is_checkpoint(read_metadata(path)):
        return _own(path, wishes)
    if path.suffix.lower() == ".onnx":
        with opened(path) as file:
            properties = read_properties(file, str(path), KEYS)
            return as_told(of_graph(read_graph(file, str(path)), str(path), wishes), properties, str(path), wishes.prepared)
    return _named(path, wishes)


def _named(path: Path, wishes: Wishes) -> Network:
    arrays, metadata = arrays_of(path)
    arrays = {name: array for name, array in arrays.items() if not name.startswith(OPTIMIZER)}
    require_finite(arrays, str(path))
    prefix = without_prefix(arrays)
    arrays = {name.removeprefix(prefix): array for name, array in arrays.items()}
    fits = candidates(arrays, wishes.model)
    if not fits:
        known = ", ".join(f"{next(iter(convention.places('vgg11', 'paper')))} ({convention.name})" for convention in CONVENTIONS)
        raise CheckpointError(
            f"{path}: its {len(arrays)} arrays ({listed(list(arrays)) or 'none'}) have not the names of a VGG, of which one is: {known}."
        )
    fit = require_fit(fits[0], str(path), wishes)
    convention = next(convention for convention in CONVENTIONS if convention.name == fit.origin)
    ceil_mode = convention.ceil_mode and metadata.get("pooling", "ceil") == "ceil"
    return assembled(fit, arrays, str(path), wishes, convention.preparation, convention.bgr, ceil_mode, prefix=prefix)


def _own(path: Path, wishes: Wishes) -> Network:
    """A file of this package's own says all that can be wished for, but for `only`."""
    network = network_of(load_checkpoint(path), str(path))
    require_finite(network.arrays, str(path))
    if wishes.prepared or wishes.image_size or wishes.model not in {"", network.model}:
        raise ConfigError(f"{path}: it says itself what it is of ({network.model or 'a chain'}) and how images are prepared for it.")
    if wishes.only and not network.model:
        raise CheckpointError(f"{path}: it is of no VGG, so its features cannot be told from the rest. Take it without --only.")
    arrays = {name: array for name, array in network.arrays.items() if not wishes.only or name.startswith("features.")}
    left_over = tuple(name for name in network.arrays if name not in arrays)
    if wishes.only:
        options = {**network.options, "head": "linear", "num_classes": 1}
        kept = {key: value for key, value in network.state.items() if key == "images"}
        network = dataclasses.replace(network, options=options, arrays=arrays, classes=(), whole=False, state=kept)
    matched = []
    for layer, modules in _blocks(network).items():
        names = [name for name in arrays if name.rpartition(".")[0] in modules]
        matched += [Match(name, name, layer, tuple(arrays[name].shape)) for name in names]
    return dataclasses.replace(network, report=Report(tuple(matched), (), left_over))


def _blocks(network: Network) -> dict[str, tuple[str, ...]]:
    if network.model not in models.MODELS:
        return {name: (name,) for name in dict.fromkeys(name.rpartition(".")[0] for name in network.arrays)}
    return models.blocks(network.model, str(network.options.get("head", "paper")))
