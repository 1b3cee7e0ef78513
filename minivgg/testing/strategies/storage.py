"""The same numbers, stored differently: arrays in drawn memory layouts."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from ...errors import ConfigError, nearest
from ..memory import layouts
from .samples import apart
from .values import draw_shape, seeds

__all__ = ["LAYOUTS", "broadcast_arrays", "draw_stored", "store", "stored"]

Array = Any  # numpy.ndarray
LAYOUTS = ("C order", "Fortran order", "channels-last", "gaps", "negative strides", "offset", "read-only")


def store(x: Array, layout: str) -> Array:
    """An array equal to x in the memory layout of that name, one of LAYOUTS; channels-last is C order below three axes.

    Raises ConfigError for an unknown name.
    """
    if layout not in LAYOUTS:
        raise ConfigError(f'layout "{layout}" is unknown: {nearest(layout, LAYOUTS)}')
    found = dict(layouts(np.asarray(x)))
    return found.get(layout, found["C order"])


def draw_stored(draw: st.DrawFn, x: Array) -> tuple[str, Array]:
    """(layout, x stored so)."""
    layout = draw(st.sampled_from(LAYOUTS))
    return layout, store(x, layout)


@st.composite
def stored(draw: st.DrawFn, x: Array) -> Array:
    """Arrays equal to x: in C order, Fortran order, channels-last, with gaps, with negative strides, at an offset, read-only."""
    return draw_stored(draw, x)[1]


@st.composite
def broadcast_arrays(draw: st.DrawFn, min_dims: int = 1, max_dims: int = 4) -> Array:
    """float64 arrays that are read-only views with one or more strides of 0: the same memory seen several times."""
    full = draw_shape(draw, max(min_dims, 1), max_dims)
    repeated = draw(st.integers(1, 2 ** len(full) - 1))
    small = tuple(1 if repeated >> i & 1 else side for i, side in enumerate(full))
    shape = tuple(max(side, 2) if repeated >> i & 1 else side for i, side in enumerate(full))
    return np.broadcast_to(apart(draw(seeds()), "broadcast", small), shape)
