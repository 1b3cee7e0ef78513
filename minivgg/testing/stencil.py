"""Finite differences of a scalar function, along coordinates and directions, against its gradient.

The five-point stencil (f(−2h) − 8f(−h) + 8f(h) − f(2h)) / 12h has an error of h⁴f⁽⁵⁾/30, so that with h = 1e-5 in
float64 only rounding is left, about 1e-16·|f|/h. Directions have unit length: a longer step would cross kinks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .kinks import Pattern, first_difference

__all__ = ["Comparison", "Problem", "compare", "step"]

_STENCIL = ((-2, 1 / 12), (-1, -8 / 12), (1, 8 / 12), (2, -1 / 12))
_RELATIVE, _ABSOLUTE = 1e-6, 1e-8
step = 1e-5

Arrays = list[Any]


@dataclass(frozen=True)
class Comparison:
    """A derivative twice: by finite differences and by the rules. `where` names the coordinate or the direction."""

    where: str
    numeric: float
    analytic: float

    @property
    def ok(self) -> bool:
        """|numeric − analytic| ≤ 1e-6·|analytic| + 1e-8; false for NaN."""
        return bool(abs(self.numeric - self.analytic) <= _RELATIVE * abs(self.analytic) + _ABSOLUTE)

    @property
    def error(self) -> float:
        """|numeric − analytic| as a multiple of what is allowed; infinite for NaN."""
        ratio = abs(self.numeric - self.analytic) / (_RELATIVE * abs(self.analytic) + _ABSOLUTE)
        return float("inf") if np.isnan(ratio) else float(ratio)


@dataclass(frozen=True)
class Problem:
    """A scalar function of float64 arrays: `value` gives it with its kink pattern, `gradient` its gradients."""

    names: Sequence[str]
    arrays: Arrays
    value: Callable[[Arrays], tuple[float, Pattern]]
    gradient: Callable[[Arrays], Arrays]


@dataclass
class Outcome:
    """Comparisons made, and the kinks that were met on the way (each was replaced by another sample)."""

    comparisons: list[Comparison] = field(default_factory=list)
    kinks: list[str] = field(default_factory=list)


def compare(problem: Problem, rng: np.random.Generator, coordinates: int, directions: int) -> Outcome:
    """Compare at up to `coordinates` random coordinates (all of them if there are no more) and in `directions`.

    A sample that crosses a kink is noted and replaced, as long as there are others.
    """
    outcome = Outcome()
    gradient = problem.gradient(problem.arrays)
    centre = problem.value(problem.arrays)[1]
    total = sum(array.size for array in problem.arrays)
    made = 0
    for where, flat in _coordinates(problem, rng.permutation(total)):
        if made == coordinates:
            break
        made += _probe(problem, where, flat, gradient, centre, outcome)
    made = 0
    for i in range(4 * directions if total else 0):
        if made == directions:
            break
        vectors = [rng.standard_normal(array.shape) for array in problem.arrays]
        length = np.sqrt(sum(float((v * v).sum()) for v in vectors))
        made += _probe(problem, f"direction {i}", [v / length for v in vectors], gradient, centre, outcome)
    return outcome


def _coordinates(problem: Problem, order: Any) -> Iterator[tuple[str, Arrays]]:
    """(name[index], unit vector) for each flat position in `order`."""
    ends = np.cumsum([array.size for array in problem.arrays])
    for position in order:
        i = int(np.searchsorted(ends, position, side="right"))
        index = np.unravel_index(int(position - (ends[i - 1] if i else 0)), problem.arrays[i].shape)
        unit: Arrays = [np.zeros(()) for _ in problem.arrays]
        unit[i] = np.zeros(problem.arrays[i].shape)
        unit[i][index] = 1.0
        yield f"{problem.names[i]}{[int(k) for k in index]}", unit


def _probe(problem: Problem, where: str, vector: Arrays, gradient: Arrays, centre: Pattern, outcome: Outcome) -> bool:
    """Compare along `vector`; False if that crossed a kink."""
    numeric = 0.0
    for k, weight in _STENCIL:
        value, pattern = problem.value(
            [array + k * step * v if v.ndim == array.ndim else array for array, v in zip(problem.arrays, vector, strict=True)]
        )
        crossed = first_difference(centre, pattern)
        if crossed is not None:
            outcome.kinks.append(f"{where} crosses a kink at {crossed}")
            return False
        numeric += weight * value / step
    analytic = sum(float((g * v).sum()) for g, v in zip(gradient, vector, strict=True))
    outcome.comparisons.append(Comparison(where, numeric, analytic))
    return True
