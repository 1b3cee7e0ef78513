"""`Device`: the door through which arrays enter and leave a device.

Between the doors nobody asks where an array lives; the array's own module knows (see `arrays`).
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from ..errors import ConfigError, DeviceError
from .arrays import Array, array_module, to_numpy
from .layout import outer_first
from .tf32 import settle_once

__all__ = ["Device", "threads"]


class Device:
    """A place for arrays: `Device("cpu")`, `Device("cuda")` (its first card), `Device("cuda:1")`, `Device("auto")`.

    "auto" is the first usable GPU, or the CPU. Raises DeviceError if the name is unknown or the GPU
    cannot be used, and says what is missing.
    """

    def __init__(self, name: str | Device = "cpu") -> None:
        self.kind, self.index = "cpu", 0
        self.xp: Any = np
        if isinstance(name, Device):
            self.kind, self.index, self.xp = name.kind, name.index, name.xp
            return
        if name == "auto":
            name = "cuda:0" if _why_no_gpu() is None else "cpu"
        match = re.fullmatch(r"cpu|cuda(?::(\d+))?", name)
        if match is None:
            raise DeviceError(f'unknown device "{name}". Valid: "cpu", "cuda", "cuda:0", "cuda:1", …, "auto".')
        self.kind = name.split(":")[0]
        self.index = int(match[1] or 0)
        if self.kind == "cuda":
            reason = _why_no_gpu()
            if reason is not None:
                raise DeviceError(f'Device("{name}") cannot be used: {reason} Use Device("cpu") or --device cpu.')
            self.xp = importlib.import_module("cupy")
            count = self.xp.cuda.runtime.getDeviceCount()
            if self.index >= count:
                raise DeviceError(f'Device("{name}") is not there: this machine has {count} GPU(s), cuda:0 to cuda:{count - 1}.')
            settle_once(self.xp)

    @classmethod
    def of(cls, array: Array) -> Device:
        """The device on which `array` lives."""
        xp, device = array_module(array), cls("cpu")
        if xp is not np:  # no need to look for the card: there is an array on it
            device.kind, device.index, device.xp = "cuda", int(array.device.id), xp
        return device

    def use(self) -> AbstractContextManager[Any]:
        """`with device.use():` makes new GPU arrays land on this card."""
        return nullcontext() if self.kind == "cpu" else self.xp.cuda.Device(self.index)

    def asarray(self, data: Any, dtype: Any = None) -> Array:
        """`data` as an array on this device, its axes in memory in the same order; copied only if it lives elsewhere."""
        if self.kind == "cpu":
            return np.asarray(to_numpy(data), dtype)
        with self.use():
            if not isinstance(data, np.ndarray) or data.ndim < 2:
                return self.xp.asarray(data, dtype)
            order = outer_first(data)  # CuPy itself would store it in C order
            stored = self.xp.asarray(np.ascontiguousarray(data.transpose(order)), dtype)
            return stored.transpose([order.index(axis) for axis in range(data.ndim)])

    def full(self, shape: tuple[int, ...], value: float, dtype: Any = "float32") -> Array:
        """A new array of `shape`, `value` everywhere, on this device."""
        with self.use():
            return self.xp.full(shape, value, dtype)

    def synchronize(self) -> None:
        """Wait until all work given to this device is done."""
        if self.kind == "cuda":
            with self.use():
                self.xp.cuda.get_current_stream().synchronize()

    def memory(self) -> tuple[int, int]:
        """(bytes in use, bytes in all): of the card, where what our own pool keeps for later is not in use, or on the CPU the most this
        process has had and the machine's."""
        if self.kind == "cuda":
            with self.use():
                free, total = self.xp.cuda.runtime.memGetInfo()
                return int(total - free - self.xp.get_default_memory_pool().free_bytes()), int(total)
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        return most, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

    def __str__(self) -> str:
        return "cpu" if self.kind == "cpu" else f"cuda:{self.index}"

    def __repr__(self) -> str:
        return f'Device("{self}")'

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


def threads() -> int:
    """How many threads kernels share their work among: MINIVGG_THREADS, or else all cores of this process.

    For products outside kernels BLAS has as many, if MINIVGG_THREADS is set and minivgg is imported before NumPy.
    """
    value = os.environ.get("MINIVGG_THREADS", "")
    if value and not (value.isdecimal() and int(value) > 0):
        raise ConfigError(f"MINIVGG_THREADS must be a whole number ≥ 1, but is {value!r}. Unset it to use all cores.")
    return int(value or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1))


def _why_no_gpu() -> str | None:
    """None if CuPy can use a GPU here; otherwise one sentence. Importable is not usable: the driver is asked."""
    if importlib.util.find_spec("cupy") is None:
        return "CuPy is not installed (pip install 'minivgg[cuda]' for CUDA 13, or cupy-cuda12x for CUDA 12)."
    try:
        cupy = importlib.import_module("cupy")
        return None if cupy.cuda.is_available() else "CuPy finds no CUDA driver or no GPU on this machine."
    except Exception as error:  # a broken CUDA installation can raise anything at import
        return f"CuPy does not import ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''})."
