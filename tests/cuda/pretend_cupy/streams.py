"""Streams and events of the pretend CuPy, as late or as early as a card may be.

What is computed on the current stream is done at once. A copy on another stream is done as late as it may be, when somebody waits for
an event behind it: a host buffer that is refilled too soon then gives wrong data, and so does a device buffer that is read before its
event. With `early[0] = True` it is done when it is given, unless it must wait: so a device buffer that is filled too soon gives wrong
data, too. A copy into memory that the current stream may still be reading is refused.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from minivgg.testing import pretend

__all__ = [
    "Event", "Stream", "alloc_pinned_memory", "begin", "early", "get_current_stream", "get_elapsed_time", "milliseconds", "pinned", "waits",
]  # fmt: skip

early = [False]
waits = [0]  # how often the host waited for an event that was not done
milliseconds = [0.0]  # the card's clock: one passes between two events that are timed
pinned: list[int] = []  # bytes of each allocation of pinned memory

_lock = threading.RLock()


class Stream:
    """`Stream(non_blocking=True)`: what is put on it happens in order."""

    def __init__(self, null: bool = False, non_blocking: bool = False) -> None:
        assert null or non_blocking, "a stream that blocks the default stream serialises copies and computation"
        self.null = null
        self.tasks: deque[Callable[[], None]] = deque()
        self.given = self.done_tasks = 0
        self.heard = -1  # the latest event of the current stream that this one waits for

    def later(self, task: Callable[[], None], target: Any) -> None:
        """Put a copy into `target`, an array's memory, on the stream."""
        with _lock:
            if self.heard <= _reading.get(_place(target), -1):
                raise RuntimeError("a copy into memory that the current stream may still be reading: wait for its event first.")
            self.tasks.append(task)
            self.given += 1
            _copies[_place(target)] = (self, self.given)
            if early[0]:
                self.run(self.given)

    def run(self, until: int) -> None:
        """Do what was given, up to task number `until`."""
        with _lock:
            while self.done_tasks < until:
                self.tasks.popleft()()
                self.done_tasks += 1

    def wait_event(self, event: Event) -> None:
        """What comes later on this stream comes after the event."""
        with _lock:
            if event.stream is not None:
                event.stream.run(event.position)
                if event.stream.null:
                    self.heard = max(self.heard, event.number)
                elif self.null:
                    for place, (stream, position) in list(_copies.items()):
                        if stream is event.stream and position <= event.position:
                            _reading[place] = _recorded[0]
                            del _copies[place]

    def record(self, event: Event | None = None) -> Event:
        """An event behind all that was given."""
        event = event or Event()
        event.record(self)
        return event

    def synchronize(self) -> None:
        """The host waits for everything."""
        pretend._wait()
        self.run(self.given)


class Event:
    """A place in a stream."""

    def __init__(self, block: bool = False, disable_timing: bool = False) -> None:
        self.stream: Stream | None = None
        self.position, self.number, self.timed, self.time = 0, -1, not disable_timing, 0.0

    def record(self, stream: Stream | None = None) -> None:
        """Behind all that was given to the stream."""
        with _lock:
            self.stream = stream or get_current_stream()
            self.position = self.stream.given
            _recorded[0] += 1
            self.number = _recorded[0]
            if self.timed:
                milliseconds[0] += 1.0
                self.time = milliseconds[0]

    @property
    def done(self) -> bool:
        """Whether everything before it is done; of an event that was never recorded, True."""
        return self.stream is None or self.stream.done_tasks >= self.position

    def synchronize(self) -> None:
        """The host waits, which is counted if there is something to wait for."""
        with _lock:
            if not self.done:
                waits[0] += 1
                assert self.stream is not None
                self.stream.run(self.position)


def get_elapsed_time(start: Event, end: Event) -> float:
    """Milliseconds between two events that are timed and done."""
    assert start.timed and end.timed and start.stream is not None and end.stream is not None, "events that are not timed"
    assert start.done and end.done, "events that are not done"
    return end.time - start.time


def get_current_stream() -> Stream:
    """The default stream."""
    return _default


def alloc_pinned_memory(size: int) -> memoryview:
    """A buffer of `size` bytes or more, of which nothing may be expected."""
    pinned.append(size)
    return memoryview(bytearray(b"\xab" * (-(-size // 512) * 512)))


def begin() -> None:
    """As in a fresh process: copies are late, nothing was counted."""
    early[0], waits[0], milliseconds[0] = False, 0, 0.0
    for memory in (pinned, _copies, _reading):
        memory.clear()


def _place(values: np.ndarray[Any, Any]) -> int:
    return int(values.__array_interface__["data"][0])


_default = Stream(null=True)
_recorded = [0]
_copies: dict[int, tuple[Stream, int]] = {}  # address → the copy that will fill it
_reading: dict[int, int] = {}  # address → the number of the last event before the current stream was given what is there
