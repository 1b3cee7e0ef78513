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
from .protobuf import Value, field, text, varints

__all__ = ["read_caffe"]

_MAX_ARRAYS = 10_000  # a VGG has 38; more tiny ones would take more memory than their file
_MAX_FIELDS = 200_000  # a VGG has 1,000; gradients, which are passed over, are one of them if packed
_MAX_AXES = 32  # Caffe's own limit
_FLOAT = 5 << 3 | 5  # the key of a float that is not packed: field 5, kind 5
_FEWEST, _MOST = 16, 1 << 16  # such floats that are read at once
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
    them. Raises CheckpointError for a damaged or foreign file, a name that occurs twice, more than 10,000 arrays or 200,000 fields.
    """
    arrays: dict[str, Any] = {}
    net = _Net(path)
    for name, kind, blobs in net.layers(memoryview(file.read())):
        parts = _PARTS.get(kind, tuple(f"blobs.{i}" for i in range(len(blobs))))
        if len(blobs) > len(parts) or (kind == "BatchNorm" and len(blobs) < len(parts)):
            raise CheckpointError(f"{path}: {name} is a {kind} with {len(blobs)} arrays; {len(parts)} were expected. The file is foreign.")
        found = {part: net.array(blob, f"{name}.{part}") for part, blob in zip(parts, blobs, strict=False)}
        if f"{name}.{parts[0]}" in arrays:
            raise CheckpointError(f'{path}: the layer "{name}" occurs twice, so its contents are ambiguous.')
        arrays.update({f"{name}.{part}": array for part, array in _as_used(kind, found, f"{path}: {name}").items()})
    if not arrays:
        raise CheckpointError(f"{path}: no layer in it has weights. It is no .caffemodel, or only a network's description.")
    return arrays, {"format": "caffe", "pooling": "ceil"}


class _Net:
    """A file's messages, and how many fields and arrays may still come: more of them would take long, or more memory than the file."""

    def __init__(self, path: str) -> None:
        self.path, self.fields_left, self.arrays_left = path, _MAX_FIELDS, _MAX_ARRAYS

    def fields(self, value: Value, what: str) -> Iterator[tuple[int, Value]]:
        """(number, value) of each field of a message. Floats that are not packed come as if many of them were."""
        if isinstance(value, int):
            raise CheckpointError(f"{self.path}: {what} should be a message, but is the number {value}. The file is damaged.")
        at, rows = 0, _FEWEST
        while at < len(value):
            self.fields_left -= 1
            if self.fields_left < 0:
                raise CheckpointError(f"{self.path}: has more than {_MAX_FIELDS:,} fields, which no network has. The file is damaged.")
            if value[at] == _FLOAT and at + 5 <= len(value):
                count = min((len(value) - at) // 5, rows)
                floats = np.frombuffer(value[at : at + 5 * count], "u1").reshape(count, 5)
                others = floats[:, 0] != _FLOAT
                run = int(others.argmax()) if others.any() else count
                rows = min(2 * rows, _MOST) if run == rows else _FEWEST
                yield 5, memoryview(floats[:run, 1:].tobytes())
                at += 5 * run
            else:
                number, content, at = field(value, at, self.path)
                yield number, content

    def layers(self, message: memoryview) -> Iterator[tuple[str, str, list[Value]]]:
        """(name, kind, blobs) of each layer that has blobs."""
        for number, value in self.fields(message, "the file"):
            if number == 100:
                name, kind, blobs = self._layer(value, (1, 2, 7))
            elif number == 2:
                first = next((inner for number, inner in self.fields(value, "layers") if number == 1), None)
                name, kind, blobs = self._layer(value, (4, 5, 6)) if first is None else self._layer(first, (1, 2, 50))
            else:
                continue
            if blobs and not (name.isprintable() and 0 < len(name) <= 200):
                raise CheckpointError(f"{self.path}: the name of a layer, {name[:50]!r}, is empty, too long or has control characters.")
            if blobs:
                yield name, kind, blobs

    def _layer(self, value: Value, numbers: tuple[int, int, int]) -> tuple[str, str, list[Value]]:
        name = kind = ""
        blobs: list[Value] = []
        for number, content in self.fields(value, "a layer"):
            if number == numbers[0]:
                name = self._text(content)
            elif number == numbers[1]:
                kind = _ENUM.get(content, f"layer of kind {content}") if isinstance(content, int) else self._text(content)
            elif number == numbers[2]:
                blobs.append(content)
                self.arrays_left -= 1
            if self.arrays_left < 0:
                raise CheckpointError(f"{self.path}: has more than {_MAX_ARRAYS:,} arrays, which no network has. The file is damaged.")
        return name, _TEXT.get(kind, kind), blobs

    def _text(self, value: Value) -> str:
        return text(value[:1000] if isinstance(value, memoryview) else value, self.path)

    def array(self, blob: Value, name: str) -> Any:
        """The blob's numbers in its shape, a copy that can be written to."""
        data, double, sizes, shape = bytearray(), bytearray(), [0, 0, 0, 0], list[int]()
        old = False
        for number, value in self.fields(blob, name):
            if 1 <= number <= 4 and isinstance(value, int):
                sizes[number - 1], old = value, True
            elif number == 7:
                shape += self._shape(value, name)
            elif number in {5, 8} and isinstance(value, memoryview):
                (data if number == 5 else double).extend(value)
            elif number in {1, 2, 3, 4, 5, 8}:
                raise CheckpointError(f"{self.path}: {name} has a field {number} of another type. The file is damaged.")
        content, dtype = (double, np.dtype("<f8")) if double else (data, np.dtype("<f4"))
        shape = sizes if old else shape
        if len(shape) > _MAX_AXES or math.prod(shape) * dtype.itemsize != len(content) or not content:
            raise CheckpointError(
                f"{self.path}: {name} {shape[:8]} does not fit its {len(content):,} bytes of {dtype}. The file is damaged."
            )
        return np.frombuffer(content, dtype).reshape(shape)

    def _shape(self, message: Value, name: str) -> list[int]:
        """The sizes; of too many the first ones and one more."""
        found: list[int] = []
        for number, value in self.fields(message, name):
            for size in [value] if isinstance(value, int) else varints(value, self.path):
                if number == 1 and len(found) <= _MAX_AXES:
                    found.append(size)
                else:
                    break
        return found


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
