"""A model as an ONNX file, compared with the model before anyone gets it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .. import data, models, nn
from ..backend.arrays import Array
from ..errors import ConfigError
from ..weights.onnx import Written, write
from .agreement import difference

__all__ = ["Exported", "export"]

_UNKNOWN = 224  # pixels of the images that a network of any size is tried on, if it does not say for which it was made
_STILL = (data.Mirror, data.ColourShift, data.CutOut)  # they change nothing in evaluation


@dataclass(frozen=True)
class Exported:
    """An ONNX file, and how far its scores are from the model's: `difference`, relative to the largest; None: they were not compared."""

    file: Written
    difference: float | None


def export(
    model: nn.Module,
    transform: data.Transform | None = None,
    classes: Sequence[str] = (),
    *,
    image_size: int | Literal["any"] | None = None,
    dense: bool = False,
    softmax: bool = False,
    fold: bool = False,
    prepared: bool = False,
) -> Exported:
    """The ONNX file of a model in evaluation: a VGG, its dense form, or a chain of layers. It is float32; other arrays are converted.

    transform   how images are prepared; the file's metadata has it as JSON, "minivgg.preprocessing", and the classes as "classes"
    image_size  height and width of the images, or "any"; by default that of the VGG, and "any" for a dense form
    dense       a VGG's fully convolutional form (`models.dense`)
    softmax     probabilities in place of logits
    fold        without the batch norms that can be folded into the layer before (`nn.fold_batch_norm`)
    prepared    the graph itself normalises pixels 0..255, and the metadata's JSON lacks that step

    Where onnxruntime is installed, it computes the scores of two random images, which must be the model's within 1e-5 of the largest
    (`agreement.difference`). Raises ConfigError for a model in training, what cannot be written (`weights.onnx.write`), or `prepared`
    without a `transform` that normalises; NumericalError if scores are NaN or Inf; MinivggError if they differ.
    """
    if any(module.training for _, module in model.named_modules()):
        raise ConfigError("export needs a model in evaluation, but it is in training. Call model.eval() before.")
    network = _form(model, dense, fold)
    layers, arrays = models.layers(network), network.state_dict()
    own = getattr(network, "image_size", None)
    size = image_size or ("any" if isinstance(network, models.Dense) else own)
    if size is None:
        raise ConfigError('the network does not say for which images it was made: give image_size, in pixels, or "any".')
    side, channels = None if size == "any" else int(size), _channels(layers, arrays)
    normalise, others = _split(transform)
    if prepared and normalise is None:
        raise ConfigError("the preprocessing does not end with normalising pixels, so that cannot be included in the file.")
    file = write(
        layers,
        arrays,
        (channels, side, side),
        mean=_levels(normalise.mean) if prepared and normalise else None,
        std=_levels(normalise.std) if prepared and normalise else None,
        softmax=softmax,
        description=_description(channels, normalise, prepared),
        metadata=_metadata(others if prepared else transform, classes),
    )
    height = side or own or _UNKNOWN
    shape = (channels, height, height if side else height + 32)
    return Exported(file, difference(file, network, shape, normalise, prepared, softmax))


def _form(model: nn.Module, dense: bool, fold: bool) -> nn.Module:
    """The module that is written."""
    if fold:
        model = nn.fold_batch_norm(model)
    if not dense or isinstance(model, models.Dense):
        return model
    if not isinstance(model, models.VGG):
        raise ConfigError("only a VGG has a fully convolutional form, and this network is a chain of other layers: leave out --dense.")
    return models.dense(model)


def _channels(layers: Sequence[nn.Layer], arrays: Mapping[str, Array]) -> int:
    """Of the images that the first layer with weights takes."""
    for layer in layers:
        weight = arrays.get(f"{layer.name}.weight" if layer.name else "weight")
        if weight is not None and layer.kind != "linear":
            return int(weight.shape[1] * layer.options.get("groups", 1) if layer.kind == "conv2d" else weight.shape[0])
    raise ConfigError("the network has no convolution, so it does not say how many channels its images have.")


def _split(transform: data.Transform | None) -> tuple[data.Normalise | None, data.Transform]:
    """(the step that normalises, the others); None if there is none, or if others that move pixels follow it."""
    steps = transform.steps if isinstance(transform, data.Compose) else (transform,) if transform else ()
    for k, step in enumerate(steps):
        if isinstance(step, data.Normalise) and all(isinstance(later, _STILL) for later in steps[k + 1 :]):
            return step, data.Compose(steps[:k] + steps[k + 1 :])
    return None, data.Compose(steps)


def _levels(values: Sequence[float]) -> Array:
    """From units of 0..1 to those of 0..255."""
    return (255 * np.array(values, np.float64)).astype(np.float32)


def _description(channels: int, normalise: data.Normalise | None, prepared: bool) -> str:
    """How images are prepared, in a sentence for people."""
    colours = {1: "grey", 3: "RGB"}.get(channels, f"{channels} channels")
    if prepared:
        return f"images: {colours}, values 0..255"
    if normalise is None:
        return f"images: {colours}"
    return f"images: {colours}, of values p in 0..255 (p / 255 - mean) / std with mean {list(normalise.mean)} and std {list(normalise.std)}"


def _metadata(transform: data.Transform | None, classes: Sequence[str]) -> dict[str, str]:
    texts = {"minivgg.preprocessing": json.dumps(transform.to_json())} if transform else {}
    return {**texts, **({"classes": json.dumps(list(classes), ensure_ascii=False)} if classes else {})}
