"""Opponents in turn, round by round, in one process: what drifts, drifts for all of them, and their ratio stays."""

from __future__ import annotations

import gc
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

__all__ = ["Ratio", "Run", "Stopwatch", "Times", "alternate", "faults_of_this_process", "ratio"]

Run = Callable[[int], None]  # does so many steps


class Stopwatch:
    """A clock that can be stopped: `with stopwatch.paused(): …` is not counted."""

    def __init__(self) -> None:
        self._left_out = 0.0

    def __call__(self) -> float:
        """Seconds that were counted."""
        return time.perf_counter() - self._left_out

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stand still for the duration of the block."""
        start = time.perf_counter()
        yield
        self._left_out += time.perf_counter() - start


class Times(NamedTuple):
    """Of each round: seconds a step, and minor page faults a step."""

    seconds: list[float]
    faults: list[float]


class Ratio(NamedTuple):
    """The median of the rounds' ratios and their spread."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.least:.2f}–{self.most:.2f})"


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> Ratio:
    """Their time / ours, round by round: above 1, ours is faster."""
    ratios = [t / o for t, o in zip(theirs, ours, strict=True)]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios))


def faults_of_this_process() -> int:
    """Minor page faults so far: pages that the system had to map."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def alternate(
    runs: Mapping[str, Run],
    rounds: int,
    steps: int,
    warm_up: int = 2,
    between: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
    pause: float = 0.1,
) -> dict[str, Times]:
    """Each opponent's times. Every second round goes backwards, so that nobody always runs after the same neighbour.

    Each is warmed up with `warm_up` steps, garbage is collected outside the time, and `between` is called before each round.
    `pause` seconds before each turn let the others' thread pools, which spin for a while, fall asleep.
    """
    times = {name: Times([], []) for name in runs}
    for run in runs.values():
        if warm_up:
            run(warm_up)
    for number in range(rounds):
        between()
        for name in list(runs) if number % 2 == 0 else reversed(list(runs)):
            gc.collect()
            time.sleep(pause)
            faults, start = faults_of_this_process(), clock()
            runs[name](steps)
            seconds = clock() - start
            times[name].seconds.append(seconds / steps)
            times[name].faults.append((faults_of_this_process() - faults) / steps)
    return times
