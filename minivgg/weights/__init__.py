"""Weights from files: `load(path)` gives the arrays by name. No file is executed, unpickled or trusted."""

from __future__ import annotations

from .checkpoint import Checkpoint, is_checkpoint, load_checkpoint, save_checkpoint
from .load import load, read
from .npz import read_npz
from .npz_writing import npz_bytes
from .opening import named
from .safetensors import read_metadata, read_safetensors, safetensors_bytes

__all__ = [
    "Checkpoint",
    "is_checkpoint",
    "load",
    "load_checkpoint",
    "named",
    "npz_bytes",
    "read",
    "read_metadata",
    "read_npz",
    "read_safetensors",
    "safetensors_bytes",
    "save_checkpoint",
]
