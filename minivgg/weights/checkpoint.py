"""A checkpoint: all that a run needs to go on, bit for bit, in one safetensors file.

    features.0.weight, …                       the model's parameters and buffers, under their own names
    optimizer.momentum.features.0.weight, …    the optimiser's state, by parameter name
    __metadata__["minivgg"]                    canonical JSON: format, digest, state

The digest is a SHA-256 over every array's name, dtype, shape and bytes, and over the JSON without the digest. Nothing of
when, where or how often a run was interrupted goes in, so that equal states are equal files. JSON is canonical when its
keys are sorted and no space is wasted; a float is written with the shortest digits that give it back exactly.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..backend.arrays import to_numpy
from ..errors import CheckpointError
from ..files import write_atomically
from .bfloat16 import rounded
from .opening import named, opened
from .safetensors import read_safetensors, safetensors_bytes

__all__ = ["OPTIMIZER", "Checkpoint", "is_checkpoint", "load_checkpoint", "save_checkpoint", "verified"]

OPTIMIZER = "optimizer."  # arrays whose names begin so belong to the optimiser

_KEY = "minivgg"
_FORMAT = 1
_MARKS = ('"digest":"', '"state":{', '"preprocessing":{')  # of a checkpoint's JSON


@dataclass(frozen=True)
class Checkpoint:
    """Arrays by name, and the rest as JSON-able values (`state`)."""

    model: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    state: Mapping[str, Any]


def save_checkpoint(path: str | Path, checkpoint: Checkpoint, bfloat16: bool = False) -> None:
    """Write the file in one step; a kill at any instant leaves the old one or the new one. With `bfloat16` all float32 arrays are rounded
    to that type, and the digest is over the rounded ones, as float32: over what will be read.

    Raises StorageError if the disk is full or the folder cannot be written.
    """
    arrays = {**checkpoint.model, **{OPTIMIZER + name: array for name, array in checkpoint.optimizer.items()}}
    arrays = {name: np.asarray(to_numpy(array), order="C") for name, array in arrays.items()}
    halves = {name for name, array in arrays.items() if bfloat16 and array.dtype == np.float32}
    arrays.update({name: rounded(arrays[name]) for name in halves})
    body = {"format": _FORMAT, "state": checkpoint.state}
    metadata = {_KEY: _canonical({**body, "digest": _digest(arrays, body)})}
    write_atomically(path, safetensors_bytes(arrays, metadata, halves))


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read and verify a checkpoint.

    Raises CheckpointError, with path and reason, for a file that is missing, damaged, cut off, changed in any bit,
    of a newer format, or not written by minivgg.
    """
    with opened(path) as file:
        arrays, metadata = read_safetensors(file, str(path))
    with named(path):
        return verified(arrays, metadata, str(path))


def is_checkpoint(metadata: Mapping[str, str]) -> bool:
    """Whether a safetensors file with this metadata is, or was before it was damaged, a checkpoint: one of another name still is."""
    written = "\n".join([*metadata, *metadata.values()])  # quotes that are moved make a part of the value one of the key
    return _KEY in metadata or any(mark in written for mark in _MARKS)


def verified(arrays: Mapping[str, Any], metadata: Mapping[str, str], path: str) -> Checkpoint:
    """The checkpoint of a file's arrays and metadata. Raises as `load_checkpoint` does."""
    if set(metadata) != {_KEY}:
        raise CheckpointError(f"{path}: is not a checkpoint of minivgg (its metadata has the keys {sorted(metadata)}, not only {_KEY!r}).")
    body = _parse(metadata[_KEY], path)
    if body.get("format") != _FORMAT:
        raise CheckpointError(f"{path}: has checkpoint format {body.get('format')!r}, but this version reads {_FORMAT}. Update minivgg.")
    digest = body.pop("digest", None)
    try:
        right = _canonical({**body, "digest": digest}) == metadata[_KEY] and digest == _digest(arrays, body)
    except (ValueError, RecursionError):  # NaN, or half a character: neither can be written
        right = False
    if not right:
        raise CheckpointError(f"{path}: its contents do not match its SHA-256 digest: the file is damaged. Use another checkpoint.")
    return Checkpoint(
        {name: array for name, array in arrays.items() if not name.startswith(OPTIMIZER)},
        {name[len(OPTIMIZER) :]: array for name, array in arrays.items() if name.startswith(OPTIMIZER)},
        body["state"],
    )


def _parse(text: str, path: str) -> dict[str, Any]:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: its metadata is not JSON ({error}). The file is damaged.") from None
    if not isinstance(body, dict) or not isinstance(body.get("state"), dict):
        raise CheckpointError(f"{path}: its metadata has no state. The file is damaged, or not a checkpoint of minivgg.")
    return body


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _digest(arrays: Mapping[str, Any], body: Mapping[str, Any]) -> str:
    """SHA-256, in hexadecimal digits, over all arrays in the order of their names, and then over the JSON."""
    sha = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        sha.update(_canonical([name, array.dtype.str, list(array.shape)]).encode() + b"\n")
        sha.update(np.asarray(array, order="C").data if array.size else b"")
    sha.update(_canonical(body).encode())
    return sha.hexdigest()
