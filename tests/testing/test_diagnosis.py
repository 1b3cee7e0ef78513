"""The report says what a wrong gradient looks like: each slip that people make is named for what it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minivgg import ops
from minivgg.autograd.core import Op, broadcast_to
from minivgg.testing import check_gradients

RNG = np.random.default_rng(1)
X = RNG.standard_normal((3, 4))
Plant = Callable[[type[Op], str, Any], None]


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Replace a rule for one test."""
    return monkeypatch.setattr


def diagnosis(f: Any, *inputs: Any, order: int = 1, **options: Any) -> str:
    """The one diagnosis of a wrong gradient."""
    report = check_gradients(f, *inputs, order=order, **options)
    assert not report.ok
    assert len(report.diagnoses) == 1, str(report)
    assert f"diagnosis: {report.diagnoses[0]}" in str(report)
    return report.diagnoses[0]


def test_sign(plant: Plant) -> None:
    """The minus of a subtraction, forgotten."""
    plant(ops.Subtract, "grad_w", lambda self, gy: gy)
    assert diagnosis(ops.Subtract(), X, X + 1.0) == "gradient of w: sign: the gradient is the right one negated"


@pytest.mark.parametrize(("c", "name"), [(0.5, "½"), (2.0, "2"), (-2.0, "−2")])
def test_half_and_double(plant: Plant, c: float, name: str) -> None:
    """A factor that has no other explanation."""
    plant(ops.Negate, "grad_x", lambda self, gy: -c * gy)
    assert diagnosis(ops.Negate(), X).startswith(f"gradient of x: factor {name}: everywhere the gradient is {c:.6g} times")


@pytest.mark.parametrize(
    ("c", "found"),
    [
        (1 / 3, "factor 1/3, and 3 is the length of axis 0 of x"),
        (4.0, "factor 4, and 4 is the length of axis 1 of x"),
        (-1 / 12, "factor −1/12, and 12 is all elements of x"),
        (1.001, "factor: everywhere the gradient is 1.001 times"),
    ],
)
def test_a_mean_in_place_of_a_sum(plant: Plant, c: float, found: str) -> None:
    """A factor that is a number of elements is named with what it counts."""
    plant(ops.Negate, "grad_x", lambda self, gy: -c * gy)
    assert found in diagnosis(ops.Negate(), X)


def test_a_sum_over_the_batch_that_became_a_mean(plant: Plant) -> None:
    """The elements of a channel, of images."""
    images = RNG.standard_normal((2, 3, 1, 5))
    right = ops.ChannelSum.grad_x
    plant(ops.ChannelSum, "grad_x", lambda self, gy, x_shape: right(self, gy, x_shape) / 10.0)
    assert "1/10, and 10 is the elements of a channel of x" in diagnosis(ops.ChannelSum(), images)


def test_transposed(plant: Plant) -> None:
    """The gradient of a square weight, transposed."""
    plant(ops.Matmul, "grad_w", lambda self, gy, x: gy.T @ x)
    assert "gradient of w: transposed" in diagnosis(ops.Matmul(), X, RNG.standard_normal((4, 4)))


def test_a_kernel_not_turned(plant: Plant) -> None:
    """The filter's gradient turned by 180°."""
    right = ops.Conv2d.grad_w
    plant(ops.Conv2d, "grad_w", lambda self, gy, x, w_shape: right(self, gy, x, w_shape)[:, :, ::-1, ::-1])
    conv = ops.Conv2d((1, 1), (1, 1), (1, 1), 1)
    found = diagnosis(conv, RNG.standard_normal((1, 1, 4, 4)), RNG.standard_normal((1, 1, 3, 3)), None)
    assert "turned end for end along axes (2, 3)" in found


