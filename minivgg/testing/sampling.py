"""Where to compare: single elements, blocks of elements with random signs, and directions over all inputs.

Small inputs are compared element by element, and their whole Jacobian output by output. Of large inputs some elements
are compared one by one, and all of them in blocks: along v = (±1, …, ±1)/√n over a block of n elements. All elements of
v have the same size, so a single wrong element cannot hide by chance: an error of δ shows as δ/√n. With Gaussian
directions it can, which is how one wrong element of a large weight gets past other checkers. Only an error smaller than
what the comparison allows, times √n, is missed. Blocks are halved until at most a share `miss` of all elements is so small
that losing or doubling it would be missed. A block that disagrees is halved further, down to the wrong element.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from .outcome import RELATIVE, SAFETY, Comparison, Outcome
from .problem import Arrays, Problem, contract
from .stencil import STEPS, Kink, Slope, best, curve, descend, slope

__all__ = ["Sampler"]

_LARGEST_BLOCK = 1 << 16
_MOST_BLOCKS = 128  # of one problem
_MOST_ROWS = 64  # of a Jacobian
_LOCATED = 3  # wrong blocks that are searched for the wrong element
_MOST_KINKS = 100  # met before single elements are given up
_SPIKES = 4  # tries for a step
_APPEALS = 5  # comparisons that are repeated over the whole error curve before they count as wrong
_RESOLUTION = 1e-6  # of the size of the derivatives: differences rougher than that prove nothing


@dataclass(frozen=True)
class Block:
    """Elements start … stop − 1 of input i, in row-major order, each moved by ±1/√n."""

    i: int
    start: int
    stop: int
    signs: Any

    def halves(self) -> tuple[Block, Block]:
        """The two halves, with the same signs."""
        middle = (self.stop - self.start) // 2
        left = Block(self.i, self.start, self.start + middle, self.signs[:middle])
        return left, Block(self.i, self.start + middle, self.stop, self.signs[middle:])


class Sampler:
    """Compares one problem with its pullback, sample by sample; `outcome` collects."""

    def __init__(self, problem: Problem, rng: np.random.Generator) -> None:
        self.problem, self.rng, self.outcome = problem, rng, Outcome()
        self.outputs, self.pattern = problem.evaluate(problem.arrays)
        self.gradient = problem.pull(problem.arrays, problem.weights)
        absolute = [np.abs(u) for u in problem.weights]
        self.size = contract(absolute, [np.abs(y) for y in self.outputs])
        self.zero = 1e-12 * max((float(np.abs(g).max()) for g in self.gradient if g.size), default=0.0)  # but for rounding
        self.appeals = 0
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
            if self.outcome.coordinates == most or len(self.outcome.kinks) > _MOST_KINKS + most:
                break  # with so many kinks, most elements lie at one
            vector: Arrays = [None] * len(self.problem.arrays)
            vector[i] = np.zeros(self.problem.arrays[i].shape)
            vector[i][index] = 1.0
            point = self._sample(where, vector)
            if point is not None:
                self.outcome.coordinates += 1
                if rows is not None:
                    self._compare_outputs(where, point, np.array([row[i][index] for row in rows]))
        return bool(total <= most)

    def blocks(self, miss: float) -> None:
        """Compare all elements in blocks, in smaller ones until at most a share `miss` could hide an error of its own size."""
        done: list[tuple[int, Block]] = []  # (elements that could hide, block)
        waiting = [block for i, a in enumerate(self.problem.arrays) for block in self._cut(i, a.size)]
        total = max(sum(int((np.abs(g) > self.zero).sum()) for g in self.gradient), 1)
        steps: dict[int, float] = {}
        located = 0
        while waiting:
            for block in waiting:
                comparison = self._measure_block(block, steps.get(block.i, self.step))
                if block.i not in steps and self._hidden(block, comparison) > miss * len(block.signs):
                    steps[block.i] = self._better_step(block)
                    comparison = self._measure_block(block, steps[block.i])
                if comparison is None:
                    self._kink(self._name(block), Kink("every step"))
                else:
                    self.outcome.comparisons.append(comparison)
                    if not comparison.agrees and located < _LOCATED:
                        located += 1
                        self._locate(block, comparison.step)
                done.append((self._hidden(block, comparison), block))
            waiting = []
            done.sort(key=lambda pair: pair[0])
            more = len(done) < _MOST_BLOCKS and len(done[-1][1].signs) > 1 and not self.outcome.wrong
            if more and sum(n for n, _ in done) > miss * total:
                waiting = list(done.pop()[1].halves())
        self.outcome.missed = sum(n for n, _ in done) / total

    def directions(self, most: int) -> None:
        """Compare along `most` directions of unit length over all inputs at once."""
        made = 0
        for i in range(4 * most):
            if made < most:
                made += self._sample(f"direction {i}", self._signs()) is not None

    def _sample(self, where: str, vector: Arrays) -> Slope | None:
        """Compare along `vector`; None if it crosses a kink, which is noted."""
        found = self._measure(where, vector, self.step)
        if isinstance(found, Kink):
            self._kink(where, found)
            return None
        self.outcome.comparisons.append(found[1])
        return found[0]

    def _measure(self, where: str, vector: Arrays, step: float) -> tuple[Slope, Comparison] | Kink:
        """The derivative along `vector` both ways. What disagrees, or is rough, is measured with all steps before it counts."""
        point = slope(self.problem, vector, step, self.pattern)
        if isinstance(point, Kink):
            return point
        moved = [(g, v) for g, v in zip(self.gradient, vector, strict=True) if v is not None]
        analytic = contract([v for _, v in moved], [g for g, _ in moved])
        error = max(point.error, self.noise if step == self.step else 0.0)
        points: dict[float, Slope | Kink] = {}
        if not abs(point.value - analytic) <= RELATIVE * abs(analytic) + SAFETY * error or self._rough(error):
            self.appeals += 1
            if self.appeals <= _APPEALS:
                points = curve(self.problem, vector, self.pattern)
                point, error = best(points) or (point, error)
        alone = [name for name, v in zip(self.problem.names, vector, strict=True) if v is not None]
        operand = alone[0] if len(alone) == 1 else ""
        shown = {k: p.error if isinstance(p, Slope) else None for k, p in points.items()}
        allowed = RELATIVE * abs(analytic) + SAFETY * error
        return point, Comparison(where, point.value, analytic, allowed, shown, point.step, self._rough(error), operand)

    def _rough(self, error: float) -> bool:
        return SAFETY * error > max(_RESOLUTION * self.scale, 0.1 * _RESOLUTION * self.size)

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
        allowed = RELATIVE * np.abs(analytic) + SAFETY * (noise + max(point.error, self.noise))
        excess = np.abs(numeric - analytic) - allowed
        j = int(np.argmax(np.where(np.isnan(excess), np.inf, excess)))
        place = f"{where} to output {j}"
        self.outcome.comparisons.append(Comparison(place, float(numeric[j]), float(analytic[j]), float(allowed[j]), step=point.step))

    def _cut(self, i: int, size: int) -> list[Block]:
        """The blocks of input i to begin with."""
        signs = self.rng.integers(0, 2, size) * 2.0 - 1.0
        count = -(-size // _LARGEST_BLOCK)
        ends = [size * k // max(count, 1) for k in range(count + 1)]
        return [Block(i, a, b, signs[a:b]) for a, b in pairwise(ends)]

    def _vector(self, block: Block) -> Arrays:
        vector: Arrays = [None] * len(self.problem.arrays)
        flat = np.zeros(self.problem.arrays[block.i].size)
        flat[block.start : block.stop] = block.signs / np.sqrt(len(block.signs))
        vector[block.i] = flat.reshape(self.problem.arrays[block.i].shape)
        return vector

    def _measure_block(self, block: Block, step: float) -> Comparison | None:
        """The comparison over a block, with `step` or the next smaller one that crosses no kink; None if all do."""
        for smaller in STEPS[STEPS.index(step) :]:
            measured = self._measure(self._name(block), self._vector(block), smaller)
            if not isinstance(measured, Kink):
                return measured[1]
        return None

    def _better_step(self, block: Block) -> float:
        """The best step for blocks of this input: they move each element less than a single one is moved."""
        found = best(descend(self.problem, self._vector(block), self.pattern, self.step, STEPS[0]))
        return found[0].step if found else self.step

    def _name(self, block: Block) -> str:
        return f"{self.problem.names[block.i]} elements {block.start} to {block.stop - 1}"

    def _hidden(self, block: Block, comparison: Comparison | None) -> int:
        """How many elements of the block could be lost or doubled without a disagreement."""
        g = np.abs(self.gradient[block.i].reshape(-1)[block.start : block.stop])
        reach = np.inf
        if comparison is not None:
            reach = (comparison.allowed + abs(comparison.numeric - comparison.analytic)) * np.sqrt(len(block.signs))
        return int(((g > self.zero) & (g <= reach)).sum())

    def _locate(self, block: Block, step: float) -> None:
        """Halve a block that disagrees until one wrong element is left, and compare that."""
        while len(block.signs) > 1:
            left, right = block.halves()
            comparison = self._measure_block(left, step)
            block = left if comparison is not None and not comparison.agrees else right
        index = np.unravel_index(block.start, self.problem.arrays[block.i].shape)
        self._sample(_place(self.problem.names[block.i], index), self._vector(replace(block, signs=np.ones(1))))

    def _spikes(self) -> Arrays:
        """A unit vector along one random element of each input."""
        vector: Arrays = []
        for a in self.problem.arrays:
            flat = np.zeros(a.size)
            if a.size:
                flat[self.rng.integers(a.size)] = self.rng.choice([-1.0, 1.0]) / np.sqrt(len(self.problem.arrays))
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
            yield _place(self.problem.names[i], index), i, index

    def _kink(self, where: str, kink: Kink) -> None:
        self.outcome.kinks.append(f"kink at {kink.place}, met at {where}: another sample took its place")


def _place(name: str, index: Any) -> str:
    """Such as "x[0, 2]"."""
    return f"{name}{[int(k) for k in index]}"
