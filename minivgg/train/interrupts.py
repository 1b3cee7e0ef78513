"""Ctrl-C and SIGTERM: finish the step, save, and then stop."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

__all__ = ["Interrupted", "Interrupts"]


class Interrupted(BaseException):
    """A signal asked the run to stop. `exit_code` is 130 after SIGINT, 143 after SIGTERM; no `except Exception` catches this."""

    def __init__(self, signum: int, what: str) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}: {what}")
        self.exit_code = 128 + signum


class Interrupts:
    """`with Interrupts() as interrupts:` turns the first signal into `interrupts.received`.

    A second one raises Interrupted at once, wherever the program is: files are written in one step, so that it
    loses at most the newest checkpoint. Outside the main thread, where Python allows no handlers, this does nothing.
    """

    received = 0  # the signal's number

    def __enter__(self) -> Self:
        self._before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for signum in (signal.SIGINT, signal.SIGTERM):
                self._before[signum] = signal.signal(signum, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self.received:
            raise Interrupted(self.received, "the second signal, so nothing more was saved")
        self.received = signum
