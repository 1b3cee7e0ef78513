"""`Draws`: the random numbers of one batch, each sample's decided by its own number in the dataset.

A purpose has one counter-based stream in an epoch, and sample k owns row k of it. Where the rows before it are few, they are
drawn, too: that costs 6 ns a number. Otherwise the stream is moved to the row, which costs as much as 1,000 numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..backend.arrays import Array
from ..backend.random import stream

__all__ = ["Draws"]

_JUMP = 1000  # numbers that could be drawn in the time of moving a stream
_BLOCK = 4  # numbers that Philox makes at a time; a stream moves by whole blocks


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
        generator = stream(self.seed, purpose, self.epoch)
        if rows * count <= _JUMP * len(self.indices):
            return generator.random((rows, count))[self.indices]
        return _rows(generator, self.indices, count)

    def nth(self, occurrence: int) -> Draws:
        """The same draws for the transform that is the `occurrence`-th of its kind, so that two do not draw alike."""
        return replace(self, occurrence=occurrence)

    def of(self, position: int, count: int = 1) -> Draws:
        """The draws of the batch's sample at `position` alone, or of `count` from there on."""
        return replace(self, indices=self.indices[position : position + count])


def _rows(generator: np.random.Generator, indices: Array, count: int) -> Array:
    """What `generator.random((rows, count))[indices]` would be of a new generator, without the rows in between."""
    out = np.empty((len(indices), count))
    place = 0  # in blocks
    for row, index in zip(out, indices.tolist(), strict=True):
        block, before = divmod(index * count, _BLOCK)
        generator.bit_generator.advance((block - place) % (1 << 256))  # type: ignore[attr-defined]  # every Philox has it; backwards is around
        row[:] = generator.random(before + count)[before:]
        place = block + -(-(before + count) // _BLOCK)
    return out
