"""Shapes, arrays and tensors: sizes within bounds, numbers away from kinks, and what they shrink to."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from minivgg.autograd.core import Tensor
from minivgg.errors import ConfigError
from minivgg.testing.strategies import arrays, broadcastable_shapes, pool_inputs, positive_arrays, shapes, tensors
from minivgg.testing.strategies.samples import apart, uniform


def nearest_two(x: Any) -> float:
    """The smallest distance between two elements, or from an element to 0."""
    return float(np.diff(np.sort(np.append(x, 0.0))).min(initial=math.inf))


@settings(max_examples=100)
@given(arrays(gap=0.02))
def test_elements_keep_the_gap_from_each_other_and_from_zero(x: Any) -> None:
    """float64 with three decimals within the bounds, no two within the gap, none within the gap of 0."""
    assert x.dtype == np.float64 and isinstance(x, np.ndarray)
    assert nearest_two(x) >= 0.02
    assert np.array_equal(np.round(x, 3), x) and np.abs(x).max(initial=0.0) <= 2.0


@pytest.mark.parametrize(("low", "high", "gap", "margin"), [(0.5, 2.0, 0.03, None), (-3.0, -1.0, 0.02, None), (-1.0, 2.0, 0.01, 0.3)])
def test_bounds_may_lie_on_one_side_of_zero(low: float, high: float, gap: float, margin: float | None) -> None:
    """All elements lie in [low, high] and outside the margin, for many seeds."""
    for seed in range(50):
        x = apart(seed, "x", (5, 4), low, high, gap, margin)
        assert low <= x.min() and x.max() <= high
        assert np.abs(x).min() >= (margin or gap) and nearest_two(x) >= gap


def test_too_many_elements_for_the_range_are_refused() -> None:
    """A ConfigError says how many fit."""
    with pytest.raises(ConfigError, match=r"50 numbers at least 0\.1 apart do not fit between 0\.0 and 1\.0: 6 do"):
        apart(0, "x", (50,), 0.0, 1.0, 0.1)


def test_numbers_follow_from_seed_and_key_alone() -> None:
    """The same seed and key give the same numbers; another seed or key gives others."""
    x = uniform(3, "x", (4,))
    assert np.array_equal(x, uniform(3, "x", (4,)))
    assert not np.array_equal(x, uniform(4, "x", (4,))) and not np.array_equal(x, uniform(3, "w", (4,)))


@settings(max_examples=100)
@given(shapes(1, 3, max_side=5, max_size=12))
def test_shapes_stay_within_their_bounds(shape: tuple[int, ...]) -> None:
    """Number of axes, sides and product are bounded, and without `empty` no side is 0."""
    assert 1 <= len(shape) <= 3 and math.prod(shape) <= 12 and all(1 <= side <= 5 for side in shape)


@pytest.mark.parametrize("wanted", [(), (1,), (1, 1, 1, 1), (4, 4), (2, 3, 4)])
def test_ordinary_and_small_shapes_are_drawn(wanted: tuple[int, ...]) -> None:
    """0-d, sizes of 1 and full ones can all occur."""
    assert find(shapes(), lambda shape: shape == wanted, settings=settings(max_examples=20_000)) == wanted


def test_empty_shapes_are_drawn_when_asked_for() -> None:
    """With `empty` a side can be 0, beside others that are not."""
    assert math.prod(find(shapes(empty=True), lambda shape: 0 in shape and max(shape) > 1)) == 0


@settings(max_examples=100)
@given(broadcastable_shapes(3, empty=True))
def test_broadcastable_shapes_broadcast(drawn: tuple[tuple[int, ...], ...]) -> None:
    """NumPy accepts all three together."""
    assert len(drawn) == 3
    assert len(np.broadcast_shapes(*drawn)) <= 4


def test_broadcasting_both_ways_occurs() -> None:
    """A pair of shapes of which neither is the result's is found, and shrinks to sides of two."""
    pair = find(broadcastable_shapes(2), lambda s: np.broadcast_shapes(*s) not in s)
    assert math.prod(np.broadcast_shapes(*pair)) <= 4


@settings(max_examples=50)
@given(positive_arrays())
def test_positive_arrays_are_bounded_away_from_zero(x: Any) -> None:
    """Every element is at least 0.25."""
    assert x.min(initial=1.0) >= 0.25


@settings(max_examples=30)
@given(pool_inputs((2, 3, 5, 6)))
def test_pool_inputs_have_no_close_elements_whatever_their_number(x: Any) -> None:
    """180 elements, any two at least 0.02 apart."""
    assert x.shape == (2, 3, 5, 6) and nearest_two(x) >= 0.02


@settings(max_examples=50)
@given(tensors(shapes(2, 2)), tensors(shape=(3,), requires_grad=True))
def test_tensors_have_the_shape_and_the_requirement_asked_for(x: Tensor, w: Tensor) -> None:
    """A shape or a strategy for shapes is obeyed; requires_grad is drawn unless given."""
    assert x.ndim == 2 and w.shape == (3,) and w.requires_grad and x.dtype == np.float64


@pytest.mark.parametrize("wanted", [True, False])
def test_tensors_require_gradients_or_not(wanted: bool) -> None:
    """Both occur, and shrink to a 0-d tensor."""
    assert find(tensors(), lambda x: x.requires_grad is wanted).shape == ()


def test_arrays_shrink_to_a_small_shape() -> None:
    """An array with an element past 1 shrinks to a single element."""
    assert find(arrays(), lambda x: bool((x > 1).any())).size == 1


@settings(max_examples=30)
@given(st.data())
def test_a_fixed_shape_is_kept(data: st.DataObject) -> None:
    """arrays(shape) has exactly that shape, of size 0 too."""
    for shape in ((), (0, 3), (2, 1, 4)):
        assert data.draw(arrays(shape)).shape == shape
