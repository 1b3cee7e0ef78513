"""Element-wise work in blocks: all steps on a block while it is in the cache, the blocks shared out among threads.

`in_blocks(f, x, y)` is f(x, y) for an f that works in place, element by element. On NumPy arrays that lie in memory alike, f is called for
some ten thousand elements at a time; for others, and for those of a device, once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import memory
from .arrays import Array, array_module
from .layout import outer_first
from .threads import run, split

__all__ = ["empty_like", "flat", "in_blocks"]

_ELEMENTS = 1 << 18


def flat(x: Array) -> Array | None:
    """x as one vector in the order of its memory, a view; None if it has gaps."""
    turned = x.transpose(outer_first(x))
    return turned.reshape(-1) if turned.flags.c_contiguous else None


def empty_like(x: Array) -> Array:
    """An uninitialised array of x's shape and dtype, without gaps, its axes in memory in the order of x's."""
    order, make = outer_first(x), memory.empty if isinstance(x, np.ndarray) else array_module(x).empty
    return make(tuple(x.shape[axis] for axis in order), x.dtype).transpose([order.index(axis) for axis in range(x.ndim)])


def in_blocks(function: Callable[..., Any], *arrays: Array) -> None:
    """Call function(*parts) until all elements have been a part of a call; see above."""
    first = arrays[0]
    alike = all(isinstance(x, np.ndarray) and x.shape == first.shape for x in arrays)
    alike = alike and all(tuple(s * first.itemsize for s in x.strides) == tuple(s * x.itemsize for s in first.strides) for x in arrays)
    vectors = [flat(x) for x in arrays] if alike and first.size > _ELEMENTS else [None]
    if any(v is None for v in vectors):
        function(*arrays)
    else:
        run(lambda block: function(*[v[block] for v in vectors if v is not None]), split(first.size, _ELEMENTS))
