"""Caffe's .caffemodel: a NetParameter message of protocol buffers (`protobuf`), of any of its three generations.

    NetParameter   100 layer (the third), 2 layers (the first two)
    layer          1 name, 2 type (a text), 7 blobs
    layers         4 name, 5 type (a number), 6 blobs; of the very first generation 1 layer: 1 name, 2 type (a text), 50 blobs
    blob           5 data (float32), 8 double_data (float64), 7 shape: 1 dim; before there was a shape 1 num, 2 channels, 3 height, 4 width

Data are packed (one field with all numbers) or not (a field for each); gradients (6 and 9), geometry and the rest are passed over. Shapes
of four sizes belong to the old generations: there a matrix is (1, 1, out, in) and a bias (1, 1, 1, K). Numbers from caffe.proto.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from ..errors import CheckpointError
from .protobuf import Value, fields, text, varints

__all__ = ["read_caffe"]

_MAX_ARRAYS = 10_000  # a VGG has 38; more tiny ones would take more memory than their file
_MAX_AXES = 32  # Caffe's own limit
_ENUM = {4: "Convolution", 14: "InnerProduct", 39: "Deconvolution"}  # the kinds with weights that the enum has
_TEXT = {"conv": "Convolution", "innerproduct": "InnerProduct"}  # as the very first generation calls them
_PARTS = {
    "Convolution": ("weight", "bias"),
    "Deconvolution": ("weight", "bias"),
    "InnerProduct": ("weight", "bias"),
    "Scale": ("weight", "bias"),
    "BatchNorm": ("running_mean", "running_var", "factor"),
}


def read_caffe(file: BinaryIO, path: str) -> tuple[dict[str, Any], dict[str, str]]:
    """(arrays by name, {"format": "caffe", "pooling": "ceil"}) of a .caffemodel; `path` is for messages.

    "<layer>.weight"        (K, C / groups, R, S) of a convolution, (out, in) of an inner product, (C,) of a Scale
    "<layer>.bias"          (K,)
    "<layer>.running_mean"  (C,), and running_var, of a BatchNorm, whose running sums are divided by their factor here
    "<layer>.blobs.0", …    of layers of other kinds

    Colours and their order are as in the file; Caffe's pools round up. Arrays are float32 or float64 copies; memory: the file, and
    them. Raises CheckpointError for a damaged or foreign file, a name that occurs twice, or more than 10,000 arrays.
    """
    arrays: dict[str, Any] = {}
    for name, kind, blobs in _layers(memoryview(file.read()), path):
        parts = _PARTS.get(kind, tuple(f"blobs.{i}" for i in range(len(blobs))))
        if len(blobs) > len(parts) or (kind == "BatchNorm" and len(blobs) < len(parts)):
            raise CheckpointError(f"{path}: {name} is a {kind} with {len(blobs)} arrays; {len(parts)} were expected. The file is foreign.")
        found = {part: _array(blob, f"{name}.{part}", path) for part, blob in zip(parts, blobs, strict=False)}
        if f"{name}.{parts[0]}" in arrays:
            raise CheckpointError(f'{path}: the layer "{name}" occurs twice, so its contents are ambiguous.')
        arrays.update({f"{name}.{part}": array for part, array in _as_used(kind, found, f"{path}: {name}").items()})
        if len(arrays) > _MAX_ARRAYS:
            raise CheckpointError(f"{path}: has more than {_MAX_ARRAYS:,} arrays with {name}, which no network has. The file is damaged.")
    if not arrays:
        raise CheckpointError(f"{path}: no layer in it has weights. It is no .caffemodel, or only a network's description.")
    return arrays, {"format": "caffe", "pooling": "ceil"}


def _layers(message: memoryview, path: str) -> Iterator[tuple[str, str, list[memoryview]]]:
    """(name, kind, blobs) of each layer that has blobs."""
    for number, value in fields(message, path):
        if number == 100:
            name, kind, blobs = _layer(value, (1, 2, 7), path)
        elif number == 2:
            layer = _message(value, "layers", path)
            first = next((inner for field, inner in fields(layer, path) if field == 1), None)
            name, kind, blobs = _layer(layer, (4, 5, 6), path) if first is None else _layer(first, (1, 2, 50), path)
        else:
            continue
        if blobs and not (name.isprintable() and 0 < len(name) <= 200):
            raise CheckpointError(f"{path}: the name of a layer, {name[:50]!r}, is empty, too long or has control characters.")
        if blobs:
            yield name, kind, blobs


def _layer(value: Value, numbers: tuple[int, int, int], path: str) -> tuple[str, str, list[memoryview]]:
    name = kind = ""
    blobs: list[memoryview] = []
    for number, content in fields(_message(value, "a layer", path), path):
        if number == numbers[0]:
            name = text(content, path)
        elif number == numbers[1]:
            kind = _ENUM.get(content, f"layer of kind {content}") if isinstance(content, int) else text(content, path)
        elif number == numbers[2] and len(blobs) <= _MAX_ARRAYS:
            blobs.append(_message(content, name or "a layer", path))
    return name, _TEXT.get(kind, kind), blobs


def _message(value: Value, what: str, path: str) -> memoryview:
    if isinstance(value, int):
        raise CheckpointError(f"{path}: {what} should be a message, but is the number {value}. The file is damaged.")
    return value


def _array(blob: memoryview, name: str, path: str) -> Any:
    """The blob's numbers in its shape, a copy that can be written to."""
    data, double, sizes, shape = bytearray(), bytearray(), [0, 0, 0, 0], list[int]()
    old = False
    for number, value in fields(blob, path):
        if 1 <= number <= 4:
            sizes[number - 1], old = _size(value, name, path), True
        elif number == 7:
            shape += _dims(_message(value, name, path), name, path)
        elif number == 5:
            data += _message(value, name, path)
        elif number == 8:
            double += _message(value, name, path)
    content, dtype = (double, np.dtype("<f8")) if double else (data, np.dtype("<f4"))
    if old:
        shape = sizes
    if len(shape) > _MAX_AXES or math.prod(shape) * dtype.itemsize != len(content) or not content:
        raise CheckpointError(f"{path}: {name} {shape[:8]} does not fit its {len(content):,} bytes of {dtype}. The file is damaged.")
    return np.frombuffer(content, dtype).reshape(shape)


