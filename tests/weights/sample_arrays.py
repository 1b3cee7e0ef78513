"""Small valid files of the plain formats: safetensors of others and of this package, and .npz."""

from __future__ import annotations

import io
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from minivgg import data, models, pretrained, weights

__all__ = ["samples"]


@cache
def samples() -> dict[str, bytes]:
    """By name: of VGG-11s whose layers have up to 8 channels, and of arrays of several dtypes."""
    rng = np.random.default_rng(0)
    odd = {
        "w": rng.standard_normal((3, 4)).astype("float32"), "n": np.array(7, np.int64), "none": np.zeros((0, 2)),
        "half": rng.standard_normal(3).astype("float16"), "flags": np.array([True, False]), "täxt": np.arange(5, dtype="u1"),
    }  # fmt: skip
    foreign = _arrays(head="paper")
    stored, packed, fortran = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.savez(stored, **odd)
    np.savez_compressed(packed, **dict([*foreign.items()][:4]))
    np.savez(fortran, a=np.asfortranarray(odd["w"]), b=np.ones((2, 2), ">f8"))
    return {
        "dtypes": save(odd, {"format": "pt"}),
        "foreign": save(foreign),
        "network": _network(),
        "run": _run(),
        "npz": stored.getvalue(),
        "npz-packed": packed.getvalue(),
        "npz-fortran": fortran.getvalue(),
    }


_SIZES = {"num_classes": 3, "image_size": 32, "width": 1 / 64}
_PREPARED = data.Compose((data.Rescale(36, 36), data.Crop(32), data.Normalise((0.5,) * 3, (0.25,) * 3)))


def _arrays(head: str) -> dict[str, np.ndarray]:
    return {name: np.asarray(array) for name, array in models.build("vgg11", head=head, **_SIZES).state_dict().items()}


def _network() -> bytes:
    """A file that `pretrained.save` writes."""
    options = {**_SIZES, "in_channels": 3, "head": "linear", "ceil_mode": False}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.safetensors"
        pretrained.save(path, pretrained.Network("vgg11", options, _arrays("linear"), ("a", "b", "c"), _PREPARED, notes=("none",)))
        return path.read_bytes()


def _run() -> bytes:
    """What of a run's checkpoint a network is made from."""
    arrays = _arrays("linear")
    state = {
        "classes": ["cat", "dog", "häschen"], "preprocessing": _PREPARED.to_json(), "images": {"shape": [32, 32, 3]},
        "config": {"model": "vgg11", "image_size": 32, "width": 1 / 64, "head": "linear"}, "progress": {"epoch": 3, "loss": 0.1},
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.safetensors"
        momentum = {f"momentum.{name}": array for name, array in arrays.items() if array.ndim == 1}
        weights.save_checkpoint(path, weights.Checkpoint(arrays, momentum, state))
        return path.read_bytes()
