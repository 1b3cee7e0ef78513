"""One derivative along one direction, by finite differences, with an estimate of its error.

The five-point stencil D(h) = (φ(−2h) − 8φ(−h) + 8φ(h) − φ(2h)) / 12h has two errors: that of the curve, h⁴φ⁽⁵⁾/30, and
rounding, about 1e-16·|φ|/h. Both are seen by doubling the step: D(2h) has sixteen times the one and half of the other,
so |D(h) − D(2h)| is about as large as the error of D(h), or larger. Over a row of steps this gives an error curve, whose
lowest point is the step to use: 1e-1 for a linear map, 1e-3 for a smooth one, 1e-5 near kinks.

The differences are taken output by output and weighted afterwards, which rounds less than differences of sums, and the
errors of all outputs are added up without cancelling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .kinks import Pattern, first_difference
from .problem import Arrays, Problem, contract

__all__ = ["STEPS", "Kink", "Slope", "best", "curve", "descend", "slope"]

STEPS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
_EXACT = 1e-10
_ROUNDING = 4 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Kink:
    """A difference that crossed a kink, or left the function's domain, at `place`."""

    place: str


@dataclass(frozen=True)
class Slope:
    """A derivative along a direction with one step: that of every output, its noise (the change when the step is doubled, and
    the rounding of the output over the step), and both for φ."""

    step: float
    outputs: Arrays
    noise: Arrays
    value: float
    error: float


def slope(problem: Problem, vector: Sequence[Any], step: float, centre: Pattern) -> Slope | Kink:
    """The derivative of the problem along `vector` (None for an input that stays), from six points up to 4·step away."""
    values = {}
    for k in (4, -4, 2, -2, 1, -1):
        at = [a if v is None else a + (k * step) * v for a, v in zip(problem.arrays, vector, strict=True)]
        try:
            outputs, pattern = problem.evaluate(at)
        except Exception as error:  # whatever the function refuses: the point itself was accepted
            return Kink(f"a point where the function raises {type(error).__name__}")
        crossed = first_difference(centre, pattern)
        if crossed is not None:
            return Kink(crossed)
        if not all(np.isfinite(y).all() for y in outputs):
            return Kink("the edge of its domain: NaN or Inf beyond")
        values[k] = outputs
    differences = {k: [up - down for up, down in zip(values[k], values[-k], strict=True)] for k in (1, 2, 4)}
    near = [(8.0 * a - b) / (12.0 * step) for a, b in zip(differences[1], differences[2], strict=True)]
    far = [(8.0 * a - b) / (24.0 * step) for a, b in zip(differences[2], differences[4], strict=True)]
    noise = [np.abs(a - b) + _ROUNDING / step * np.abs(y) for a, b, y in zip(near, far, values[1], strict=True)]
    return Slope(step, near, noise, contract(problem.weights, near), contract([np.abs(u) for u in problem.weights], noise))


def curve(problem: Problem, vector: Sequence[Any], centre: Pattern) -> dict[float, Slope | Kink]:
    """The whole error curve: step → the derivative with that step."""
    return {step: slope(problem, vector, step, centre) for step in STEPS}


def descend(problem: Problem, vector: Sequence[Any], centre: Pattern, start: float, largest: float) -> dict[float, Slope | Kink]:
    """The error curve around its lowest point, walked to from `start` by steps of ten; none above `largest`. One point is
    enough if it is as exact as anybody needs."""
    steps = [s for s in STEPS if s <= largest]
    points: dict[float, Slope | Kink] = {}

    def error(k: int) -> float:
        """The error at the k-th step; infinite at a kink, and at both ends of the row."""
        if not 0 <= k < len(steps):
            return float("inf")
        if steps[k] not in points:
            points[steps[k]] = slope(problem, vector, steps[k], centre)
        point = points[steps[k]]
        return point.error if isinstance(point, Slope) else float("inf")

    k = steps.index(start)
    while error(k) == float("inf") and k + 1 < len(steps):  # among kinks: towards smaller steps
        k += 1
    first = points[steps[k]]
    if isinstance(first, Slope) and first.error <= _EXACT * contract(
        [np.abs(u) for u in problem.weights], [np.abs(d) for d in first.outputs]
    ):
        return points
    while error(k - 1) < error(k):
        k -= 1
    while error(k + 1) < error(k):
        k += 1
    return points


def best(points: dict[float, Slope | Kink]) -> tuple[Slope, float] | None:
    """(the most exact point of a curve, its error), None if all cross kinks.

    Rounding grows as 1/h. So noise seen at a smaller step, or at the next larger one, scaled, is noise here, should two values
    agree by luck. And a larger step that jumped over a pole or a bump looks settled: smaller ones give another value.
    """
    found: tuple[Slope, float] | None = None
    for point in points.values():
        if isinstance(point, Slope):
            others = [p for p in points.values() if isinstance(p, Slope) and p.step < 11.0 * point.step]
            jumps = [abs(p.value - point.value) - 10.0 * p.error for p in others if p.step < point.step]
            error = max([*(p.error * p.step / point.step for p in others), *jumps])
            if found is None or error < found[1]:
                found = replace(point, error=error), error
    return found
