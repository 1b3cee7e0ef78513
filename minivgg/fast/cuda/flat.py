"""Arrays as kernels for single elements see them: the same elements at the same places in memory, without gaps.

On the card images are stored channels-last, as on the CPU; CuPy's own functions give C-ordered results. `alike` brings arrays of one
shape into the storage of the first of them, and copies only what differs.
"""

from __future__ import annotations

from ...backend.arrays import Array, array_module
from ...backend.layout import outer_first

__all__ = ["alike", "gapless", "in_step"]


def alike(first: Array, *others: Array) -> tuple[Array, ...]:
    """The arrays, all of `first`'s shape, with its order of axes in memory and without gaps; a copy is made of any that differs."""
    xp, order = array_module(first, *others), outer_first(first)
    back, shape = [order.index(axis) for axis in range(first.ndim)], [first.shape[axis] for axis in order]
    return tuple(  # ascontiguousarray makes one axis of none
        xp.ascontiguousarray(array.transpose(order)).reshape(shape).transpose(back) for array in (first, *others)
    )


def gapless(x: Array) -> bool:
    """Whether x's elements fill one piece of memory, in whatever order of axes. Asks the strides alone: no array is made."""
    expected = x.itemsize
    for stride, size in sorted(zip(x.strides, x.shape, strict=True)):
        if size != 1:
            if stride != expected:
                return False
            expected *= size
    return True


def in_step(x: Array, y: Array) -> bool:
    """Whether x and y, of one shape and dtype, are stored alike: the strides of all axes with more than one place agree."""
    return x.strides == y.strides or all(n == 1 or a == b for n, a, b in zip(x.shape, x.strides, y.strides, strict=True))
