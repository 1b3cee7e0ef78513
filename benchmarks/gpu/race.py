"""One row: whether all compute the same, what each takes of the card's memory, and then the race, in turn, round by round."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from measuring.agreement import compare_gradients
from measuring.architecture import forward_multiply_adds, training_multiply_adds
from measuring.job import Job
from measuring.timing import Run, alternate
from minivgg.errors import GradientError

from . import ours
from .card import Place
from .rows import Row

__all__ = ["measure"]

_TURN = 0.4  # seconds that a turn is to take
_WARM_UP = 3
_BOUNDS = {"fp32": 1e-4, "tf32": 1e-2, "fp16": 3e-2, "bf16": 1e-1}  # of the full-size loss, relative to strict float32's


class _Contender:
    """A run with a clock around it."""

    def __init__(self, run: Run, clock: Any) -> None:
        self.run, self.clock = run, clock
        self.seconds: list[float] = []
        self.peak: dict[str, int] = {}

    def __call__(self, steps: int) -> None:
        self.clock.start()
        self.run(steps)
        self.seconds.append(self.clock.stop() / steps)


def measure(row: Row, place: Place) -> Iterator[dict[str, Any]]:
    """Records, each more complete than the one before: after the agreement, after the memory, after each round."""
    row = row.miniature() if place.dry else row
    peer = _peer()
    images, targets = row.job.images(), row.job.targets()
    record: dict[str, Any] = {
        "title": row.title,
        "job": dataclasses.asdict(row.job),
        "training": row.training,
        "multiply_adds": (training_multiply_adds if row.training else forward_multiply_adds)(row.job),
        "notes": _agreement(row.job, place, peer) + _losses(row, place, images, targets),
        "contenders": {},
        "failures": {},
    }
    yield record
    racers: dict[str, _Contender] = {}
    for name, make in _makers(row, place, peer, images, targets):
        try:
            racers[name] = make()
        except Exception as error:  # one that fails must not take the others with it
            record["failures"][name] = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
            place.tidy()
    for name, racer in racers.items():
        record["contenders"][name] = {"seconds": [], "wall": [], **racer.peak}
    yield record
    if not racers:
        return
    slowest = max(racer.seconds[-1] for racer in racers.values())  # the last step alone: those before it compiled kernels
    steps = place.pick(max(2, min(40, round(_TURN / slowest))), 1)
    for number in range(place.pick(6, 2)):
        names = list(racers) if number % 2 == 0 else list(reversed(racers))
        times = alternate({name: racers[name] for name in names}, rounds=1, steps=steps, warm_up=0, pause=0.0)
        for name, racer in racers.items():
            record["contenders"][name]["seconds"].append(racer.seconds[-1])
            record["contenders"][name]["wall"].append(times[name].seconds[-1])
        yield record


def _peer() -> Any:
    """The room of PyTorch, or None where it is not installed."""
    return importlib.import_module(".pytorch", __package__) if importlib.util.find_spec("torch") else None


def _agreement(job: Job, place: Place, peer: Any) -> list[str]:
    """Loss and gradients against PyTorch's in float64 on a small copy of the network. GradientError if they differ."""
    if peer is None:
        return ["PyTorch is not installed: nobody to agree with."]
    small = Job(job.model, 64 if job.size > 64 else job.size, 2, min(job.width, 0.25), job.head, job.channels, job.classes)
    small = small if not place.dry else job
    mine, other = ours.Network(small, place), peer.Network(small, place.dry)
    other.load(mine.state())
    x, labels = small.images().astype(np.float64), small.targets()
    return [compare_gradients(mine.gradients(x, labels), other.gradients(x, labels), "torch", loss_bound=1e-9, bound=1e-8)]


def _losses(row: Row, place: Place, images: Any, targets: Any) -> list[str]:
    """The loss of the whole batch in each precision against strict float32's. GradientError if it is farther away than rounding."""
    network = ours.Network(row.job, place)
    strict, said = network.loss(images, targets), []
    for name in row.precisions:
        network.name = name
        found = network.loss(images, targets)
        if not abs(found - strict) <= _BOUNDS[name] * abs(strict):
            raise GradientError(
                f"the loss in {name} is {found:.6g}, in strict float32 {strict:.6g}: more than rounding. Nothing was timed."
            )
        said.append(f"loss in {name} {found:.6g}, in strict float32 {strict:.6g}")
    del network
    place.tidy()
    return said


def _makers(row: Row, place: Place, peer: Any, images: Any, targets: Any) -> Iterator[tuple[str, Callable[[], _Contender]]]:
    """Who takes part, each with a function that builds it, warms it up and notes its peak of memory."""

    def mine(name: str) -> _Contender:
        place.tidy()
        before = place.used_bytes()
        network = ours.Network(row.job, place, name)
        racer = _Contender(network.training(images, targets) if row.training else network.inference(images), place.clock())
        racer(place.pick(_WARM_UP, 1))
        racer(1)
        racer.peak = {"reserved": place.pool_bytes() - before}
        return racer

    def theirs(name: str, form: str) -> _Contender:
        before = peer.reset(place.dry)
        network = peer.Network(row.job, place.dry, name, form)
        racer = _Contender(network.training(images, targets) if row.training else network.inference(images), peer.clock(place.dry))
        racer(place.pick(_WARM_UP, 1))
        racer(1)
        allocated, reserved = peer.peak(place.dry)
        racer.peak = {"allocated": allocated - before, "reserved": reserved - before}
        return racer

    for name in row.precisions:
        yield f"minivgg {name}", lambda name=name: mine(name)
    for name in row.precisions if peer is not None else ():
        for form in peer.FORMATS:
            yield f"torch {name} {form}", lambda name=name, form=form: theirs(name, form)