def test_wrong_axis_summed(plant: Plant) -> None:
    """Summed over rows in place of nothing, averaged, and anything else that is the same along an axis where it should not be."""
    plant(ops.Exp, "grad_x", lambda self, gy, y: broadcast_to((gy * y).sum(0, keepdims=True), y.shape))
    assert "wrong axis summed: the gradient is the right one's sum over axes (0,), repeated" in diagnosis(ops.exp, X)
    plant(ops.Exp, "grad_x", lambda self, gy, y: broadcast_to((gy * y).mean(1, keepdims=True), y.shape))
    assert "mean over axes (1,)" in diagnosis(ops.exp, X)
    plant(ops.Exp, "grad_x", lambda self, gy, y: broadcast_to((gy * y * np.arange(1.0, 5.0)).sum(1, keepdims=True), y.shape))
    assert "does not vary along axis 1, the right one does" in diagnosis(ops.exp, X)


def test_detached() -> None:
    """A gradient of 0 where the value depends on the input."""
    assert "gradient of w: detached operand" in diagnosis(lambda x, w: x * w.detach(), X, X + 1.0)


def test_missing_accumulation(plant: Plant) -> None:
    """`=` for `+=`: an element that two windows hold receives one of two contributions."""

    def last_only(self: Any, gy: Any, x_shape: tuple[int, ...]) -> Any:
        out = np.zeros(x_shape)
        out[self.key] = gy  # of repeated places the last one stays
        return out

    plant(ops.Index, "grad_x", last_only)
    found = diagnosis(ops.Index((np.array([0, 2, 0, 1]),)), RNG.standard_normal((3, 2)))
    assert "missing accumulation: 2 elements that several outputs use received only some of the contributions" in found


def test_off_by_one(plant: Plant) -> None:
    """A slice that begins one too early, and padding that loses the border."""
    plant(ops.Pad, "grad_x", lambda self, gy, x_shape: gy[:, : x_shape[1]])
    assert "off by one: the gradient is the right one moved by 1 along axes (1,)" in diagnosis(ops.Pad(((0, 0), (1, 1))), X)

    def no_border(self: Any, gy: Any) -> Any:
        inner = np.zeros(gy.shape)
        inner[:, 1:-1] = -gy[:, 1:-1]
        return inner

    plant(ops.Negate, "grad_x", no_border)
    assert "off by one in padding: only elements at the border along axis 1" in diagnosis(ops.Negate(), X)


def test_no_common_slip(plant: Plant) -> None:
    """What nothing explains is counted and placed."""

    def odd(self: Any, gy: Any) -> Any:
        g = -gy
        g[1, 2] += 0.3
        g[2, 1] *= 1.7
        return g

    plant(ops.Negate, "grad_x", odd)
    assert diagnosis(ops.Negate(), X) == "gradient of x: no common slip explains it: 2 of 12 elements are wrong, first at [1, 2]"
    plant(ops.Negate, "grad_x", lambda self, gy: -gy * gy)
    assert "12 of 12 elements are wrong" in diagnosis(ops.Negate(), X)


def test_a_large_input_is_diagnosed_by_what_was_compared(plant: Plant) -> None:
    """Too large to be differentiated whole for a diagnosis: the elements compared one by one tell a sign, a factor, a zero."""
    x = RNG.standard_normal((40, 40))
    plant(ops.Negate, "grad_x", lambda self, gy: gy)
    assert diagnosis(ops.Negate(), x).endswith("sign: the gradient is the right one negated")
    plant(ops.Negate, "grad_x", lambda self, gy: -gy * abs(gy))
    assert diagnosis(ops.Negate(), x).endswith("elements that were compared one by one are wrong")
    report = check_gradients(ops.Negate(), x, order=1, coordinates=0)
    assert not report.ok and report.diagnoses == []  # one element tells nothing


def test_kinks_in_the_way_leave_the_elements_that_were_compared(plant: Plant) -> None:
    """At a kink there is no gradient to diagnose, but there are other elements."""
    plant(ops.Relu, "grad_x", lambda self, gy, y: -gy * (y > 0))
    assert "sign" in diagnosis(ops.relu, np.array([0.0, 1.0, 2.0]))


def test_nothing_is_diagnosed_where_the_fault_is_in_another_input(plant: Plant) -> None:
    """One of two inputs is wrong: one diagnosis."""
    plant(ops.Multiply, "grad_w", lambda self, gy, x: 3.0 * gy * x)
    assert diagnosis(ops.Multiply(), X, X + 1.0).startswith("gradient of w: factor 3, and 3 is the length of axis 0 of x")
