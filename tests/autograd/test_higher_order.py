"""Derivatives of derivatives, against formulas from the calculus book."""

from __future__ import annotations

import numpy as np
import pytest

import minivgg as mv
from minivgg import ops
from minivgg.autograd import mode

POINTS = np.array([-1.5, -0.3, 0.0, 0.4, 2.0])


def derivative(f, order: int, at: np.ndarray) -> np.ndarray:
    """The derivative of an elementwise f, by differentiating `order` times."""
    x = mv.Tensor(at, requires_grad=True)
    y = f(x)
    for _ in range(order):
        (y,) = mv.grad(y, x, np.ones_like(at), create_graph=True)
    return y.data


@pytest.mark.parametrize(("order", "expected"), [(1, 4 * POINTS**3), (2, 12 * POINTS**2), (3, 24 * POINTS), (4, 24 + 0 * POINTS)])
def test_derivatives_of_the_fourth_power(order, expected):
    """x⁴ → 4x³ → 12x² → 24x → 24."""
    np.testing.assert_allclose(derivative(lambda x: x * x * x * x, order, POINTS), expected, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(derivative(lambda x: x**4, order, POINTS), expected, rtol=1e-13, atol=1e-13)


def test_derivatives_of_a_polynomial_beyond_its_degree_vanish_at_zero_too():
    """The third derivative of x² is 0 everywhere, at x = 0 as well, where x^(p−1) has no value for p = 0."""
    assert derivative(lambda x: x**2, 3, np.array([0.0, 1.0])).tolist() == [0.0, 0.0]


def test_derivatives_of_tanh():
    """With t = tanh x: t′ = 1 − t², t″ = −2t(1 − t²), t‴ = (1 − t²)(6t² − 2)."""
    t = np.tanh(POINTS)
    for order, expected in [(1, 1 - t**2), (2, -2 * t * (1 - t**2)), (3, (1 - t**2) * (6 * t**2 - 2))]:
        np.testing.assert_allclose(derivative(ops.tanh, order, POINTS), expected, rtol=1e-12, atol=1e-14)


def test_derivatives_of_exp_sigmoid_and_log():
    """exp‴ = exp; σ″ = σ(1 − σ)(1 − 2σ); log‴ = 2/x³."""
    s = 1 / (1 + np.exp(-POINTS))
    np.testing.assert_allclose(derivative(ops.exp, 3, POINTS), np.exp(POINTS), rtol=1e-13)
    np.testing.assert_allclose(derivative(ops.sigmoid, 2, POINTS), s * (1 - s) * (1 - 2 * s), rtol=1e-12, atol=1e-15)
    positive = np.array([0.5, 1.0, 3.0])
    np.testing.assert_allclose(derivative(ops.log, 3, positive), 2 / positive**3, rtol=1e-13)


def test_hessian_vector_product():
    """f = ½ xᵀAx + Σ x⁴ has the Hessian ½(A + Aᵀ) + diag(12x²)."""
    rng = np.random.default_rng(0)
    a, v, at = rng.standard_normal((4, 4)), rng.standard_normal(4), rng.standard_normal(4)
    x = mv.Tensor(at, requires_grad=True)
    y = (x @ a @ x) * 0.5 + (x**4).sum()
    (gx,) = mv.grad(y, x, create_graph=True)
    (hv,) = mv.grad((gx * v).sum(), x)
    np.testing.assert_allclose(hv, (0.5 * (a + a.T) + np.diag(12 * at**2)) @ v, rtol=1e-12)


def test_mixed_second_derivatives_are_symmetric():
    """f = x²w + w³x: ∂²f/∂x∂w = ∂²f/∂w∂x = 2x + 3w²."""
    x, w = (mv.Tensor(np.float64(value), requires_grad=True) for value in (1.5, -2.0))
    y = x * x * w + w * w * w * x
    gx, gw = mv.grad(y, [x, w], create_graph=True)
    assert np.isclose(mv.grad(gx, w)[0], 2 * 1.5 + 3 * 4.0) and np.isclose(mv.grad(gw, x)[0], 2 * 1.5 + 3 * 4.0)


def test_create_graph_always_returns_tensors():
    """Also where the gradient is constant, as of a sum, the list holds tensors: `.data` is an array."""
    x, other = mv.Tensor(POINTS, requires_grad=True), mv.Tensor(1.0, requires_grad=True)
    for y in (x.sum(), (x * 2.0).sum(), (-x).sum(), (x * x).sum()):
        for g in mv.grad(y, [x, other], create_graph=True):
            assert isinstance(g, mv.Tensor), y
            assert isinstance(g.data, np.ndarray)


def test_a_gradient_penalty_trains_through_backward():
    """backward() of ‖∇f‖² with f = Σx³: ∂Σ9x⁴/∂x = 36x³."""
    x = mv.Tensor(POINTS, requires_grad=True)
    (g,) = mv.grad((x**3).sum(), x, create_graph=True)
    (g * g).sum().backward()
    np.testing.assert_allclose(x.grad, 36 * POINTS**3, rtol=1e-12, atol=1e-13)


def test_differentiating_by_the_cotangent_gives_the_jacobian_vector_product():
    """⟨gy, f(x)⟩'s gradient g = Jᵀgy is linear in gy, and ∂⟨g, v⟩/∂gy = Jv: for f = sin-like tanh, (1 − t²)·v."""
    x = mv.Tensor(POINTS, requires_grad=True)
    gy = mv.Tensor(np.ones_like(POINTS), requires_grad=True)
    v = np.arange(5.0)
    (g,) = mv.grad(ops.tanh(x), x, gy, create_graph=True)
    (jv,) = mv.grad((g * v).sum(), gy)
    np.testing.assert_allclose(jv, (1 - np.tanh(POINTS) ** 2) * v, rtol=1e-12, atol=1e-15)


def test_create_graph_records_inside_no_grad():
    """The sweep records when it is told to, whatever the block around it says; afterwards the block's word holds."""
    x = mv.Tensor(POINTS, requires_grad=True)
    y = (x * x * x).sum()
    with mv.no_grad():
        (g,) = mv.grad(y, x, create_graph=True)
        assert not mode.state.recording
    np.testing.assert_allclose(mv.grad(g.sum(), x)[0], 6 * POINTS, rtol=1e-13)


def test_a_second_order_step_through_a_network():
    """For y = w₂·tanh(w₁x), ∂²y/∂w₁² = −2w₂x²·t(1 − t²), through linear layers and their rules."""
    w1, w2 = (mv.Tensor(np.array([[value]]), requires_grad=True) for value in (0.7, 1.3))
    x = np.array([[0.9]])
    y = ops.linear(ops.tanh(ops.linear(x, w1)), w2).sum()
    (g,) = mv.grad(y, w1, create_graph=True)
    (h,) = mv.grad(g.sum(), w1)
    t = np.tanh(0.7 * 0.9)
    assert np.isclose(h.item(), -2 * 1.3 * 0.9**2 * t * (1 - t * t), rtol=1e-12)
