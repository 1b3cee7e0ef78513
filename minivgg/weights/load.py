"""Which reader a file of weights needs, by its suffix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, nearest
from .npz import read_npz
from .safetensors import read_safetensors

__all__ = ["OPTIMIZER", "load", "read_bytes"]

OPTIMIZER = "optimizer."  # names that begin so, in minivgg's own checkpoints, belong to the optimiser

_READERS: dict[str, Callable[[bytes, str], tuple[dict[str, Any], dict[str, str]]]] = {
    ".npz": read_npz,
    ".safetensors": read_safetensors,
}


def load(path: str | Path) -> dict[str, Any]:
    """The arrays of a file of weights, by name, as NumPy arrays, ready for `model.load_state_dict`.

    Reads .safetensors (a run's checkpoint is one; its optimiser state is left out) and .npz.
    Memory: at most the file and its arrays. Raises CheckpointError, with path and reason, for a missing,
    damaged or foreign file.
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise CheckpointError(f'{path}: weights in "{path.suffix}" files cannot be read; {nearest(path.suffix, _READERS)}')
    arrays, _ = reader(read_bytes(path), str(path))
    return {name: array for name, array in arrays.items() if not name.startswith(OPTIMIZER)}


def read_bytes(path: Path) -> bytes:
    """The whole file. Raises CheckpointError with the path if it is missing or unreadable."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error}). Check the path and its permissions.") from None
