"""Every algorithm that serves, on every convolution of two VGGs: what it takes to correct `fast/cuda/choice.py`.

A line is one pass (forward with bias and ReLU, images' gradient, weights' gradient) of one convolution in one precision; "together" adds
them up, and is what one choice for a convolution decides. No image gradient is wanted of a network's first layer, so none is measured.
Each result is compared with im2col's before it is timed. Before each timing the card is given a copy that keeps it at work until the host
has handed over all launches, so that times are the card's alone.

The floor is the larger of what products and memory would take at the rates that are measured first, in the same process: the
definition's products, a quarter of them in strict float32 (Winograd's), and each operand and result moved once.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import minivgg as mv
from measuring.architecture import features
from measuring.job import Job
from minivgg.backend.precision import image_dtype, precision
from minivgg.fast.cuda import choice
from minivgg.fast.problem import Problem
from minivgg.ops.windows import Geometry

from . import ceilings
from .card import Place
from .rows import ROWS

__all__ = ["measure"]

PRECISIONS = ("fp32", "tf32", "fp16")
_BOUNDS = {"fp32": 1e-4, "tf32": 1e-2, "fp16": 1e-2}  # of the largest, between two algorithms' results
_SECONDS = 45.0
_DRAWN = 4_194_301  # a prime: arrays repeat so many drawn numbers, and no two images are alike

Row = dict[str, Any]


class Layer(NamedTuple):
    """A convolution's problem, and whether its image gradient is wanted."""

    problem: Problem
    inner: bool

    def __str__(self) -> str:
        p = self.problem
        return f"{p.c} → {p.k}, {p.size[0]}×{p.size[1]}, batch {p.n}"


def measure(place: Place) -> Iterator[dict[str, Any]]:
    """Records with more and more lines: after each layer and precision, the largest layers first, for 45 seconds."""
    ends = time.monotonic() + _SECONDS
    rates = {"copy": ceilings.copied(place)}
    rates |= {name: ceilings.product(place, name, place.pick(ceilings.SQUARE, (8, 4, 2)), "forward") for name in PRECISIONS}
    record: dict[str, Any] = {"title": "Algorithms of convolutions", "rates": rates, "convolutions": [], "notes": []}
    yield record
    busy = place.cupy.zeros((2, place.pick(1 << 28, 4)), "float32")
    for layer in _layers(place):
        for name in PRECISIONS:
            if time.monotonic() > ends:
                record["notes"].append(f"No time was left for {layer} in {name}.")
                continue
            with precision(name), mv.conv_algorithm("auto"):
                record["convolutions"] += _Measured(place, layer, name, rates, busy, record["notes"]).rows()
            place.tidy()
            yield record
    yield record


def _layers(place: Place) -> list[Layer]:
    """Each distinct one once, those with the largest images first."""
    jobs = [ROWS["vgg16-tf32"].job, ROWS["vgg11-best"].job] if not place.dry else [Job("vgg11", 32, 1, 1 / 16)]
    found = {
        Layer(Problem(job.batch, (layer.height,) * 2, layer.inputs, layer.outputs, Geometry((3, 3), padding=(1, 1))), number > 0)
        for job in jobs
        for number, layer in enumerate(features(job))
        if layer.kind == "conv"
    }
    layers = sorted(found, key=lambda layer: (-_numbers(layer.problem)[0] - _numbers(layer.problem)[2], str(layer)))
    return place.pick(layers, layers[-3:])


def _numbers(p: Problem) -> tuple[int, int, int]:
    """Of images, filters and results."""
    (h, w), (r, s) = p.size, p.output
    return p.n * h * w * p.c, p.geometry.size * p.c * p.k, p.n * r * s * p.k


