"""What a training step costs on this machine."""

from __future__ import annotations

import statistics
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import ops, optim
from ..autograd import mode
from ..autograd.core import Tensor
from ..autograd.trace import kept_bytes
from ..backend import precision as precisions
from ..backend.clock import Clock
from ..backend.device import Device, threads
from ..backend.pool import taken

__all__ = ["StepCost", "measure"]


@dataclass(frozen=True)
class StepCost:
    """Median seconds of a training step's parts, and what it keeps. `str` is a table of it.

    `place` says what did the work; page_faults are a CPU's, `taken` the bytes that the pool took from a card; None elsewhere.
    """

    batch: int
    place: str
    forward: float
    backward: float
    update: float
    kept: int
    page_faults: float | None = None
    taken: int | None = None

    @property
    def seconds(self) -> float:
        """Of the whole step."""
        return self.forward + self.backward + self.update

    def __str__(self) -> str:
        rest = "" if self.page_faults is None else f", {self.page_faults:.0f} page faults a step"
        rest += "" if self.taken is None else f", {self.taken / 2**20:.1f} MiB of the card taken at most"
        return (
            f"{self.seconds * 1e3:.1f} ms a step of {self.batch} images on {self.place}: "
            f"{self.batch / self.seconds:.1f} images/s\n"
            f"forward {self.forward * 1e3:.1f} ms, backward {self.backward * 1e3:.1f} ms, update {self.update * 1e3:.1f} ms\n"
            f"{self.kept / 2**20:.1f} MiB kept for the backward pass{rest}"
        )


def _page_faults() -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    return int(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)


def measure(
    model: Any, shape: tuple[int, int, int, int], classes: int, steps: int = 5, device: Device | str = "cpu", precision: str = "fp32"
) -> StepCost:
    """Train `model` on random images of `shape` (N, C, H, W) for `steps` steps after two to warm up; medians.

    On a card the times are the card's own, by events. The model is moved to `device`. Raises ConfigError if it cannot compute in
    `precision`.
    """
    device = Device(device)
    with device.use(), precisions.precision(precisions.check(precision, device)):
        return _measure(model.to(device=device), shape, classes, steps, device)


def _measure(model: Any, shape: tuple[int, int, int, int], classes: int, steps: int, device: Device) -> StepCost:
    rng, clock, on_cpu = np.random.default_rng(0), Clock(device), device.kind == "cpu"
    n, c, h, w = shape
    x = Tensor(precisions.as_images(device, rng.standard_normal((n, h, w, c), dtype=np.float32).transpose(0, 3, 1, 2)))
    labels = device.asarray(rng.integers(0, classes, n))
    sgd = optim.SGD(model.named_parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4)
    marks: list[Any] = []
    faults, kept = None, 0
    for number in range(steps + 2):
        if number == 2:
            faults = _page_faults()
        start = clock.mark()
        with mode.step(number):
            loss = ops.cross_entropy(model(x), labels)
        ended = clock.mark()
        kept = kept or kept_bytes(loss)
        sgd.zero_grad()
        begin = clock.mark()
        loss.backward()
        swept = clock.mark()
        sgd.step()
        marks.append((start, ended, begin, swept, clock.mark()))
    now = _page_faults()
    times = [clock.seconds(moments) for moments in marks[2:]]
    forward, _, backward, update = (statistics.median(part) for part in zip(*times, strict=True))
    place = f"{threads()} threads" if on_cpu else f"{device} in {precisions.current()}"
    each = None if now is None or faults is None or not on_cpu else (now - faults) / steps
    return StepCost(n, place, forward, backward, update, kept, each, None if on_cpu else taken(device))
