"""Arguments for the ops that move numbers, and for matrix products."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from ... import ops
from ...autograd.core import Op
from .elementwise import Drawn, Recipe
from .samples import apart, booleans, uniform
from .values import draw_broadcastable, draw_shape, seeds

__all__ = ["TABLE", "draw_key", "shapes_of_size"]

Shape = tuple[int, ...]


@functools.cache
def shapes_of_size(size: int, dims: int = 4) -> tuple[Shape, ...]:
    """All shapes of `size` elements with at most `dims` axes, those with few axes first."""
    if size == 0:
        return (0,), (0, 3), (2, 0), (1, 0, 2)
    sides = [n for n in range(1, size + 1) if size % n == 0]
    return tuple(s for d in range(dims + 1) for s in itertools.product(sides, repeat=d) if math.prod(s) == size)


def _reshape(draw: st.DrawFn, empty: bool) -> Drawn:
    shape = draw_shape(draw, empty=empty)
    return ops.Reshape(draw(st.sampled_from(shapes_of_size(math.prod(shape))))), (apart(draw(seeds()), "x", shape),)


def _transpose(draw: st.DrawFn, empty: bool) -> Drawn:
    shape = draw_shape(draw, empty=empty)
    return ops.Transpose(tuple(draw(st.permutations(range(len(shape)))))), (apart(draw(seeds()), "x", shape),)


def _pad(draw: st.DrawFn, empty: bool) -> Drawn:
    shape = draw_shape(draw, 1, empty=empty)
    widths = tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in shape)
    if len(shape) == 4 and draw(st.booleans()):  # images, as a convolution pads them
        widths = ((0, 0), (0, 0), *widths[2:])
    return ops.Pad(widths, draw(st.sampled_from((0.0, 1.5, -2.0)))), (apart(draw(seeds()), "x", shape),)


def draw_key(draw: st.DrawFn, shape: Shape, seed: int) -> tuple[Any, ...]:
    """An index into an array of `shape` (no side is 0) that selects something: integers, slices, `...`, None, and arrays of
    integers (places may repeat) or of booleans.
    """
    if shape and draw(st.sampled_from((False, False, False, True))):
        mask = booleans(seed, "mask", shape)
        mask[(0,) * len(shape)] = True
        return (mask,)
    key: list[Any] = []
    length = draw(st.integers(1, 3))  # of all integer arrays: they broadcast
    for axis, side in enumerate(shape[: draw(st.integers(0, len(shape)))]):
        kind = draw(st.sampled_from(("all", "slice", "integer", "backwards", "integers")))
        if kind == "all":
            key.append(slice(None))
        elif kind == "slice":
            start = draw(st.integers(0, side - 1))
            key.append(slice(start, draw(st.integers(start + 1, side)), draw(st.sampled_from((None, 2)))))
        elif kind == "backwards":
            key.append(slice(None, None, draw(st.sampled_from((-1, -2)))))
        elif kind == "integer":
            key.append(draw(st.integers(-side, side - 1)))
        else:
            key.append(np.floor(uniform(seed, f"key {axis}", (length,), -side, side - 0.001)).astype(np.int64))
    if draw(st.sampled_from((False, False, True))):
        key.insert(draw(st.integers(0, len(key))), None)
    if draw(st.sampled_from((False, False, True))):
        key.append(Ellipsis)
    return tuple(key)


def _selected(draw: st.DrawFn, empty: bool) -> tuple[tuple[Any, ...], Shape, Shape, int]:
    """(key, shape, shape of what it selects, seed)."""
    shape, seed = draw_shape(draw), draw(seeds())
    key = draw_key(draw, shape, seed)
    if empty and shape and draw(st.booleans()):
        key = (slice(1, 1), *key[1:]) if len(key) and isinstance(key[0], slice) else (slice(1, 1),)
    return key, shape, np.empty(shape)[key].shape, seed


def _index(draw: st.DrawFn, empty: bool) -> Drawn:
    key, shape, _, seed = _selected(draw, empty)
    return ops.Index(key), (apart(seed, "x", shape),)


def _scatter_index(draw: st.DrawFn, empty: bool) -> Drawn:
    key, shape, selected, seed = _selected(draw, empty)
    return ops.ScatterIndex(key, shape), (uniform(seed, "u", selected),)


def _concatenate(draw: st.DrawFn, empty: bool) -> Drawn:
    shape = draw_shape(draw, 1, empty=empty)
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    at = axis % len(shape)
    sides = [shape[at], *(draw(st.integers(0 if empty else 1, 3)) for _ in range(draw(st.integers(0, 2))))]
    seed = draw(seeds())
    return ops.Concatenate(axis), tuple(uniform(seed, f"x{i}", (*shape[:at], n, *shape[at + 1 :])) for i, n in enumerate(sides))


def _matmul(draw: st.DrawFn, empty: bool) -> Drawn:
    lead, other = draw_broadcastable(draw, 2, 0, 2, empty=empty)
    m, k, n = (draw(st.integers(0 if empty else 1, 3)) for _ in range(3))
    seed = draw(seeds())
    return ops.Matmul(), (uniform(seed, "x", (*lead, m, k)), uniform(seed, "w", (*other, k, n)))


def _linear(draw: st.DrawFn, empty: bool) -> Drawn:
    n, inputs, outputs = draw(st.integers(0 if empty else 1, 4)), draw(st.integers(1, 5)), draw(st.integers(1, 4))
    bias, seed = draw(st.booleans()), draw(seeds())
    w = uniform(seed, "w", (outputs, inputs))
    return ops.Linear(), (uniform(seed, "x", (n, inputs)), w, uniform(seed, "b", (outputs,)) if bias else None)


TABLE: dict[type[Op], Recipe] = {
    ops.Reshape: _reshape,
    ops.Transpose: _transpose,
    ops.Pad: _pad,
    ops.Index: _index,
    ops.ScatterIndex: _scatter_index,
    ops.Concatenate: _concatenate,
    ops.Matmul: _matmul,
    ops.Linear: _linear,
}
