"""Arrays as kernels for single elements see them: the same elements at the same places in memory, without gaps.

On the card images are stored channels-last, as on the CPU; CuPy's own functions give C-ordered results. `alike` brings arrays of one
shape into the storage of the first of them, and copies only what differs.
"""

from __future__ import annotations

from ...backend.arrays import Array, array_module
from ...backend.blocks import outer_first

__all__ = ["alike"]


def alike(first: Array, *others: Array) -> tuple[Array, ...]:
    """The arrays, all of `first`'s shape, with its order of axes in memory and without gaps; a copy is made of any that differs."""
    xp, order = array_module(first, *others), outer_first(first)
    back, shape = [order.index(axis) for axis in range(first.ndim)], [first.shape[axis] for axis in order]
    return tuple(  # ascontiguousarray makes one axis of none
        xp.ascontiguousarray(array.transpose(order)).reshape(shape).transpose(back) for array in (first, *others)
    )
