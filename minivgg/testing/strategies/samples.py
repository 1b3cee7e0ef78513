"""Numbers for drawn arrays: from a seed, rounded to three decimals, away from kinks where that matters.

Hypothesis draws a shape and a seed; the numbers follow from the seed. So drawing is fast whatever the size, and three
decimals print as themselves: a failure can be pasted with exactly its values.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...backend.random import stream
from ...errors import ConfigError

__all__ = ["apart", "booleans", "uniform"]

Array = Any  # numpy.ndarray
Shape = tuple[int, ...]


def uniform(seed: int, key: str, shape: Shape, low: float = -2.0, high: float = 2.0) -> Array:
    """float64 numbers of three decimals in [low, high], from the stream of (seed, key)."""
    return np.asarray(np.round(stream(seed, "strategies", key).uniform(low, high, shape), 3))


def booleans(seed: int, key: str, shape: Shape) -> Array:
    """True and False, one as likely as the other."""
    return np.asarray(stream(seed, "strategies", key).random(shape) < 0.5)


def apart(seed: int, key: str, shape: Shape, low: float = -2.0, high: float = 2.0, gap: float = 0.02, margin: float | None = None) -> Array:
    """float64 numbers of three decimals in [low, high], at least `gap` from each other and `margin` (or `gap`) from 0.

    So a step shorter than gap / 2 changes no sign and no order: ReLU, maxima and pooling are smooth around. Raises
    ConfigError if so many numbers do not fit.
    """
    rng, size = stream(seed, "strategies", key), math.prod(shape)
    step = math.ceil(gap * 1000) + 1
    cell = step + step // 2  # each number lies in the lower part of a cell of its own
    near = math.ceil((gap if margin is None else margin) * 1000) + 1
    bottom, top = math.ceil(low * 1000), math.floor(high * 1000)
    upper = np.arange(max(near, bottom), top - step // 2 + 1, cell)
    lower = np.arange(max(near, -top), -bottom - step // 2 + 1, cell)
    places = np.concatenate([upper, -lower])
    if len(places) < size:
        raise ConfigError(
            f"{size} numbers at least {gap} apart do not fit between {low} and {high}: {len(places)} do. Use a smaller shape or gap."
        )
    chosen = rng.permutation(places)[:size]
    return ((chosen + np.sign(chosen) * rng.integers(0, step // 2 + 1, size)) / 1000).reshape(shape)
