"""Sum, mean, maximum and log-sum-exp against loops over every element."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minivgg as mv
from minivgg import ops
from minivgg.errors import ShapeError

PYTHON = {
    "sum": (ops.sum, sum),
    "mean": (ops.mean, lambda v: sum(v) / len(v)),
    "max": (ops.max, max),
    "logsumexp": (ops.logsumexp, lambda v: math.log(sum(map(math.exp, v)))),
}


@st.composite
def reductions(draw):
    """(shape, axis as the user gives it, the same as a set of axes)."""
    shape = tuple(draw(st.lists(st.integers(1, 3), min_size=1, max_size=4)))
    axes = draw(st.one_of(st.none(), st.integers(-len(shape), len(shape) - 1), st.sets(st.integers(0, len(shape) - 1)).map(tuple)))
    named = range(len(shape)) if axes is None else [axes % len(shape)] if isinstance(axes, int) else axes
    return shape, axes, set(named)


@pytest.mark.parametrize("name", PYTHON)
@given(reduction=reductions(), keepdims=st.booleans(), seed=st.integers(0, 2**32))
def test_reductions_equal_python(name, reduction, keepdims, seed):
    """Over any axes: each result is Python's own function of the list of its elements."""
    shape, axis, axes = reduction
    x = np.random.default_rng(seed).standard_normal(shape)
    groups: dict[tuple[int, ...], list[float]] = {}
    for index in np.ndindex(shape):
        groups.setdefault(tuple(0 if i in axes else n for i, n in enumerate(index)), []).append(float(x[index]))
    function, python = PYTHON[name]
    y = function(x, axis, keepdims)
    assert y.shape == tuple(1 if i in axes else n for i, n in enumerate(shape) if keepdims or i not in axes)
    kept = np.asarray(y).reshape([1 if i in axes else n for i, n in enumerate(shape)])
    for index, values in groups.items():
        assert math.isclose(kept[index], python(values), rel_tol=1e-12, abs_tol=1e-13)


def test_methods_are_the_functions():
    """x.sum, x.mean and x.max take the same arguments."""
    x = mv.Tensor(np.arange(6.0).reshape(2, 3))
    assert (
        x.sum().item() == 15.0 and x.mean(0).data.tolist() == [1.5, 2.5, 3.5] and x.max(axis=(0, 1), keepdims=True).data.tolist() == [[5.0]]
    )


def test_the_gradient_of_a_mean_is_shared_out():
    """Each of 6 elements receives gy/6; over one axis of 3, gy/3 of its own row."""
    x = mv.Tensor(np.ones((2, 3)), requires_grad=True)
    np.testing.assert_allclose(mv.grad(x.mean(), x)[0], np.full((2, 3), 1 / 6), rtol=1e-15)
    np.testing.assert_allclose(mv.grad(x.mean(1), x, np.array([3.0, 6.0]))[0], [[1.0] * 3, [2.0] * 3], rtol=1e-15)


def test_the_first_maximum_gets_the_gradient():
    """At a tie all goes to the first in row-major order, along any axes."""
    x = mv.Tensor(np.array([[1.0, 7.0, 7.0], [7.0, 0.0, 7.0]]), requires_grad=True)
    assert mv.grad(ops.max(x), x)[0].tolist() == [[0, 1, 0], [0, 0, 0]]
    assert mv.grad(ops.max(x, 1), x, np.array([2.0, 3.0]))[0].tolist() == [[0, 2, 0], [3, 0, 0]]
    assert mv.grad(ops.max(x, 0).sum(), x)[0].tolist() == [[0, 1, 1], [1, 0, 0]]


def test_nan_wins_a_maximum():
    """A NaN is not lost in a maximum."""
    assert np.isnan(ops.max(np.array([1.0, np.nan, 3.0])))


def test_logsumexp_does_not_overflow():
    """log(e^1000 + e^1000) = 1000 + log 2; with −∞ as the only values it is −∞, silently."""
    assert math.isclose(ops.logsumexp(np.array([1000.0, 1000.0])), 1000 + math.log(2.0), rel_tol=1e-15)
    assert math.isclose(ops.logsumexp(np.array([-np.inf, 3.0])), 3.0)
    assert ops.logsumexp(np.array([-np.inf, -np.inf])) == -np.inf


def test_the_gradient_of_logsumexp_is_the_softmax():
    """∂/∂x_i log Σ e^x = e^{x_i} / Σ e^x: of (0, log 3) it is (1/4, 3/4)."""
    x = mv.Tensor(np.array([0.0, math.log(3.0)]), requires_grad=True)
    np.testing.assert_allclose(mv.grad(ops.logsumexp(x), x)[0], [0.25, 0.75], rtol=1e-14)


def test_empty_reductions():
    """The sum of nothing is 0; a mean or maximum of nothing is refused."""
    assert ops.sum(np.zeros((0, 3)), 0).tolist() == [0.0, 0.0, 0.0]
    for f, name in ((ops.mean, "mean"), (ops.max, "maximum")):
        with pytest.raises(ShapeError, match=rf"the {name} of no elements does not exist: shape \(0, 3\)"):
            f(np.zeros((0, 3)), 0)


@pytest.mark.parametrize("f", [ops.sum, ops.mean, ops.max, ops.logsumexp])
@pytest.mark.parametrize("axis", [2, -3, (0, 0), (0, -2), (1, 5)], ids=str)
def test_axes_that_are_not_there_are_refused(f, axis):
    """The message has the axes, the shape and the valid range."""
    with pytest.raises(ShapeError, match=r"axes \(.*\) do not name different axes.*\(2, 3\): valid are -2 to 1"):
        f(np.zeros((2, 3)), axis)


def test_channel_sums_of_any_storage():
    """Σ over all but the second axis equals a loop, for images stored either way, matrices and volumes."""
    rng = np.random.default_rng(0)
    for shape in [(2, 3, 4, 5), (4, 3), (2, 3, 4), (2, 3, 2, 2, 2)]:
        x = rng.standard_normal(shape)
        for stored in (x, np.asfortranarray(x), np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)):
            np.testing.assert_allclose(ops.channel_sum(stored), [sum(x[:, c].ravel()) for c in range(3)], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("axes", [(0, 1), (1, 0), (-1, 0)])
def test_at_a_tie_the_first_in_row_major_order_wins_however_axes_are_named(axes: tuple[int, int]) -> None:
    """Of two ones the upper right comes first, whether the axes are named in order or not."""
    x = mv.Tensor(np.array([[0.0, 1.0], [1.0, 0.0]]), requires_grad=True)
    assert mv.grad(ops.max(x, axes), [x])[0].tolist() == [[0.0, 1.0], [0.0, 0.0]]
