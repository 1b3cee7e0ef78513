"""Weights from files: `load(path)` gives the arrays by name. No file is executed, unpickled or trusted."""

from __future__ import annotations

from .load import load
from .npz import read_npz
from .safetensors import read_safetensors, safetensors_bytes

__all__ = ["load", "read_npz", "read_safetensors", "safetensors_bytes"]
