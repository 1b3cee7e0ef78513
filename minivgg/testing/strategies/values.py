"""Shapes, arrays and tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from ...autograd.tensor import Tensor
from .samples import apart, uniform

__all__ = [
    "LARGEST", "arrays", "broadcastable_shapes", "draw_broadcastable", "draw_shape", "pool_inputs", "positive_arrays",
    "seeded_tensor", "seeds", "shapes", "spread", "tensors",
]  # fmt: skip

Shape = tuple[int, ...]
LARGEST = 40  # elements of a drawn array, if nothing else is said

_SEEDS = st.integers(0, 2**16 - 1)


def seeds() -> st.SearchStrategy[int]:
    """Seeds of `backend.random.stream`; they shrink to 0."""
    return _SEEDS


def draw_shape(
    draw: st.DrawFn, min_dims: int = 0, max_dims: int = 4, *, max_side: int = 4, max_size: int = LARGEST, empty: bool = False
) -> Shape:
    """A shape of `min_dims` to `max_dims` axes, each at most `max_side`, all together at most `max_size` elements."""
    sides: list[int] = []
    left = max_size
    for _ in range(draw(st.integers(min_dims, max_dims))):
        sides.append(draw(st.integers(0 if empty else 1, max(1, min(max_side, left)))))
        left //= max(sides[-1], 1)
    return tuple(sides)


def draw_broadcastable(draw: st.DrawFn, n: int, min_dims: int = 0, max_dims: int = 4, *, empty: bool = False) -> tuple[Shape, ...]:
    """n shapes that broadcast together: a common shape, from which each may lack leading axes and have others of length 1."""
    full = draw_shape(draw, min_dims, max_dims, empty=empty)
    made = []
    for _ in range(n):
        ones = draw(st.integers(0, 2 ** len(full) - 1))
        cut = draw(st.integers(0, len(full) - min_dims))
        made.append(tuple(1 if ones >> i & 1 else side for i, side in enumerate(full))[cut:])
    return tuple(made)


@st.composite
def shapes(
    draw: st.DrawFn, min_dims: int = 0, max_dims: int = 4, *, max_side: int = 4, max_size: int = LARGEST, empty: bool = False
) -> Shape:
    """Shapes of `min_dims` to `max_dims` axes, 0-d and sizes of 1 among them, and with `empty` sizes of 0."""
    return draw_shape(draw, min_dims, max_dims, max_side=max_side, max_size=max_size, empty=empty)


@st.composite
def broadcastable_shapes(draw: st.DrawFn, n: int = 2, min_dims: int = 0, max_dims: int = 4, *, empty: bool = False) -> tuple[Shape, ...]:
    """Tuples of n shapes that broadcast together; they shrink to equal ones."""
    return draw_broadcastable(draw, n, min_dims, max_dims, empty=empty)


def _shape(draw: st.DrawFn, given: Shape | st.SearchStrategy[Shape] | None) -> Shape:
    if given is None:
        return draw_shape(draw)
    return given if isinstance(given, tuple) else draw(given)


@st.composite
def arrays(
    draw: st.DrawFn, shape: Shape | st.SearchStrategy[Shape] | None = None, low: float = -2.0, high: float = 2.0, gap: float = 0.02
) -> Any:
    """float64 arrays away from kinks: no element within `gap` of 0, no two within `gap` of each other.

    `shape` is a shape or a strategy for shapes. Raises ConfigError if so many elements do not fit in [low, high].
    """
    return apart(draw(_SEEDS), "array", _shape(draw, shape), low, high, gap)


@st.composite
def positive_arrays(draw: st.DrawFn, shape: Shape | st.SearchStrategy[Shape] | None = None, low: float = 0.25, high: float = 3.0) -> Any:
    """float64 arrays with all elements in [low, high], low > 0: operands of a logarithm, a root, a quotient."""
    return uniform(draw(_SEEDS), "positive", _shape(draw, shape), low, high)


def seeded_tensor(sides: Sequence[int] = (), seed: int = 0, requires_grad: bool = False) -> Tensor:
    """A float64 tensor of shape `sides` away from kinks, whose numbers follow from `seed`."""
    return Tensor(spread(seed, tuple(sides)), requires_grad=requires_grad)


@st.composite
def tensors(draw: st.DrawFn, shape: Shape | st.SearchStrategy[Shape] | None = None, requires_grad: bool | None = None) -> Tensor:
    """float64 tensors away from kinks; `requires_grad` is drawn, unless given."""
    wanted = draw(st.booleans()) if requires_grad is None else requires_grad
    return seeded_tensor(_shape(draw, shape), draw(_SEEDS), wanted)


@st.composite
def pool_inputs(draw: st.DrawFn, shape: Shape) -> Any:
    """Images (N, C, H, W) in float64, all elements apart, so that every window has one winner and a clear one.

    The range grows with the size, so that any shape fits.
    """
    return spread(draw(_SEEDS), shape)


def spread(seed: int, shape: Shape) -> Any:
    """float64 elements at least 0.02 from each other and from 0, in a range that is as wide as their number asks."""
    reach = max(2.0, 0.02 * math.prod(shape))
    return apart(seed, "spread", shape, -reach, reach)
