"""The time of each op of a training step, by events around it: where our step spends its time.

Around each op stand two events of the same stream. What runs between ops (gradients that are added up, dropout's draws) is in no
op: it is the rest. Ops that a rule calls are part of that rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from minivgg.autograd import core, mode
from minivgg.autograd.op import Op
from minivgg.optim import SGD

from . import ours
from .card import Place
from .rows import ROWS

__all__ = ["measure"]

Mark = tuple[str, Any, Any]
_TOP = 15


def measure(place: Place) -> Iterator[dict[str, Any]]:
    """A record for each precision of VGG-16's training row."""
    for name in place.pick(("tf32", "fp16", "fp32"), ("fp16",)):
        row = ROWS["vgg16-tf32"].miniature() if place.dry else ROWS["vgg16-tf32"]
        network = ours.Network(row.job, place, name)
        run = network.training(row.job.images(), row.job.targets())
        run(place.pick(3, 1))
        marks: list[Mark] = []
        with _marked(place, marks):
            clock = place.clock()
            clock.start()
            run(1)
            whole = clock.stop()
        spent: dict[str, float] = {}
        families: dict[str, float] = {}
        for key, start, stop in marks:
            seconds = place.cupy.cuda.get_elapsed_time(start, stop) / 1e3
            family = " ".join(key.split()[-2:])
            spent[key], families[family] = spent.get(key, 0.0) + seconds, families.get(family, 0.0) + seconds
        top = sorted(spent.items(), key=lambda item: -item[1])
        yield {
            "title": f"Ops of a step of {row.job}, {name}",
            "whole": whole,
            "ops": top[:_TOP],
            "families": sorted(families.items(), key=lambda item: -item[1]),
            "others": sum(seconds for _, seconds in top[_TOP:]),
            "rest": whole - sum(spent.values()),
        }
        del network, run
        place.tidy()


def _event(place: Place) -> Any:
    event = place.cupy.cuda.Event()
    event.record()
    return event


@contextmanager
def _marked(place: Place, marks: list[Mark]) -> Iterator[None]:
    """In this block every op's forward, every op's rules and the update leave a mark, the outermost of nested ones only."""
    inside = [False]

    def around(work: Callable[..., Any], key_of: Callable[..., str | None]) -> Callable[..., Any]:
        def marked(*arguments: Any, **options: Any) -> Any:
            key = key_of(*arguments)
            if inside[0] or key is None:
                return work(*arguments, **options)
            inside[0] = True
            start = _event(place)
            try:
                return work(*arguments, **options)
            finally:
                marks.append((key, start, _event(place)))
                inside[0] = False

        return marked

    before = Op.run, core._pull, SGD.step
    Op.run = around(before[0], lambda op, *_: f"{mode.where('')} {type(op).__name__} forward".strip())  # type: ignore[method-assign]
    core._pull = around(before[1], lambda node, *_: node.op and f"{node.layer or ''} {type(node.op).__name__} backward".strip())
    SGD.step = around(before[2], lambda *_: "SGD step")  # type: ignore[method-assign]
    try:
        yield
    finally:
        Op.run, core._pull, SGD.step = before  # type: ignore[method-assign]
