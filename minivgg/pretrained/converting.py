"""A network written into a file of another type of numbers, or of another format."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..errors import ConfigError, nearest
from ..files import write_atomically
from ..weights import npz_bytes
from ..weights.bfloat16 import rounded
from .export import export
from .finite import require_finite
from .network import Network
from .own import save

__all__ = ["DTYPES", "WRITERS", "cast", "require_writable", "write"]

DTYPES = {"f32": "float32", "f16": "float16", "bf16": "float32", "f64": "float64"}


def cast(network: Network, dtype: str, path: str) -> Network:
    """The network with all its floating-point arrays in that type, a name of DTYPES, each value rounded to the nearest; "" leaves them.
    bf16 is kept in float32 arrays, and float64 is rounded to these first. Raises CheckpointError, with the array's name, for a value
    beyond the type's largest."""
    if not dtype:
        return network
    arrays = {}
    for name, array in network.arrays.items():
        if array.dtype.kind == "f":
            with np.errstate(over="ignore"):
                array = np.asarray(array, DTYPES[dtype])
            array = rounded(array) if dtype == "bf16" else array
            require_finite({f"{name} as {dtype}": array}, path)
        arrays[name] = array
    return dataclasses.replace(network, arrays=arrays)


def require_writable(path: Path, dtype: str) -> None:
    """Raise ConfigError unless there are files of that suffix with such numbers, and the folder is there."""
    suffix = path.suffix.lower()
    if suffix not in WRITERS:
        raise ConfigError(f'{path}: weights cannot be written into "{path.suffix}" files; {nearest(suffix, WRITERS)}')
    if dtype and dtype not in DTYPES:
        raise ConfigError(f'unknown type of numbers "{dtype}": {nearest(dtype, DTYPES)}')
    if dtype == "bf16" and suffix != ".safetensors":
        raise ConfigError(f"{path}: only .safetensors files have bf16. Take f16 or f32, or another file.")
    if dtype not in {"", "f32"} and suffix == ".onnx":
        raise ConfigError(f"{path}: ONNX files are written in f32, not in {dtype}. Leave --dtype out.")
    if path.is_dir():
        raise ConfigError(f"{path}: is a folder. Name a file.")
    if not path.parent.is_dir():
        raise ConfigError(f"{path}: there is no folder {path.parent}. Make it first.")


def write(network: Network, path: Path, dtype: str = "") -> None:
    """Write the network, of which `cast` made numbers of that type, in one step: .safetensors, this package's own file; .npz, the arrays
    alone, under this package's names; .onnx, the graph. Raises ConfigError as `require_writable`, StorageError for a full disk."""
    require_writable(path, dtype)
    WRITERS[path.suffix.lower()](network, path, dtype)


def _safetensors(network: Network, path: Path, dtype: str) -> None:
    save(path, network, bfloat16=dtype == "bf16")


def _npz(network: Network, path: Path, dtype: str) -> None:
    write_atomically(path, npz_bytes(network.arrays))


def _onnx(network: Network, path: Path, dtype: str) -> None:
    if not network.whole:
        raise ConfigError(f"{path}: features without a classifier cannot be written as ONNX. Write them into a .safetensors file.")
    write_atomically(path, export(network.build(), network.transform, network.classes, image_size=network.image_size).file.content)


WRITERS: dict[str, Callable[[Network, Path, str], None]] = {".npz": _npz, ".onnx": _onnx, ".safetensors": _safetensors}
