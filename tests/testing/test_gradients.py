"""The gradient check itself: what it accepts, what it refuses, and how it treats kinks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minivgg import ops
from minivgg.errors import ConfigError, GradientError, GraphError
from minivgg.testing import check_gradients, check_model


@pytest.mark.parametrize("name", ["vgg11", "vgg11_bn", "vgg11_lrn"])
def test_a_miniature_vgg_is_right_end_to_end(name: str) -> None:
    """4 channels, 32×32, float64: 400 random coordinates and 8 unit directions agree with finite differences, both with the
    kernels and without them."""
    report = check_model(name, coordinates=400, directions=8)
    assert report.ok, str(report)
    assert [(s.title, s.outcome.coordinates) for s in report.sections if s.title.startswith("order")] == [
        ("order 1, with kernels", 400),
        ("order 1, reference", 400),
    ]
    assert report.missed <= 1e-4


def test_a_coordinate_at_a_kink_is_reported_and_replaced() -> None:
    """Of four ReLU inputs one lies within the step of 0: it is named and counted, the other three and the directions pass."""
    x = np.array([1.0, -1.0, 1e-6, 0.5])
    report = check_gradients(ops.relu, x, order=1, coordinates=4)
    assert report.ok
    assert any("kink at Relu[2], met at x[2]" in kink for kink in report.kinks)
    assert "kinks met and resampled" in str(report)


def test_tied_pool_windows_are_kinks() -> None:
    """Two equal values in one window: perturbing either changes the winner, which is reported, not compared."""
    x = np.array([[[[1.0, 1.0], [0.0, 0.5]]]])
    report = check_gradients(ops.max_pool2d, x, order=1)
    assert any("MaxPool2d" in kink for kink in report.kinks)
    assert report.ok


def test_a_wrong_gradient_raises_with_the_whole_report() -> None:
    """raise_if_failed names the function, the place, both numbers and their ratio."""

    def detached(x: Any) -> Any:
        return x * x.detach()  # looks like x², differentiates like x·constant

    report = check_gradients(detached, np.array([1.5, -0.5]), order=1)
    assert not report and not report.ok
    with pytest.raises(GradientError, match=r"WRONG: gradients of detached") as error:
        report.raise_if_failed()
    assert "8 of 8 wrong" in str(error.value)
    assert "x[1]: numeric 0.5722495238, analytic 0.2861247619, error 0.286, allowed 2.86e-09, ratio 0.5" in str(error.value)
    assert "diagnosis: gradient of x: factor ½" in str(error.value)


def test_integer_operands_are_held_constant() -> None:
    """Targets of a loss are not perturbed."""
    report = check_gradients(lambda x, t: ops.cross_entropy(x, t), np.random.default_rng(0).standard_normal((3, 4)), np.array([0, 3, 1]))
    assert report.ok and report.comparisons > 0


def test_unusable_inputs_are_named() -> None:
    """float32, no floating-point input, an impossible order, and a function that returns no tensor are refused with a remedy."""
    with pytest.raises(ConfigError, match="float64"):
        check_gradients(ops.exp, np.ones(2, np.float32))
    with pytest.raises(GraphError, match="nothing to differentiate"):
        check_gradients(ops.exp, np.ones(2, np.int64))
    with pytest.raises(ConfigError, match="order must be 1 or 2"):
        check_gradients(ops.exp, np.ones(2), order=3)
    with pytest.raises(GraphError, match="must return a Tensor"):
        check_gradients(lambda x: x.data, np.ones(2))


def test_the_same_seed_gives_the_same_report() -> None:
    """Samples come from a stream."""
    x = np.random.default_rng(0).standard_normal((4, 30))
    assert str(check_gradients(ops.tanh, x, coordinates=5, seed=3)) == str(check_gradients(ops.tanh, x, coordinates=5, seed=3))
