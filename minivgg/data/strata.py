"""`held_out`: which samples a part takes out of a set, class by class."""

from __future__ import annotations

import numpy as np

from ..backend.arrays import Array
from ..backend.random import stream
from ..errors import ConfigError
from .arguments import number

__all__ = ["held_out"]


def held_out(labels: Array, fraction: float, seed: int, purpose: str, what: str) -> Array:
    """A mask, bool (N,), of `fraction` of the samples of each class; labels int (N,), ≥ 0. Each class keeps a sample outside.

    Drawn from the stream (seed, purpose): the same seed gives the same mask. Raises ConfigError if the fraction is not
    between 0 and 1, under the name `what`.
    """
    fraction = number(what, fraction)
    if not 0 < fraction < 1:
        raise ConfigError(f"{what} must lie between 0 and 1, both excluded, but is {fraction}.")
    order = stream(seed, purpose).permutation(len(labels))
    held = np.zeros(len(labels), bool)
    for label in range(int(labels.max()) + 1):
        members = order[labels[order] == label]
        held[members[: max(0, min(int(fraction * len(members) + 0.5), len(members) - 1))]] = True
    return held
