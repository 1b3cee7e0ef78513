"""A clock that ticks where the work is done: on the CPU the process's, on a card by events, for which nobody waits until it is read."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import Any

from .device import Device

__all__ = ["Clock"]


class Clock:
    """`mark()` notes when the work given to the device so far is done; `seconds(marks)` reads the time between neighbours.

    On a card the marks are events on the current stream. Used within `device.use()`.
    """

    def __init__(self, device: Device) -> None:
        self._device = device

    def mark(self) -> Any:
        """A moment in the device's work."""
        if self._device.kind == "cpu":
            return time.perf_counter()
        cuda = self._device.xp.cuda
        event = cuda.Event()
        event.record(cuda.get_current_stream())
        return event

    def seconds(self, marks: Sequence[Any]) -> list[float]:
        """From each mark to the next. A card is waited for."""
        pairs = list(itertools.pairwise(marks))
        if self._device.kind == "cpu":
            return [end - start for start, end in pairs]
        if pairs:
            marks[-1].synchronize()
        return [self._device.xp.cuda.get_elapsed_time(start, end) / 1e3 for start, end in pairs]
