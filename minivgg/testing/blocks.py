"""Blocks: all elements of a large input are compared, many at a time, and no single wrong one can hide.

Along v = (±1, …, ±1)/√n over a block of n elements all elements of v have the same size, so an error of δ in one element
shows as δ/√n, whatever the signs. With Gaussian directions it can be hidden by chance, which is how one wrong element of
a large weight gets past other checkers. Only an error smaller than what the comparison allows, times √n, is missed. Blocks
are halved until at most a share `miss` of all elements is so small that losing or doubling it would be missed. A block that
disagrees is halved further, down to the wrong element.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from .outcome import Comparison
from .problem import Arrays
from .sampling import Sampler, place_of
from .stencil import STEPS, Kink, best, descend

__all__ = ["compare_blocks"]

_LARGEST_BLOCK = 1 << 16
_MOST_BLOCKS = 128  # of one problem
_LOCATED = 3  # wrong blocks that are searched for the wrong element


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


def compare_blocks(sampler: Sampler, miss: float) -> None:
    """Compare all elements in blocks, in smaller ones until at most a share `miss` could hide an error of its own size."""
    _Blocks(sampler).compare(miss)


class _Blocks:
    """The blocks of one problem; comparisons go to the sampler's outcome."""

    def __init__(self, sampler: Sampler) -> None:
        self.sampler, self.problem, self.outcome = sampler, sampler.problem, sampler.outcome

    def compare(self, miss: float) -> None:
        """Compare all elements in blocks, in smaller ones until at most a share `miss` could hide an error of its own size."""
        done: list[tuple[int, Block]] = []  # (elements that could hide, block)
        waiting = [block for i, a in enumerate(self.problem.arrays) for block in self._cut(i, a.size)]
        total = max(sum(int((np.abs(g) > self.sampler.zero).sum()) for g in self.sampler.gradient), 1)
        steps: dict[int, float] = {}
        located = 0
        while waiting:
            for block in waiting:
                comparison = self._measure_block(block, steps.get(block.i, self.sampler.step))
                if block.i not in steps and self._hidden(block, comparison) > miss * len(block.signs):
                    steps[block.i] = self._better_step(block)
                    comparison = self._measure_block(block, steps[block.i])
                if isinstance(comparison, Kink):
                    self.sampler.kink(self._name(block), comparison)
                else:
                    self.outcome.comparisons.append(comparison)
                    if not comparison.ok and located < _LOCATED:
                        located += 1
                        self._locate(block, comparison.step)
                done.append((self._hidden(block, comparison), block))
            waiting = []
            done.sort(key=lambda pair: pair[0])
            more = len(done) < _MOST_BLOCKS and len(done[-1][1].signs) > 1 and not self.outcome.wrong
            if more and sum(n for n, _ in done) > miss * total:
                waiting = list(done.pop()[1].halves())
        self.outcome.missed = sum(n for n, _ in done) / total

    def _cut(self, i: int, size: int) -> list[Block]:
        """The blocks of input i to begin with."""
        signs = self.sampler.rng.integers(0, 2, size) * 2.0 - 1.0
        count = -(-size // _LARGEST_BLOCK)
        ends = [size * k // max(count, 1) for k in range(count + 1)]
        return [Block(i, a, b, signs[a:b]) for a, b in pairwise(ends)]

    def _vector(self, block: Block) -> Arrays:
        vector: Arrays = [None] * len(self.problem.arrays)
        flat = np.zeros(self.problem.arrays[block.i].size)
        flat[block.start : block.stop] = block.signs / np.sqrt(len(block.signs))
        vector[block.i] = flat.reshape(self.problem.arrays[block.i].shape)
        return vector

    def _measure_block(self, block: Block, step: float) -> Comparison | Kink:
        """The comparison over a block, with `step` or the next smaller one that crosses no kink; the last kink if all do."""
        kink = Kink("")
        for smaller in STEPS[STEPS.index(step) :]:
            measured = self.sampler.measure(self._name(block), self._vector(block), smaller)
            if not isinstance(measured, Kink):
                return measured[1]
            kink = measured
        return kink

    def _better_step(self, block: Block) -> float:
        """The best step for blocks of this input: they move each element less than a single one is moved."""
        found = best(descend(self.problem, self._vector(block), self.sampler.pattern, self.sampler.step, STEPS[0]))
        return found[0].step if found else self.sampler.step

    def _name(self, block: Block) -> str:
        return f"{self.problem.names[block.i]} elements {block.start} to {block.stop - 1}"

    def _hidden(self, block: Block, comparison: Comparison | Kink) -> int:
        """How many elements of the block could be lost or doubled without a disagreement."""
        g = np.abs(self.sampler.gradient[block.i].reshape(-1)[block.start : block.stop])
        reach = np.inf
        if isinstance(comparison, Comparison):
            reach = (comparison.allowed + abs(comparison.numeric - comparison.analytic)) * np.sqrt(len(block.signs))
        return int(((g > self.sampler.zero) & (g <= reach)).sum())

    def _locate(self, block: Block, step: float) -> None:
        """Halve a block that disagrees until one wrong element is left, and compare that."""
        while len(block.signs) > 1:
            left, right = block.halves()
            comparison = self._measure_block(left, step)
            block = left if isinstance(comparison, Comparison) and not comparison.ok else right
        index = np.unravel_index(block.start, self.problem.arrays[block.i].shape)
        self.sampler.sample(place_of(self.problem.names[block.i], index), self._vector(replace(block, signs=np.ones(1))))
