"""Where to compare: single elements, and directions over all inputs. Blocks of elements are in `blocks`.

Small inputs are compared element by element, and their whole Jacobian output by output.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .outcome import RELATIVE, SAFETY, Comparison, Outcome
from .problem import Arrays, Problem, contract
from .stencil import STEPS, Kink, Slope, best, curve, descend, slope

__all__ = ["Sampler", "place_of"]

_UNIT_ROUNDING = 1e-15
_MOST_ROWS = 64  # of a Jacobian
_MOST_KINKS = 100  # met before single elements are given up
_SPIKE_ELEMENTS = 8  # of each input, moved to find the step
_SPIKES = 4  # tries for a step
_CONFIRMED = 5  # wrong comparisons that are confirmed over the whole error curve; the next are believed at once
_RESOLUTION = 1e-6  # of the size of the derivatives: differences rougher than that prove nothing


class Sampler:
    """Compares one problem with its pullback, sample by sample; `outcome` collects."""

    def __init__(self, problem: Problem, rng: np.random.Generator) -> None:
        self.problem, self.rng, self.outcome = problem, rng, Outcome()
        self.outputs, self.pattern = problem.evaluate(problem.arrays)
        self.gradient = problem.pull(problem.arrays, problem.weights)
        absolute = [np.abs(u) for u in problem.weights]
        weight = sum(float(u.sum()) for u in absolute)
        self.size = contract(absolute, [np.abs(y) for y in self.outputs])
        self.floor = _UNIT_ROUNDING * weight if self.size < 100 * _UNIT_ROUNDING * weight else 0.0  # a function that is 0: 1 − 1, say
        largest_element = max((float(np.abs(g).max()) for g in self.gradient if g.size), default=0.0)
        self.zero = max(1e-12 * largest_element, 100 * self.floor)  # gradients below that are 0 but for rounding
        self.confirmed = 0
        largest, start = (1e-5, 1e-5) if self.pattern else (STEPS[0], 1e-3)  # near kinks larger steps would cross many
        for _ in range(_SPIKES):
            points = descend(problem, self._spikes(), self.pattern, start, largest)
            if isinstance(points[start], Slope):
                break  # otherwise these elements lie at a kink, and a smaller step for all would be a pity
        found = best(points)
        self.step, self.noise, self.scale = STEPS[-1], 0.0, 0.0
        if found:
            self.step, self.noise = found[0].step, found[1]
            self.scale = contract(absolute, [np.abs(d) for d in found[0].outputs])
        self.outcome.step = self.step

    def coordinates(self, most: int, jacobian: bool) -> bool:
        """Compare up to `most` elements, in random order; True if these were all. With `jacobian` every output of each."""
        total = sum(a.size for a in self.problem.arrays)
        rows = self._rows() if jacobian and total <= most else None
        for where, i, index in self._elements():
            if self.outcome.coordinates >= most or len(self.outcome.kinks) > _MOST_KINKS + most:
                break  # with so many kinks, most elements lie at one
            vector: Arrays = [None] * len(self.problem.arrays)
            vector[i] = np.zeros(self.problem.arrays[i].shape)
            vector[i][index] = 1.0
            point = self.sample(where, vector)
            if point is not None:
                self.outcome.coordinates += 1
                if rows is not None:
                    self._compare_outputs(where, point, np.array([row[i][index] for row in rows]))
        return bool(total <= most)

    def directions(self, most: int) -> None:
        """Compare along `most` directions of unit length over all inputs at once."""
        made = 0
        for i in range(4 * most):
            if made < most:
                made += self.sample(f"direction {i}", self._signs()) is not None

    def look_for_the_drowned(self) -> None:
        """Note the inputs whose gradient is not 0, but no larger than the noise of every comparison."""
        for name, g in zip(self.problem.names, self.gradient, strict=True):
            own = [c for c in self.outcome.comparisons if c.operand == name]
            size = float(np.abs(g).max(initial=0.0))
            if own and size > self.zero and all(c.noise >= max(size, abs(c.numeric)) for c in own):
                self.outcome.drowned.append(name)

    def sample(self, where: str, vector: Arrays) -> Slope | None:
        """Compare along `vector`; None if it crosses a kink, which is noted."""
        found = self.measure(where, vector, self.step)
        if isinstance(found, Kink):
            self.kink(where, found)
            return None
        self.outcome.comparisons.append(found[1])
        return found[0]

    def measure(self, where: str, vector: Arrays, step: float) -> tuple[Slope, Comparison] | Kink:
        """The derivative along `vector` both ways. What disagrees, or is rough, is measured with all steps before it counts."""
        point = slope(self.problem, vector, step, self.pattern)
        if isinstance(point, Kink):
            return point
        moved = [(g, v) for g, v in zip(self.gradient, vector, strict=True) if v is not None]
        analytic = contract([v for _, v in moved], [g for g, _ in moved])
        error = self._at_least_rounding(point, max(point.error, self.noise if step == self.step else 0.0))
        points: dict[float, Slope | Kink] = {}
        agrees = abs(point.value - analytic) <= RELATIVE * abs(analytic) + SAFETY * error
        drowned = SAFETY * error > 0.1 * max(abs(point.value), abs(analytic)) and abs(analytic) > self.zero
        if self.confirmed < _CONFIRMED and (not agrees or drowned or SAFETY * error > self._resolution()):
            points = curve(self.problem, vector, self.pattern)
            point, error = best(points) or (point, error)
            error = self._at_least_rounding(point, error)
        alone = [name for name, v in zip(self.problem.names, vector, strict=True) if v is not None]
        operand = alone[0] if len(alone) == 1 else ""
        shown = {k: p.error if isinstance(p, Slope) else None for k, p in points.items()}
        allowed = RELATIVE * abs(analytic) + SAFETY * error
        self.scale = max(self.scale, abs(point.value))
        self.outcome.resolution = self._resolution()
        self.confirmed += not abs(point.value - analytic) <= allowed
        return point, Comparison(where, point.value, analytic, allowed, shown, point.step, SAFETY * error, operand)

    def _at_least_rounding(self, point: Slope, error: float) -> float:
        """The error of `point`, where a function that is 0 shows nothing but rounding: at least that of numbers of size one."""
        return max(error, self.floor) if abs(point.value) <= SAFETY * error else error

    def _resolution(self) -> float:
        """The noise above which a comparison proves nothing: small against the derivatives met so far, against the rounding of
        the outputs, or, for a function that is 0, against that of numbers of size one."""
        return max(_RESOLUTION * max(self.scale, 0.1 * self.size), 100 * SAFETY * self.floor)

    def _rows(self) -> list[Arrays] | None:
        """The Jacobian by the rules, a row for each output; None if there are many outputs."""
        count = sum(y.size for y in self.outputs)
        if count > _MOST_ROWS:
            return None
        ends = np.cumsum([y.size for y in self.outputs])[:-1]
        rows = []
        for unit in np.eye(count):
            us = [part.reshape(y.shape) for part, y in zip(np.split(unit, ends), self.outputs, strict=True)]
            rows.append(self.problem.pull(self.problem.arrays, us))
        return rows

    def _compare_outputs(self, where: str, point: Slope, analytic: Any) -> None:
        """Compare the derivatives of all outputs by one element; the pair that differs most is kept."""
        numeric, noise = (np.concatenate([a.reshape(-1) for a in arrays]) for arrays in (point.outputs, point.noise))
        allowed = RELATIVE * np.abs(analytic) + SAFETY * (noise + self._at_least_rounding(point, max(point.error, self.noise)))
        excess = np.abs(numeric - analytic) - allowed
        j = int(np.argmax(np.where(np.isnan(excess), np.inf, excess)))
        place = f"{where} to output {j}"
        self.outcome.comparisons.append(Comparison(place, float(numeric[j]), float(analytic[j]), float(allowed[j]), step=point.step))

    def _spikes(self) -> Arrays:
        """A unit vector along a few random elements of each input."""
        vector: Arrays = []
        for a in self.problem.arrays:
            flat = np.zeros(a.size)
            chosen = self.rng.permutation(a.size)[:_SPIKE_ELEMENTS] if a.size < 10_000 else self.rng.integers(0, a.size, _SPIKE_ELEMENTS)
            flat[chosen] = self.rng.choice([-1.0, 1.0], len(chosen)) / np.sqrt(_SPIKE_ELEMENTS * len(self.problem.arrays))
            vector.append(flat.reshape(a.shape))
        return vector

    def _signs(self) -> Arrays:
        """A unit vector with ±1/√n everywhere."""
        n = sum(a.size for a in self.problem.arrays)
        return [(self.rng.integers(0, 2, a.shape) * 2.0 - 1.0) / np.sqrt(n) for a in self.problem.arrays]

    def _elements(self) -> Iterator[tuple[str, int, tuple[Any, ...]]]:
        """(name[index], input, index) of all elements, in random order."""
        ends = np.cumsum([a.size for a in self.problem.arrays])
        for position in self.rng.permutation(int(ends[-1])):
            i = int(np.searchsorted(ends, position, side="right"))
            index = np.unravel_index(int(position - (ends[i - 1] if i else 0)), self.problem.arrays[i].shape)
            yield place_of(self.problem.names[i], index), i, index

    def kink(self, where: str, kink: Kink) -> None:
        """Note a sample that was left out; another one takes its place, as long as there are others."""
        self.outcome.kinks.append(f"kink at {kink.place}, met at {where}: left out")


def place_of(name: str, index: Any) -> str:
    """Such as "x[0, 2]"."""
    return f"{name}{[int(k) for k in index]}"
