"""The card at hand, or the pretend one for a dry run; its clock; what is installed."""

from __future__ import annotations

import contextlib
import importlib
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import minivgg as mv
from measuring.machine import versions

__all__ = ["Clock", "HostClock", "Place"]

_ROOT = Path(__file__).resolve().parents[2]


class Place:
    """Where parts run, in a `with` block. `dry`: the tests' pretend card, on the CPU: to see that the scripts work, not for figures."""

    def __init__(self, dry: bool) -> None:
        self.dry = dry
        self._open = contextlib.ExitStack()
        if dry:
            sys.path.insert(0, str(_ROOT))
            self._open.enter_context(np.errstate(all="ignore"))  # a card doesn't warn either
            self._open.enter_context(importlib.import_module("tests.cuda.pretend_cupy").install())
        self.device = mv.Device("cuda")  # DeviceError says what is missing
        self.cupy = self.device.xp

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def pick(self, large: Any, small: Any) -> Any:
        """The size for a card, or the miniature for a dry run."""
        return small if self.dry else large

    def name(self) -> str:
        """Such as "NVIDIA H100 80GB HBM3"."""
        return "pretend card" if self.dry else str(self.cupy.cuda.runtime.getDeviceProperties(0)["name"].decode())

    def describe(self) -> dict[str, Any]:
        """What a record says about the place."""
        found = {"card": self.name(), "memory": self.device.memory()[1], "system": f"{platform.system()} {platform.machine()}"}
        if not self.dry:
            runtime = self.cupy.cuda.runtime
            found |= {"driver": runtime.driverGetVersion(), "runtime": runtime.runtimeGetVersion()}
        return {**found, "versions": {**versions(["torch", "ml_dtypes"]), "cupy": self.cupy.__version__}}

    def clock(self) -> Clock:
        """For minivgg's work."""
        return Clock(self.cupy)

    def pool_bytes(self) -> int:
        """What CuPy's pool has taken from the card and not given back."""
        return int(self.cupy.get_default_memory_pool().total_bytes())

    def used_bytes(self) -> int:
        """What of it arrays are in."""
        return int(self.cupy.get_default_memory_pool().used_bytes())

    def tidy(self) -> None:
        """Give back what nobody uses."""
        self.device.synchronize()
        self.cupy.get_default_memory_pool().free_all_blocks()


class Clock:
    """Seconds between two CUDA events of CuPy's, on the current stream; `stop` waits for the card."""

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy
        self._start, self._stop = cupy.cuda.Event(), cupy.cuda.Event()

    def start(self) -> None:
        """Now."""
        self._start.record()

    def stop(self) -> float:
        """Seconds since."""
        self._stop.record()
        self._stop.synchronize()
        return float(self._cupy.cuda.get_elapsed_time(self._start, self._stop)) / 1e3


class HostClock:
    """The same by the host's clock."""

    def __init__(self) -> None:
        self._begun = 0.0

    def start(self) -> None:
        """Now."""
        self._begun = time.perf_counter()

    def stop(self) -> float:
        """Seconds since."""
        return time.perf_counter() - self._begun
