"""`Draws`: the random numbers of one batch, each sample's decided by its own number in the dataset.

A purpose has one counter-based stream in an epoch, and sample k owns row k of it. Drawing the rows before it, too,
costs nanoseconds a number; a generator for each sample would cost tens of microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..backend.arrays import Array
from ..backend.random import stream

__all__ = ["Draws"]


@dataclass(frozen=True, eq=False)
class Draws:
    """Where the transforms of a batch get their randomness from.

    What sample k draws in epoch e for a purpose depends on (seed, purpose, e, k) alone, whatever batch it is in,
    whichever worker prepares it, and whether or not the run was resumed. `indices` int (B,) are the samples' numbers in
    the dataset. With `training` false there is no randomness, and `uniform` is not to be called.
    """

    seed: int
    epoch: int
    indices: Array
    training: bool = True
    occurrence: int = 0

    def uniform(self, purpose: str, count: int) -> Array:
        """`count` numbers in [0, 1) for each sample, float64 (B, count). One purpose always takes the same `count`."""
        if self.occurrence:
            purpose = f"{purpose}.{self.occurrence}"
        rows = int(self.indices.max(initial=-1)) + 1
        return stream(self.seed, purpose, self.epoch).random((rows, count))[self.indices]

    def nth(self, occurrence: int) -> Draws:
        """The same draws for the transform that is the `occurrence`-th of its kind, so that two do not draw alike."""
        return replace(self, occurrence=occurrence)

    def of(self, position: int) -> Draws:
        """The draws of the batch's sample at `position` alone."""
        return replace(self, indices=self.indices[position : position + 1])
