"""Which reader a file of weights needs, by its suffix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import CheckpointError, nearest
from .caffe import read_caffe
from .checkpoint import OPTIMIZER, is_checkpoint, verified
from .keras import read_keras, read_keras_zip
from .npz import read_npz
from .onnx import read_onnx
from .opening import named, opened
from .safetensors import read_safetensors
from .torch_files import read_torch

__all__ = ["READERS", "load", "read"]

# suffix → function (file, path for messages) → (arrays by name, the file's own metadata)
READERS: dict[str, Callable[[BinaryIO, str], tuple[dict[str, Any], dict[str, str]]]] = {
    ".caffemodel": read_caffe,
    ".h5": read_keras,
    ".hdf5": read_keras,
    ".keras": read_keras_zip,
    ".npz": read_npz,
    ".onnx": read_onnx,
    ".pt": read_torch,
    ".pth": read_torch,
    ".safetensors": read_safetensors,
}


def load(path: str | Path) -> dict[str, Any]:
    """The arrays of a file of weights, by name, as NumPy arrays, ready for `model.load_state_dict`.

    Reads .safetensors (a run's checkpoint is one; its optimiser state is left out, and its digest verified), .npz, the .pth and .pt of
    torch.save, .caffemodel, Keras' .h5, .hdf5 and .keras, and the initialisers of .onnx.
    Memory: at most twice the file, and 32 MB. Raises CheckpointError, with path and reason, for a missing,
    damaged or foreign file.
    """
    arrays, metadata = read(path)
    if Path(path).suffix.lower() == ".safetensors" and is_checkpoint(metadata):
        with named(path):
            return dict(verified(arrays, metadata, str(path)).model)
    return {name: array for name, array in arrays.items() if not name.startswith(OPTIMIZER)}


def read(path: str | Path) -> tuple[dict[str, Any], dict[str, str]]:
    """(all arrays by the names that they have in the file, the file's metadata). Raises as `load` does."""
    path = Path(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise CheckpointError(f'{path}: weights in "{path.suffix}" files cannot be read; {nearest(path.suffix, READERS)}')
    with opened(path) as file:
        arrays, metadata = reader(file, str(path))
        strange = next((name for name in arrays if not name.isprintable()), None)
        if strange is not None:
            raise CheckpointError(f"{path}: has an array with the name {strange!r}, which is not printable. The file is damaged.")
        return arrays, metadata
