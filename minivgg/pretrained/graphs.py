"""A graph of layers from an ONNX file as a `Network`: one of the VGGs where it is one, a chain of its own layers otherwise."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from ..backend.arrays import Array
from ..errors import CheckpointError, ConfigError
from ..weights.onnx import Graph
from .assembling import Wishes, assembled, class_names, require_fit
from .columns import Column, match
from .finite import require_finite
from .network import Network
from .preparing import PREPARATIONS
from .recognise import assess
from .report import Match, Report
from .turning import Storage, flipped

__all__ = ["of_graph"]

_PREPARED = "unit"  # most exporters' programs take 0..1


def of_graph(graph: Graph, path: str, wishes: Wishes) -> Network:
    """The network of a graph. Raises CheckpointError for NaN, for a graph without a VGG where one is wished for."""
    arrays = dict(graph.arrays)
    require_finite(arrays, path)
    column = match(graph.layers, arrays)
    if column is not None and (wishes.only or _is_whole(column, graph, arrays)):
        if wishes.model and column.model != wishes.model:
            raise CheckpointError(f"{path}: its layers are those of {column.model}, not of {wishes.model}. Leave --model out.")
        return _vgg(column, graph, arrays, path, wishes)
    if wishes.only or wishes.model:
        raise CheckpointError(
            f"{path}: its {len(graph.layers)} layers are not those of {wishes.model or 'a VGG'}, from the image to the fifth pooling. "
            "It can only be taken as it is, without --only and --model."
        )
    return _chain(graph, arrays, path, wishes)


def _is_whole(column: Column, graph: Graph, arrays: dict[str, Array]) -> bool:
    """Whether the graph is that network and no more, for square images of the size that its classifier is for."""
    if not column.closed:
        return False
    if column.head != "paper":
        return True
    names = {place.ours: name for name, place in column.places.items()}
    fc6, fc7 = arrays[names["classifier.0.weight"]], arrays[names["classifier.3.weight"]]
    filters = [arrays[name].shape[0] for name in column.places if name in arrays and arrays[name].ndim == 4]
    cells = round((fc6.shape[1] / max(filters[-1], 1)) ** 0.5)
    sides = {side // 32 for side in graph.input_shape[2:] if side is not None}
    return fc7.shape[0] == fc7.shape[1] and sides <= {cells} and column.pooled in {None, cells}


def _vgg(column: Column, graph: Graph, arrays: dict[str, Array], path: str, wishes: Wishes) -> Network:
    notes = list(graph.notes)
    sides = {side for side in graph.input_shape[2:] if side is not None and side >= 32}
    if len(sides) == 1 and not wishes.image_size:
        wishes = dataclasses.replace(wishes, image_size=next(iter(sides)))
    for norm in column.norms:
        notes += _as_batch_norm(norm.kind, norm.name, float(norm.options.get("eps", 1e-5)), arrays)
    for name, place in column.places.items():
        if place.ours.endswith(".bias") and name not in arrays:
            arrays[name] = np.zeros(arrays[name.removesuffix("bias") + "weight"].shape[0], np.float32)
    storage = Storage(cells_first=column.cells_first)
    fit = require_fit(assess(arrays, "ONNX", column.model, column.head, column.places, storage), path, wishes)
    return assembled(fit, arrays, path, wishes, _PREPARED, False, column.ceil_mode, notes=list(dict.fromkeys(notes)))


def _as_batch_norm(kind: str, name: str, eps: float, arrays: dict[str, Array]) -> list[str]:
    """Give a scale and shift the mean 0 and the variance 1 − 1e-5, of which it is the batch norm; and one with another ε that variance
    with which 1e-5 is right."""
    if kind == "affine":
        channels, dtype = arrays[f"{name}.weight"].shape, arrays[f"{name}.weight"].dtype
        arrays[f"{name}.running_mean"], arrays[f"{name}.running_var"] = np.zeros(channels, dtype), np.full(channels, 1 - 1e-5, dtype)
        return ["Scales and shifts behind convolutions are read as batch norms of mean 0 and variance 1."]
    if math.isclose(eps, 1e-5, rel_tol=1e-6):  # it is a float32 in the file
        return []
    arrays[f"{name}.running_var"] = Storage(eps=eps).turned(arrays[f"{name}.running_var"], "", "running_var", 0)[0]
    return [f"Batch norms' variances were changed, since the file's ε is {eps:g}, and here it is 1e-5."]


def _chain(graph: Graph, arrays: dict[str, Array], path: str, wishes: Wishes) -> Network:
    sides = {side for side in graph.input_shape[2:] if side is not None}
    if len(sides) > 1:
        raise CheckpointError(f"{path}: it takes images of {'×'.join(map(str, graph.input_shape[2:]))}; only square ones can be prepared.")
    size = next(iter(sides), wishes.image_size or 224)
    if wishes.image_size not in {0, size}:
        raise ConfigError(f"{path}: it takes images of {size}×{size} pixels, not of {wishes.image_size}. Leave --image-size out.")
    channels = graph.input_shape[1] or 3
    preparation = PREPARATIONS[wishes.prepared or _PREPARED]
    notes, done = list(graph.notes), {}
    if preparation.bgr and channels == 3:
        first = graph.layers[0] if graph.layers else None
        if first is None or first.kind != "conv2d":
            raise ConfigError(f"{path}: --prepared {wishes.prepared} turns the first filters round, but its first layer is no convolution.")
        name = f"{first.name}.weight"
        arrays[name], done[name] = flipped(arrays[name]), "BGR → RGB"
        notes.append("The first filters' input channels were turned round: the file expects blue first.")
    matched = tuple(Match(name, name, name.partition(".")[0], tuple(array.shape), done.get(name, "")) for name, array in arrays.items())
    options: dict[str, Any] = {"num_classes": graph.classes, "in_channels": channels, "image_size": size}
    return Network(
        "", options, arrays, class_names(graph.classes), preparation.transform(size, channels),
        layers=graph.layers, origin="ONNX", notes=tuple(notes), report=Report(matched),
    )  # fmt: skip
