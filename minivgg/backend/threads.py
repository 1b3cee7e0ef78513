"""The thread pool: one, for kernels and updates.

A kernel cuts its work into parts and calls `run(function, parts)`. Two rules make results independent of the number of
threads, bit by bit: how work is cut depends on shapes alone, and parts that are summed are summed by the caller, in the
order of the parts. Threads only decide who computes a part, and when.

NumPy and BLAS let go of Python's lock while they work, so that threads help. BLAS itself is held to one thread
meanwhile: two pools would get into each other's way, and BLAS may sum in another order on another number of threads.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from .device import threads

__all__ = ["run", "split"]

Part = TypeVar("Part")


class _Job:
    """Parts of one `run`, taken by whoever is free."""

    def __init__(self, function: Callable[[Any], Any], parts: Sequence[Any]) -> None:
        self.function, self.parts = function, parts
        self.results: list[Any] = [None] * len(parts)
        self.errors: dict[int, BaseException] = {}
        self._next = itertools.count()  # its next() is atomic

    def work(self) -> None:
        """Take parts until none is left."""
        while (i := next(self._next)) < len(self.parts):
            try:
                self.results[i] = self.function(self.parts[i])
            except BaseException as error:
                self.errors[i] = error


class _Worker(threading.Thread):
    """A thread that waits for a job, helps with it, and says when it has stopped. Both signals are locks that one
    thread takes and the other gives back."""

    def __init__(self) -> None:
        super().__init__(daemon=True, name="minivgg kernels")
        self.job: _Job | None = None
        self.begin, self.done = threading.Lock(), threading.Lock()
        self.begin.acquire()
        self.done.acquire()
        self.start()

    def run(self) -> None:
        """Serve for ever."""
        _local.busy = True
        np.seterr(all="ignore")
        while True:
            self.begin.acquire()
            assert self.job is not None
            self.job.work()
            self.job = None
            self.done.release()


class _Local(threading.local):
    busy = False  # inside a part already: nested work is done on the spot


_local = _Local()
_lock = threading.Lock()  # one job at a time; a second thread that comes meanwhile works alone
_workers: list[_Worker] = []


class _Blas:
    """BLAS on one thread while anybody is inside: the first to enter sets it, the last to leave restores it."""

    def __init__(self) -> None:
        self.lock, self.inside = threading.Lock(), 0
        self.libraries: list[Any] | None = None
        self.before: list[int] = []

    def __enter__(self) -> None:
        with self.lock:
            self.inside += 1
            if self.inside == 1:
                if self.libraries is None:
                    import threadpoolctl

                    self.libraries = threadpoolctl.ThreadpoolController().select(user_api="blas").lib_controllers
                self.before = [library.get_num_threads() for library in self.libraries]
                self._set([1] * len(self.before))

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                self._set(self.before)

    def _set(self, numbers: list[int]) -> None:
        for library, number, before in zip(self.libraries or (), numbers, self.before, strict=True):
            if before != 1:
                library.set_num_threads(number)


_blas = _Blas()


def _forget() -> None:
    """In a forked child there are no threads, and locks may be held by ones that are gone: begin anew."""
    global _lock, _blas
    _lock, _blas = threading.Lock(), _Blas()
    _workers.clear()
    _local.busy = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def run(function: Callable[[Part], Any], parts: Sequence[Part]) -> list[Any]:
    """[function(part), …] in the order of the parts, on up to `threads()` threads.

    NumPy's floating-point warnings are off meanwhile: whoever wants to know of NaN and Inf looks at the result (`mode.check_finite`).
    If parts raise, the error of the earliest one is raised. Inside a part, or while another thread uses the pool, the parts
    run one after the other on the calling thread: the same results.
    """
    if _local.busy:
        return [function(part) for part in parts]
    helpers = min(threads(), len(parts)) - 1
    with _blas, np.errstate(all="ignore"):
        if helpers < 1 or not _lock.acquire(blocking=False):
            _local.busy = True
            try:
                return [function(part) for part in parts]
            finally:
                _local.busy = False
        try:
            return _together(_Job(function, parts), helpers)
        finally:
            _lock.release()


def _together(job: _Job, helpers: int) -> list[Any]:
    while len(_workers) < helpers:
        _workers.append(_Worker())
    _local.busy = True
    try:
        for worker in _workers[:helpers]:
            worker.job = job
            worker.begin.release()
        job.work()
        for worker in _workers[:helpers]:
            worker.done.acquire()
    except BaseException:  # Ctrl-C: whoever still works is left to it, and never asked again
        _workers.clear()
        raise
    finally:
        _local.busy = False
    if job.errors:
        raise job.errors[min(job.errors)]
    return job.results


def split(count: int, size: int) -> list[slice]:
    """0..count cut into equal parts of about `size`: 1 if that is half of it or less, else 2, 4, 8, 16, 24, … parts.

    Such numbers share out evenly among 2, 4 or 8 threads.
    """
    wanted = count / max(size, 1)
    number = 1 if wanted <= 0.5 else 2 if wanted < 3 else 4 if wanted < 6 else 8 * max(round(wanted / 8), 1)
    bounds = [count * i // number for i in range(number + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(bounds) if stop > start]
