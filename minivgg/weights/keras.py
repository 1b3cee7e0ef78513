"""Keras' files of weights: HDF5 (`hdf5`) in four layouts, and .keras, a zip that has the third within.

    block1_conv1/block1_conv1_W_1:0                             keras-applications' files, as of Keras 1
    [model_weights/]block1_conv1/block1_conv1/kernel:0          weights alone, or a whole model, as of Keras 2
    [model_weights/]block1_conv1/sequential/block1_conv1/kernel the same, as of Keras 3
    layers/conv2d/vars/0, with the attribute name=block1_conv1  .weights.h5 and model.weights.h5 in a .keras, as of Keras 3

All come out as block1_conv1/kernel. Optimisers' state and random generators' are passed over; a .keras' config.json is not looked at.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Sequence
from typing import Any, BinaryIO

from ..errors import CheckpointError
from .hdf5 import Names, read_hdf5
from .opening import size_of

__all__ = ["read_keras", "read_keras_zip"]

_INSIDE = "model.weights.h5"
_SLACK = 4 << 20  # bytes that arrays may have more than their file allows, for small compressed ones
_MAX_MEMBERS = 100
_PASSED = {"optimizer", "optimizer_weights", "seed_generator", "top_level_model_weights"}
_NORMS = ("gamma", "beta", "moving_mean", "moving_variance")
_OLD = {"W": "kernel", "b": "bias", "running_mean": "moving_mean", "running_std": "moving_variance"}  # it held the variance
_PART = re.compile(r"(?:.*_)??(kernel|bias|gamma|beta|moving_mean|moving_variance|W|b|running_mean|running_std)(?:_\d+)?(?::0)?")


def read_keras(file: BinaryIO, path: str) -> tuple[dict[str, Any], dict[str, str]]:
    """(arrays by name, {"format": "keras"}) of an .h5 file; `path` is for messages.

    "<layer>/kernel"  (R, S, C, K) of a convolution, (in, out) of a dense layer
    "<layer>/bias"    (K,)
    "<layer>/gamma"   (C,), and beta, moving_mean, moving_variance, of a batch normalisation
    "<layer>/<name>"  others, by the name or the number that they have in the file

    Layers are in the order of their names, numbers by value. Memory: the arrays, which are float16, float32 or float64. Raises
    CheckpointError for a file that is damaged, has an array twice, none at all, or anything that `hdf5` refuses.
    """
    return _read(file, path, (0, size_of(file)))


def read_keras_zip(file: BinaryIO, path: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The same of a .keras file: of model.weights.h5 within it, not compressed. No code, layer or function that it names is looked at."""
    begin, size, expected = _inside(file, path)
    file.seek(begin)
    found = 0
    for at in range(0, size, 1 << 20):
        found = zlib.crc32(file.read(min(size - at, 1 << 20)), found)
    if found != expected:
        raise CheckpointError(f"{path}: {_INSIDE} has the checksum {found:08x}; {expected:08x} was expected. The file is damaged.")
    return _read(file, path, (begin, size))


def _inside(file: BinaryIO, path: str) -> tuple[int, int, int]:
    """(first byte, size, CRC-32) of the weights within a zip. Its members are walked one after another:

    PK34, version, flags, method, time, date (2 bytes each), CRC-32, packed size, size (4 each), sizes of name and extra (2 each), they
    """
    at, end = 0, size_of(file)
    for _ in range(_MAX_MEMBERS):
        file.seek(at)
        head = file.read(30)
        if len(head) < 30 or head[:4] != b"PK\3\4":
            break
        flags, method = struct.unpack("<HH", head[6:10])
        expected, size, whole, name, extra = struct.unpack("<IIIHH", head[14:])
        begin = at + 30 + name + extra
        if file.read(name) == _INSIDE.encode():
            if method or flags & 9 or size != whole or begin + size > end:
                break
            return begin, size, expected
        at = begin + size
    raise CheckpointError(f"{path}: {_INSIDE} was expected in a zip, whole and not compressed. The file is damaged or foreign.")


def _read(file: BinaryIO, path: str, span: tuple[int, int]) -> tuple[dict[str, Any], dict[str, str]]:
    found, labels = read_hdf5(file, path, 2 * span[1] + _SLACK, lambda names: not _PASSED & set(names), span)
    if any(names[:1] == ("model_weights",) for names in found):
        found = {names[1:]: array for names, array in found.items() if names[:1] == ("model_weights",)}
    if () in found:
        raise CheckpointError(f"{path}: has an array where Keras has a group of layers. The file is damaged or foreign.")
    if found and all(names[0] == "data" and len(names) == 3 and names[2].isdecimal() for names in found):
        raise CheckpointError(f"{path}: is a snapshot of Caffe in HDF5, not of Keras. Have Caffe write it as a .caffemodel.")
    numbered: dict[Names, list[Names]] = {}  # the group of variables that have no names → they
    for names in sorted(found, key=_by_number):
        numbered.setdefault(names[:-1] if names[-2:-1] == ("vars",) else names, []).append(names)
    arrays: dict[str, Any] = {}
    for group, members in numbered.items():
        if group[-1] == "vars":
            layer = labels.get(group) or (group[-2] if len(group) > 1 else "model")
            parts = _parts([found[names] for names in members])
        else:
            layer, *parts = _named(group)
        for names, part in zip(members, parts, strict=True):
            if f"{layer}/{part}" in arrays:
                raise CheckpointError(f"{path}: {layer}/{part} occurs twice, the second time as {'/'.join(names)}; which of them counts?")
            arrays[f"{layer}/{part}"] = found[names]
    if not arrays:
        raise CheckpointError(f"{path}: has no weights. It is a file of something else, or of a model that was never built.")
    return arrays, {"format": "keras"}


def _by_number(names: Names) -> list[list[tuple[int, str]]]:
    """A key that sorts conv2d, conv2d_2, conv2d_10 in this order."""
    return [[(int(piece), "") if piece.isdecimal() else (-1, piece) for piece in re.split(r"(\d{1,18})", name)] for name in names]


def _named(names: Names) -> tuple[str, str]:
    """(layer, part) of an array with a name. The layer is the group around it; but a name that was taken already got a number within."""
    found = _PART.fullmatch(names[-1])
    part = _OLD.get(found[1], found[1]) if found else names[-1].removesuffix(":0")
    if len(names) == 3 and re.fullmatch(re.escape(names[0]) + r"_\d+", names[1]):
        return names[0], part
    return (names[-2] if len(names) > 1 else "model"), part


def _parts(arrays: Sequence[Any]) -> Sequence[str]:
    """The names of a layer's variables, which the file has only in their order."""
    axes = [array.ndim for array in arrays]
    if axes in ([4, 1], [2, 1], [4], [2]):
        return ("kernel", "bias")[: len(axes)]
    if axes == [1] * 4 and len({array.shape for array in arrays}) == 1:
        return _NORMS
    return [str(i) for i in range(len(axes))]
