"""Elementwise ops against the math module, at ordinary points and at the edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minivgg as mv
from minivgg import ops

finite = st.floats(-20, 20, allow_subnormal=False)


def sigmoid(x):
    """The logistic function of a number."""
    return 1 / (1 + math.exp(-x))


CASES = {
    "exp": (ops.exp, math.exp, math.exp),
    "tanh": (ops.tanh, math.tanh, lambda x: 1 - math.tanh(x) ** 2),
    "sigmoid": (ops.sigmoid, sigmoid, lambda x: sigmoid(x) * sigmoid(-x)),
    "relu": (ops.relu, lambda x: max(x, 0.0), lambda x: float(x > 0)),
    "square": (lambda x: x**2, lambda x: x * x, lambda x: 2 * x),
    "negative": (lambda x: -x, lambda x: -x, lambda x: -1.0),
    "log of exp": (lambda x: ops.log(ops.exp(x)), lambda x: x, lambda x: 1.0),
    "sqrt": (lambda x: ops.sqrt(x * x + 1.0), lambda x: math.hypot(x, 1.0), lambda x: x / math.hypot(x, 1.0)),
    "power of two": (lambda x: 2.0**x, lambda x: 2.0**x, lambda x: 2.0**x * math.log(2.0)),
    "quotient": (lambda x: x / (x * x + 2.0), lambda x: x / (x * x + 2), lambda x: (2 - x * x) / (x * x + 2) ** 2),
}


@pytest.mark.parametrize("name", CASES)
@given(values=st.lists(finite, min_size=1, max_size=4))
def test_values_and_derivatives_equal_the_math_module(name, values):
    """f and f′ at any points, from formulas written with Python numbers."""
    f, value, derivative = CASES[name]
    x = mv.Tensor(np.array(values), requires_grad=True)
    y = f(x)
    np.testing.assert_allclose(y.data, [value(v) for v in values], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(mv.grad(y.sum(), x)[0], [derivative(v) for v in values], rtol=1e-9, atol=1e-9)


def test_sigmoid_and_tanh_saturate_without_overflow():
    """At ±1000 they are 0, 1 and ±1, with zero gradients and no warning."""
    x = mv.Tensor(np.array([-1000.0, 1000.0]), requires_grad=True)
    assert ops.sigmoid(x).data.tolist() == [0.0, 1.0] and ops.tanh(x).data.tolist() == [-1.0, 1.0]
    assert not mv.grad(ops.sigmoid(x).sum(), x)[0].any() and not mv.grad(ops.tanh(x).sum(), x)[0].any()


def test_relu_has_the_derivative_zero_at_zero_and_lets_nan_through():
    """ReLU′(0) = 0, also at −0; NaN stays NaN instead of becoming 0."""
    x = mv.Tensor(np.array([-1.0, -0.0, 0.0, 1.0, np.nan]), requires_grad=True)
    y = ops.relu(x)
    assert y.data[:4].tolist() == [0.0, 0.0, 0.0, 1.0] and np.isnan(y.data[4])
    assert mv.grad(y.sum(), x)[0][:4].tolist() == [0.0, 0.0, 0.0, 1.0]


def test_whole_powers_of_negative_numbers_and_zero():
    """(−2)³ = −8 with derivative 12; 0¹, 0² and 0⁰ have the derivatives 1, 0 and 0."""
    x = mv.Tensor(np.array([-2.0, 0.0]), requires_grad=True)
    y = x**3
    assert y.data.tolist() == [-8.0, 0.0] and mv.grad(y.sum(), x)[0].tolist() == [12.0, 0.0]
    for p, slope in ((1, 1.0), (2, 0.0), (0, 0.0)):
        assert mv.grad((x**p).sum(), x)[0][1] == slope, p


def test_exponents_are_differentiable():
    """∂xᵖ/∂p = xᵖ·log x: at 2³ that is 8·log 2."""
    x, p = (mv.Tensor(np.array(v), requires_grad=True) for v in (2.0, 3.0))
    gx, gp = mv.grad(x**p, [x, p])
    assert math.isclose(gx, 12.0) and math.isclose(gp, 8 * math.log(2.0))


def test_where_picks_and_routes():
    """Each place takes its value and its gradient from one side; scalars broadcast and collect."""
    x, w = mv.Tensor(np.array([1.0, 2.0, 3.0]), requires_grad=True), mv.Tensor(np.float64(9.0), requires_grad=True)
    y = ops.where(np.array([True, False, False]), x, w)
    assert y.data.tolist() == [1.0, 9.0, 9.0]
    gx, gw = mv.grad(y, [x, w], np.array([1.0, 10.0, 100.0]))
    assert gx.tolist() == [1.0, 0.0, 0.0] and gw == 110.0


def test_where_hides_the_nan_of_the_other_side():
    """A NaN that is not picked does not come through, forwards or backwards."""
    x = mv.Tensor(np.array([np.nan, 2.0]), requires_grad=True)
    y = ops.where(np.array([False, True]), x, 0.0)
    assert y.data.tolist() == [0.0, 2.0] and mv.grad(y.sum(), x)[0].tolist() == [0.0, 1.0]


def own(index, shape):
    """The place in an array of `shape` that a place in the broadcast result comes from."""
    return tuple(0 if n == 1 else i for i, n in zip(index[len(index) - len(shape) :], shape, strict=True))


@pytest.mark.parametrize(("a", "b"), [((2, 3), (3,)), ((2, 1, 4), (3, 1)), ((), (2, 2)), ((1, 1), (2, 3)), ((0, 3), (1, 3))])
def test_broadcasting_sums_gradients_back(a, b):
    """For x·w the gradient by each element is the sum of what it met, counted by a loop over the result."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal(a), rng.standard_normal(b)
    full = np.broadcast_shapes(a, b)
    gy, gx, gw = rng.standard_normal(full), np.zeros(a), np.zeros(b)
    for index in np.ndindex(full):
        gx[own(index, a)] += gy[index] * w[own(index, b)]
        gw[own(index, b)] += gy[index] * x[own(index, a)]
    tensors = [mv.Tensor(v, requires_grad=True) for v in (x, w)]
    found = mv.grad(tensors[0] * tensors[1], tensors, gy)
    np.testing.assert_allclose(found[0], gx, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(found[1], gw, rtol=1e-13, atol=1e-14)


def test_where_hides_the_nan_gradient_of_the_other_side():
    """A NaN in gy reaches only the operand that was picked there: 0·NaN would be NaN."""
    x, w = (mv.Tensor(np.zeros(2), requires_grad=True) for _ in range(2))
    gx, gw = mv.grad(ops.where(np.array([True, False]), x, w), [x, w], np.array([1.0, np.nan]))
    assert gx.tolist() == [1.0, 0.0] and gw[0] == 0.0 and np.isnan(gw[1])
