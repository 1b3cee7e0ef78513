"""The memory pool of the pretend CuPy: it counts the bytes of the arrays that are alive, has a limit, and raises beyond it."""

from __future__ import annotations

import threading
import weakref
from typing import Any

import numpy as np

from minivgg.backend.arrays import owner

__all__ = ["TOTAL", "OutOfMemoryError", "Pool"]

TOTAL = 80 << 30  # bytes of the pretend card
_GRAIN = 512


class OutOfMemoryError(MemoryError):
    """As `cupy.cuda.memory.OutOfMemoryError`."""


class Pool:
    """As `cupy.get_default_memory_pool()`, if blocks fit wherever blocks were; `peak` is the most that was in use since `begin()`."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._alive: dict[int, int] = {}
        self.begin()

    def begin(self) -> None:
        """As in a fresh process, but for the arrays that are alive."""
        self.limit, self.used = 0, sum(self._alive.values())
        self.total = self.peak = self.used

    def watch(self, values: Any) -> None:
        """Count the memory of a new array, unless it looks at that of another."""
        memory = owner(values)
        if not isinstance(memory, np.ndarray) or id(memory) in self._alive:
            return
        size = -(-memory.nbytes // _GRAIN) * _GRAIN
        with self._lock:
            if self.used + size > (self.limit or TOTAL):
                raise OutOfMemoryError(f"Out of memory allocating {size:,} bytes (allocated so far: {self.total:,} bytes).")
            self._alive[id(memory)] = size
            weakref.finalize(memory, self._free, id(memory)).atexit = False
            self.used += size
            self.total, self.peak = max(self.total, self.used), max(self.peak, self.used)

    def _free(self, place: int) -> None:
        with self._lock:
            self.used -= self._alive.pop(place)

    def used_bytes(self) -> int:
        """Of arrays that are alive."""
        return self.used

    def total_bytes(self) -> int:
        """Taken from the card."""
        return self.total

    def free_bytes(self) -> int:
        """Kept for later arrays."""
        return self.total - self.used

    def free_all_blocks(self, stream: Any = None) -> None:
        """Give what is kept back to the card."""
        self.total = self.used

    def set_limit(self, size: int | None = None, fraction: float | None = None) -> None:
        """At most so many bytes, or such a share of the card; size=0 means no limit."""
        assert (size is None) != (fraction is None), "set_limit() takes size or fraction"
        self.limit = size if size is not None else int((fraction or 0.0) * TOTAL)

    def get_limit(self) -> int:
        """0 if there is none."""
        return self.limit
