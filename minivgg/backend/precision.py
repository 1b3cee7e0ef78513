"""In which precision a card computes: `with precision("fp16"):` for one thread, "fp32" outside any such block.

    name      arrays of images and activations    products                         bits of a significand
    "fp32"    float32                             float32, strictly                24
    "tf32"    float32                             operands rounded to TF32         11 in products, 24 in sums
    "fp16"    float16                             half times half, sums in fp32    11, exponents −14 … 15
    "bf16"    bfloat16                            half times half, sums in fp32    8, exponents as float32's

Parameters stay float32 in all of them. Half precision is carried by the data: at the door `as_images` casts a model's
images, and each layer computes in its input's dtype. TF32 is a switch of CuPy's for products of float32, one for the whole process: two
threads that compute on a card at the same time must agree on it. On a CPU there is nothing but "fp32", and nobody pretends: asking raises.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..errors import ConfigError, nearest
from .arrays import Array
from .device import Device
from .tf32 import settle

__all__ = ["PRECISIONS", "as_images", "check", "current", "image_dtype", "precision", "rehearsed"]

PRECISIONS = ("fp32", "tf32", "fp16", "bf16")


class _State(threading.local):
    name = "fp32"


_state = _State()


def current() -> str:
    """The precision of this thread: "fp32", "tf32", "fp16" or "bf16"."""
    return _state.name


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Compute in the precision `name` in this block, and as before behind it. NumPy arrays are computed in their own dtype in any case.

    "fp32" is strict: products of float32 are not rounded to TF32, even where the environment has CUPY_TF32=1.
    Raises ConfigError for an unknown name; for any but "fp32" if there is no usable card; for "bf16" without ml_dtypes.
    """
    check(name)
    if name != "fp32":
        check(name, Device("auto"))
    image_dtype(name)
    before, _state.name = _state.name, name
    put_back = settle(sys.modules.get("cupy"), tf32=name == "tf32")
    try:
        yield
    finally:
        _state.name = before
        put_back()


def check(name: Any, device: Any = None) -> str:
    """`name`, if it is a precision that `device` (a Device, or None for any) can compute in. Raises ConfigError otherwise."""
    if name not in PRECISIONS:
        raise ConfigError(f"precision={name!r} is unknown: {nearest(str(name), PRECISIONS)}")
    if name != "fp32" and device is not None and device.kind == "cpu":
        raise ConfigError(
            f'precision="{name}" needs a card, but the device is the CPU, which computes in "fp32" only. Use a machine with a card '
            f'that CuPy can use (device="cuda" says what is missing), or precision="fp32" (--precision fp32).'
        )
    return str(name)


def image_dtype(name: str) -> Any:
    """The dtype to which images are cast in the precision `name`, or None if they stay as they are.

    Raises ConfigError if it is bfloat16 and the package ml_dtypes, which defines it for NumPy and CuPy, is missing.
    """
    if name == "fp16":
        return np.dtype(np.float16)
    if name != "bf16":
        return None
    try:
        return np.dtype(importlib.import_module("ml_dtypes").bfloat16)
    except ImportError:
        raise ConfigError(
            'precision="bf16" needs the package ml_dtypes, which is not installed: pip install "minivgg[cuda]", or use "fp16".'
        ) from None


def as_images(device: Any, images: Array) -> Array:
    """Images moved to `device`, and there, if it is a card, converted to the dtype of this thread's precision. Strides are kept."""
    moved, dtype = device.asarray(images), image_dtype(current())
    return moved if dtype is None or device.kind == "cpu" else moved.astype(dtype, copy=False)


@contextmanager
def rehearsed(name: str) -> Iterator[None]:
    """As `precision`, for blank arrays: no card need be here, and none is told. Raises ConfigError for an unknown name."""
    image_dtype(check(name))
    before, _state.name = _state.name, name
    try:
        yield
    finally:
        _state.name = before