class _Measured:
    """One layer in one precision."""

    def __init__(self, place: Place, layer: Layer, name: str, rates: dict[str, float], busy: Any, notes: list[str]) -> None:
        self.place, self.layer, self.name, self.rates, self.busy, self.notes = place, layer, name, rates, busy, notes
        self.dtype = image_dtype(name) or np.dtype("float32")

    def rows(self) -> list[Row]:
        """A row for each pass, and one for all of them."""
        p = self.layer.problem
        chosen, why = choice.explain(p, self.dtype)
        serving = {name: room for name, room in choice.ALGORITHMS.items() if room.serves(p, self.dtype)}
        common = {"layer": str(self.layer), "precision": self.name, "chosen": chosen, "why": why}
        rows = [
            {**common, "pass": title, "ms": self._timed(title, serving, work), "floor": self._floor()} for title, work in self._passes()
        ]
        whole = {name: sum(row["ms"][name] for row in rows) for name in serving if all(name in row["ms"] for row in rows)}
        return [*rows, {**common, "pass": "together", "ms": whole, "floor": sum(row["floor"] for row in rows)}]

    def _passes(self) -> Iterator[tuple[str, Callable[[Any], Any]]]:
        p, (h, w), (r, s) = self.layer.problem, self.layer.problem.size, self.layer.problem.output
        x, filters, gy = (
            self._drawn(seed, *shape) for seed, shape in enumerate([(p.n, h, w, p.c), (*p.geometry.kernel, p.c, p.k), (p.n, r, s, p.k)])
        )
        filters *= float((2 / (p.geometry.size * p.c)) ** 0.5)
        bias = self._drawn(3, p.k)
        yield "forward", lambda room: room.forward(x, filters, p, bias, True)
        if self.layer.inner:
            yield "images' gradient", lambda room: room.image_gradient(gy, filters, p)
        yield "weights' gradient", lambda room: room.weight_gradient(gy, x, p)

    def _drawn(self, seed: int, *shape: int) -> Any:
        """On the card, of unit variance."""
        count, xp = int(np.prod(shape)), self.place.cupy
        some = np.random.default_rng(seed).standard_normal(min(count, _DRAWN), dtype="float32")
        drawn, block = xp.empty(count, self.dtype), xp.asarray(some).astype(self.dtype)
        for start in range(0, count, len(some)):
            drawn[start : start + len(some)] = block[: count - start]
        return drawn.reshape(shape)

    def _timed(self, title: str, serving: dict[str, Any], work: Callable[[Any], Any]) -> dict[str, float]:
        """Milliseconds of each algorithm whose result is right; notes say what the others did."""
        expected, largest, found = None, 0.0, {}
        for name, room in serving.items():
            try:
                if expected is None:
                    expected = work(choice.ALGORITHMS["im2col"])
                    largest = float(abs(expected).max())
                off = float(abs(work(room).astype("float32") - expected).max()) / largest
                if not off <= _BOUNDS[self.name]:
                    raise ArithmeticError(f"off by {off:.1e} of the largest result, where {_BOUNDS[self.name]:.0e} is allowed: not timed")
                found[name] = self._milliseconds(lambda room=room: work(room))
            except Exception as error:  # one that fails must not take the others with it
                first = (str(error).splitlines() or [""])[0]
                self.notes.append(f"{name}, {self.layer}, {self.name}, {title}: {type(error).__name__}: {first}")
        return found

    def _milliseconds(self, work: Callable[[], Any]) -> float:
        found = []
        for _ in range(self.place.pick(5, 1)):
            clock = self.place.clock()
            for _ in range(2):
                self.place.cupy.copyto(self.busy[0], self.busy[1])
            clock.start()
            work()
            found.append(clock.stop() * 1e3)
        return statistics.median(found)

    def _floor(self) -> float:
        """Milliseconds of any of the passes."""
        p = self.layer.problem
        share = 0.25 if self.name == "fp32" and choice.ALGORITHMS["winograd"].serves(p, self.dtype) else 1.0
        products = share * 2 * p.multiply_adds / (self.rates[self.name] * 1e12)
        memory = sum(_numbers(p)) * self.dtype.itemsize / (self.rates["copy"] * 1e12)
        return max(products, memory) * 1e3
