"""The same numbers, lying differently in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

__all__ = ["layouts"]

Array = Any  # numpy.ndarray


def layouts(x: Array) -> Iterator[tuple[str, Array]]:
    """(name, array equal to x) in C order, Fortran order, with its second axis last in memory (channels-last), with
    gaps between elements, with negative strides, at an offset into a larger array, and read-only.
    """
    yield "C order", np.ascontiguousarray(x).reshape(x.shape)
    yield "Fortran order", np.asfortranarray(x).reshape(x.shape)
    if x.ndim > 2:
        yield "channels-last", np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    gaps = np.empty(tuple(2 * n for n in x.shape), x.dtype)[(*(slice(None, None, 2),) * x.ndim, ...)]
    gaps[...] = x
    yield "gaps", gaps
    flipped = (*(slice(None, None, -1),) * x.ndim, ...)
    yield "negative strides", x[flipped].copy()[flipped]
    large = np.empty(tuple(n + 1 for n in x.shape), x.dtype)[(*(slice(1, None),) * x.ndim, ...)]
    large[...] = x
    yield "offset", large
    frozen = x.copy()
    frozen.flags.writeable = False
    yield "read-only", frozen
