"""Features in a file: what a network says of each image of a set, as an .npz archive that any program can read.

    x, y, names                        of a set without parts: float32 (N, D), int64 (N,), text (N,)
    x_train, y_train, names_train      of a part, and the same for val and test
    classes                            text (K,)
    how                                JSON: layer, scales, …, how the features were made; no path, host or time

Equal features are equal files.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..backend.arrays import Array
from ..data.npz import read_npz
from ..errors import DataError
from ..files import write_atomically

__all__ = ["PARTS", "FeatureFile", "FeatureSet", "read_features", "write_features"]

PARTS = ("train", "val", "test")
_WHOLE = ""  # the name of a set without parts


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """N images: features `x` float (N, D), labels `y` int64 (N,), names (N): each file's path in its folder, or its number."""

    x: Array
    y: Array
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.y)

    def take(self, indices: Array) -> FeatureSet:
        """The samples at `indices`, int."""
        return FeatureSet(self.x[indices], self.y[indices], tuple(self.names[i] for i in indices))


@dataclass(frozen=True, eq=False)
class FeatureFile:
    """Sets by the name of their part, "train", "val", "test", or a single one named ""; class names; how they were made."""

    sets: Mapping[str, FeatureSet]
    classes: tuple[str, ...]
    how: Mapping[str, Any]


def write_features(path: str | Path, features: FeatureFile) -> None:
    """Write the file in one step. Raises StorageError if the disk is full or the folder cannot be written."""
    arrays: dict[str, Array] = {}
    for part, found in features.sets.items():
        tail = f"_{part}" if part else ""
        arrays |= {f"x{tail}": found.x.astype(np.float32, copy=False), f"y{tail}": found.y, f"names{tail}": np.array(found.names)}
    text = json.dumps(features.how, sort_keys=True, ensure_ascii=False)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays, classes=np.array(features.classes), how=np.array(text))
    write_atomically(path, buffer.getvalue())


def read_features(path: str | Path) -> FeatureFile:
    """The features of a file; names, classes and how may be missing, as in a file that another program wrote.

    Raises DataError, naming the path, for a file that is missing or damaged, features without labels, NaN or Inf, labels that name no
    class, parts of different widths.
    """
    tails = {part: f"_{part}" if part else "" for part in (_WHOLE, *PARTS)}
    arrays = read_npz(path, ["classes", "how", *(f"{name}{tail}" for tail in tails.values() for name in ("x", "y", "names"))])
    sets = {part: _set(arrays, tail, path) for part, tail in tails.items() if f"x{tail}" in arrays or f"y{tail}" in arrays}
    if not sets:
        raise DataError(f"{path}: there are no features in it: expected x and y, or x_train and y_train. Make them with minivgg features.")
    widths = {part: found.x.shape[1] for part, found in sets.items()}
    if len({*widths.values()}) > 1:
        raise DataError(f"{path}: the parts have features of different widths: {', '.join(f'{p} {w:,}' for p, w in widths.items())}.")
    largest = max(int(found.y.max()) for found in sets.values())
    classes = tuple(map(str, arrays["classes"].tolist())) if "classes" in arrays else tuple(map(str, range(largest + 1)))
    if largest >= len(classes):
        raise DataError(f"{path}: label {largest} names no class: there are {len(classes)}, numbered from 0.")
    return FeatureFile(sets, classes, _how(arrays, path))


def _set(arrays: Mapping[str, Array], tail: str, path: str | Path) -> FeatureSet:
    """One part, checked."""
    for name in (f"x{tail}", f"y{tail}"):
        if name not in arrays:
            raise DataError(f"{path}: there is no {name}: features and labels are needed, x{tail} and y{tail}.")
    x, y = arrays[f"x{tail}"], arrays[f"y{tail}"]
    if x.dtype.kind not in "fiu" or x.ndim != 2 or y.dtype.kind not in "iu" or y.ndim != 1 or len(x) != len(y) or not x.size:
        raise DataError(
            f"{path}: x{tail} must be numbers (N, D) and y{tail} integers (N,), N and D at least 1, "
            f"but they are {x.dtype} {x.shape} and {y.dtype} {y.shape}."
        )
    sound = np.isfinite(x).all(1)
    if not sound.all():
        row = int(np.argmin(sound))
        raise DataError(
            f"{path}: x{tail} has NaN or Inf in {int((~sound).sum()):,} of {len(x):,} rows, first in row {row}. Leave them out."
        )
    if y.min() < 0 or y.max() >= 2**31:
        raise DataError(f"{path}: y{tail} must be numbers of classes, from 0, but has {int(y.min())} to {int(y.max())}.")
    names = tuple(map(str, arrays.get(f"names{tail}", np.arange(len(y))).tolist()))
    if len(names) != len(y):
        raise DataError(f"{path}: names{tail} has {len(names):,} names for {len(y):,} images.")
    return FeatureSet(x, y.astype(np.int64), names)


def _how(arrays: Mapping[str, Array], path: str | Path) -> Mapping[str, Any]:
    """What `how` says; nothing if it is missing."""
    try:
        found = json.loads(str(arrays["how"].item())) if "how" in arrays else {}
    except ValueError as error:
        raise DataError(f"{path}: how is not JSON text ({error}).") from None
    if not isinstance(found, dict):
        raise DataError(f"{path}: how must be a JSON object, but is {found!r:.80}.")
    return found
