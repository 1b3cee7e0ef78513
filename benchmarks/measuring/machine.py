"""The machine, what is installed on it, and its GEMM rate: the speed that every figure is a share of."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

import minivgg as mv

__all__ = ["GemmRate", "describe", "versions"]

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


class GemmRate:
    """float32 GFLOP/s of NumPy's matrix product of `size`³ on all threads; each call of `measure` adds a reading, the best of three."""

    def __init__(self, size: int = 2048) -> None:
        rng = np.random.default_rng(0)
        self.a, self.b = (rng.standard_normal((size, size), dtype=np.float32) for _ in range(2))
        self.out = np.empty((size, size), np.float32)
        self.readings: list[float] = []

    def measure(self) -> None:
        """Multiply three times."""
        best = float("inf")
        with _all_threads():
            for _ in range(3):
                start = time.perf_counter()
                np.matmul(self.a, self.b, out=self.out)
                best = min(best, time.perf_counter() - start)
        self.readings.append(2 * len(self.a) ** 3 / best / 1e9)

    @property
    def gflops(self) -> float:
        """The median reading."""
        return float(np.median(self.readings))


def _all_threads() -> AbstractContextManager[Any]:
    """BLAS on as many threads as minivgg has, even if a kernel pool has asked it for one; as before afterwards."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return nullcontext()
    limits: AbstractContextManager[Any] = threadpool_limits(mv.threads(), user_api="blas")
    return limits


def describe() -> dict[str, str]:
    """Processor, cores of this process, caches, memory and system, as far as the system tells."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return {
        "processor": _processor(),
        "cores": f"{len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()}, {mv.threads()} threads",
        "caches": _caches(),
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }


def _processor() -> str:
    try:
        fields = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
    except OSError:
        return platform.processor() or platform.machine()
    found = {key.strip(): value.strip() for key, _, value in reversed(fields)}
    wide = [flag for flag in ("avx2", "avx512f", "amx_tile", "asimd") if flag in found.get("flags", found.get("Features", "")).split()]
    family = f" family {found['cpu family']} model {found['model']}" if "cpu family" in found else ""
    return f"{found.get('model name', platform.machine())}{family} ({', '.join(wide) or 'no wide vectors'})"


def _caches() -> str:
    found = []
    for folder in sorted(_CACHES.glob("index*")):
        level, kind, size = ((folder / name).read_text().strip() for name in ("level", "type", "size"))
        if kind != "Instruction":
            found.append(f"L{level} {size}")
    return ", ".join(found) or "unknown"


def versions(packages: list[str]) -> dict[str, str]:
    """Of minivgg, NumPy, Python and the packages that are installed."""
    found = {"minivgg": mv.__version__, "numpy": np.__version__, "python": platform.python_version()}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
