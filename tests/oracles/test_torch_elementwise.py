"""Elementwise ops, powers and `where` against PyTorch."""

from __future__ import annotations

import operator

import numpy as np
import pytest

from minivgg import ops

torch = pytest.importorskip("torch", reason="PyTorch is not installed: run scripts/oracles")

PAIRS = [((2, 3), (2, 3)), ((3, 1), (2, 1, 4)), ((), (2, 3)), ((4,), ()), ((0, 3), (3,))]


@pytest.mark.parametrize("shapes", PAIRS, ids=str)
@pytest.mark.parametrize("name", ["add", "sub", "mul", "truediv"])
def test_arithmetic_with_broadcasting(agree, rng, name, shapes):
    """The same Python operator on both sides; the second operand is bounded away from zero."""
    x, w = rng.standard_normal(shapes[0]), rng.uniform(0.5, 2.0, shapes[1]) * rng.choice([-1.0, 1.0], shapes[1])
    agree(getattr(operator, name), getattr(operator, name), x, w)


@pytest.mark.parametrize("name", ["add", "sub", "mul", "truediv"])
def test_arithmetic_with_a_number(agree, rng, name):
    """Numbers on either side of the operator."""
    calculate = getattr(operator, name)
    agree(lambda x: calculate(2.5, x), lambda x: calculate(2.5, x), rng.uniform(0.5, 2.0, (2, 3)))
    agree(lambda x: calculate(x, 2.5), lambda x: calculate(x, 2.5), rng.uniform(0.5, 2.0, (2, 3)))


def test_negation(agree, rng):
    """The minus sign in front."""
    agree(operator.neg, operator.neg, rng.standard_normal((2, 3)))


@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "tanh", "sigmoid", "relu"])
@pytest.mark.parametrize("shape", [(2, 3, 4), (), (0, 2)], ids=str)
def test_function_of_one_operand(agree, rng, name, shape):
    """Logarithm and root see positive numbers; the others both signs, large ones among them."""
    x = rng.uniform(0.2, 5.0, shape) if name in {"log", "sqrt"} else rng.standard_normal(shape) * 4
    agree(getattr(ops, name), getattr(torch, name), np.asarray(x))


def test_relu_has_slope_zero_at_zero(agree):
    """Both choose ReLU'(0) = 0, also for a negative zero."""
    agree(ops.relu, torch.relu, np.array([-1.0, -0.0, 0.0, 1.0]))


def test_sigmoid_and_tanh_far_out(agree):
    """Nothing overflows, and the slopes vanish alike."""
    far = np.array([-800.0, -40.0, 40.0, 800.0])
    agree(ops.sigmoid, torch.sigmoid, far)
    agree(ops.tanh, torch.tanh, far)


@pytest.mark.parametrize("p", [2, 3, 0.5, -1.5, 1, 0])
def test_power_by_a_number(agree, rng, p):
    """Positive bases; the exponent is a constant."""
    agree(lambda x: x**p, lambda x: x**p, rng.uniform(0.5, 2.0, (3, 4)))


@pytest.mark.parametrize("p", [2, 3])
def test_power_of_negative_numbers_and_zero(agree, p):
    """A whole exponent has derivatives everywhere."""
    agree(lambda x: x**p, lambda x: x**p, np.array([-2.0, -0.5, 0.0, 1.5]))


@pytest.mark.parametrize("shapes", [((2, 3), (2, 3)), ((2, 1), (3,))], ids=str)
def test_power_by_a_tensor(agree, rng, shapes):
    """Derivatives by base and exponent, with broadcasting."""
    agree(operator.pow, operator.pow, rng.uniform(0.5, 2.0, shapes[0]), rng.standard_normal(shapes[1]))


def test_number_to_the_power_of_a_tensor(agree, rng):
    """The derivative by the exponent alone."""
    agree(lambda p: 2.5**p, lambda p: 2.5**p, rng.standard_normal((2, 3)))


@pytest.mark.parametrize("shapes", [((2, 3), (2, 3)), ((3, 1), (2, 1, 4)), ((), (2,))], ids=str)
def test_where(agree, rng, shapes):
    """A constant mask chooses, with broadcasting."""
    mask = rng.random(np.broadcast_shapes(*shapes)) < 0.5
    x, w = (rng.standard_normal(shape) for shape in shapes)
    agree(lambda a, b: ops.where(mask, a, b), lambda a, b: torch.where(torch.tensor(mask), a, b), np.asarray(x), np.asarray(w))


def test_nested_formula(agree, rng):
    """An operand used several times collects the gradients of all uses."""
    agree(
        lambda x, w: ops.tanh(x * w + x) / (1.0 + ops.exp(-x * x)) - ops.sigmoid(w) * x,
        lambda x, w: torch.tanh(x * w + x) / (1.0 + torch.exp(-x * x)) - torch.sigmoid(w) * x,
        rng.standard_normal((3, 4)),
        rng.standard_normal(4),
    )
