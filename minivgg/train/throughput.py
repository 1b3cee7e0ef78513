"""`minivgg train --benchmark`: a few dozen steps of a run, of which nothing is written, with a clock at both ends of each.

Between the end of a step and the beginning of the next the device has nothing to do but wait for data. On a card both ends are events
on the compute stream: the end comes when the step's last kernel is done, the beginning when the batch's copy is, if that is later. So the
time between them is what the card stood still, whether the loader, the host or the copy was late. On the CPU it is what the loop
waited for the next batch.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import data
from ..backend.clock import Clock
from ..backend.precision import precision
from .build import Job, build_job
from .config import TrainConfig
from .feeding import feed
from .loop import Trainer
from .memory import explain_out_of_memory
from .metrics import Metrics
from .observer import Observer
from .plan import stages
from .progress import Progress
from .run_folder import RunFolder

__all__ = ["Throughput", "throughput"]

_ALONE = 2.0  # seconds that the loader is watched alone, if an epoch lasts as long
_WARM_UP = 5  # steps before the clock starts: kernels are compiled, memory is taken


@dataclass(frozen=True)
class Throughput:
    """`steps` steps of a run on `images` images took `seconds`, of which the device waited `waited` for data. `delivered` is how many
    images a second the loader prepares, if nothing else is done, with `workers` threads or processes."""

    steps: int
    images: int
    seconds: float
    waited: float
    device: str
    delivered: float = field(default=0.0, compare=False)
    workers: str = field(default="", compare=False)

    @property
    def waiting(self) -> float:
        """The share of the time that the device waited, in 0..1."""
        return self.waited / self.seconds

    def __str__(self) -> str:
        each, idle = (seconds / self.steps * 1e3 for seconds in (self.seconds, self.waited))
        return (
            f"{self.steps} steps on {self.device}: {self.images / self.seconds:.1f} images/s, {each:.2f} ms a step\n"
            f"{self.waiting:.1%} of the time the device waited for data ({idle:.2f} ms a step)\n"
            f"The loader alone prepares {self.delivered:.1f} images/s with {self.workers}.\n"
            "Nothing was written. Leave out --benchmark to train."
        )


def throughput(config: TrainConfig, steps: int = 40) -> Throughput:
    """Train for `steps` steps after five to warm up, through as many epochs as that takes, without validation. Nothing is written.

    Of a plan the last stage is timed, with random weights.

    Raises what training would raise in these steps.
    """
    if config.scales:
        config = dataclasses.replace(stages(config, Path(config.out))[-1].config, init_from="")
    return _Timed(build_job(config)).run_steps(steps)


class _Timed(Trainer):
    """A trainer with a clock, without a folder."""

    def __init__(self, job: Job) -> None:
        folder = RunFolder("nowhere")
        super().__init__(job, folder, Metrics(folder.path), Progress(), Observer())

    def run_steps(self, steps: int) -> Throughput:
        """As many steps, timed."""
        job, clock = self.job, Clock(self.job.device)
        marks: list[Any] = []
        images = 0
        job.model.train()
        with job.device.use(), precision(job.config.precision), explain_out_of_memory(job):
            batches = self._batches()
            try:
                for number in range(_WARM_UP + steps):
                    if number == _WARM_UP:
                        job.device.synchronize()
                        marks.append(clock.mark())
                    batch = next(batches)
                    if marks:
                        marks.append(clock.mark())
                        images += len(batch.labels)
                    self._step(batch)
                    if marks:
                        marks.append(clock.mark())
                self._guard.look(self.progress.epoch)
            finally:
                batches.close()
            times = clock.seconds(marks)
            one, more = ("process", "processes") if job.train.in_processes else ("thread", "threads")
            workers = f"{job.train.workers} {one if job.train.workers == 1 else more}"
            return Throughput(steps, images, sum(times), sum(times[::2]), str(job.device), _delivered(job.train), workers)

    def _batches(self) -> Generator[Any, None, None]:
        """The batches of one epoch after the other."""
        for epoch in itertools.count():
            self.progress.epoch, self.progress.position = epoch, 0
            yield from feed(self.job.train.epoch(epoch), self.job.device)
            self._guard.look(epoch)


def _delivered(loader: data.Loader) -> float:
    """Images a second of the loader's, with nobody using the processors but its threads or processes, which have been started."""
    images, begun = 0, time.perf_counter()
    for batch in loader.epoch(0):
        images += len(batch.labels)
        if time.perf_counter() - begun > _ALONE:
            break
    return images / (time.perf_counter() - begun)
