"""What differs is not timed."""

from __future__ import annotations

import numpy as np
import pytest

from measuring.agreement import compare_gradients, compare_outputs
from minivgg.errors import GradientError

GRADIENTS = {"w": np.array([3.0, 4.0]), "b": np.array([1e-12])}


def check(loss=2.0, **changed):
    """Against GRADIENTS and a loss of 2, to 1e-6."""
    return compare_gradients((loss, {**GRADIENTS, **changed}), (2.0, GRADIENTS), "torch", 1e-6, 1e-6)


def test_what_agrees_is_said_with_its_worst_gradient():
    """w is off by 5e-7 of 5; b is all rounding, small beside w, and no disagreement."""
    said = check(w=np.array([3.0, 4.0 + 5e-7]), b=np.array([-1e-12]))
    assert "2 (torch)" in said and "1.0e-07 (w)" in said


@pytest.mark.parametrize(
    "changed",
    [
        {"loss": 2.1},
        {"loss": np.nan},
        {"w": np.array([3.0, 4.1])},
        {"w": np.array([3.0, np.nan])},
        {"b": np.array([1.0])},
        {"c": np.ones(1)},
    ],
    ids=["loss", "NaN loss", "gradient", "NaN gradient", "bias", "another parameter"],
)
def test_what_disagrees_is_an_error(changed):
    """A GradientError, exit code 7, that names the peer."""
    with pytest.raises(GradientError, match="torch") as caught:
        check(**changed)
    assert caught.value.exit_code == 7


def test_outputs_are_compared_to_the_largest():
    """0.001 beside 10 is 1e-4."""
    ours = np.array([10.0, 0.5])
    assert "1.0e-04" in compare_outputs(ours, ours + np.array([0, 1e-3]), "openvino", 1.01e-4)
    for other in (ours + np.array([0, 2e-3]), ours * np.nan, ours[:1]):
        with pytest.raises(GradientError, match="openvino"):
            compare_outputs(ours, other, "openvino", 1.01e-4)