def _dims(message: memoryview, name: str, path: str) -> list[int]:
    """The sizes in a shape; those beyond the limit are dropped but for one."""
    dims: list[int] = []
    for number, value in fields(message, path):
        if number == 1:
            for size in [value] if isinstance(value, int) else varints(value, path):
                if len(dims) <= _MAX_AXES:
                    dims.append(size)
    return dims


def _size(value: Value, name: str, path: str) -> int:
    if not isinstance(value, int):
        raise CheckpointError(f"{path}: {name} has a size that is no number. The file is damaged.")
    return value


def _as_used(kind: str, found: dict[str, Any], where: str) -> dict[str, Any]:
    """Shapes without the ones that only fill them up to four sizes; running sums as means."""
    for part, array in found.items():
        matrix = part == "weight" and kind in {"Convolution", "Deconvolution", "InnerProduct"}
        if not matrix and array.size == max(array.shape, default=1):
            found[part] = array.reshape(-1)
        elif kind == "InnerProduct" and array.ndim == 4 and array.shape[:2] == (1, 1):
            found[part] = array.reshape(array.shape[2:])
    if kind == "BatchNorm":
        factor = found.pop("factor")
        if factor.size != 1:
            raise CheckpointError(f"{where}.factor has {factor.size} numbers, but must have one. The file is damaged.")
        with np.errstate(all="ignore"):  # NaN and Inf are refused by name where the arrays are used
            for array in found.values():
                array *= 1 / factor[0] if factor[0] else 0  # as Caffe does it: nothing was accumulated yet
    return found
