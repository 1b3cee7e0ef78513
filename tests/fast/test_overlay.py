"""The overlay stands in for rules: for those that keep what its kernels need."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minivgg as mv
from minivgg import ops
from minivgg.fast import kernels

X = np.array([[-1.0, 2.0, -3.0]])


def gradient() -> Any:
    """Of a rectifier's sum."""
    x = mv.Tensor(X, requires_grad=True)
    ops.relu(x).sum().backward()
    return x.grad


def test_a_replaced_rule_that_keeps_less_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel of Relu reads y, which nothing keeps if the rule on the class does not name it: then the rule decides."""
    call = ops.Relu()
    assert kernels.find(call, "backward", [X]) is not None
    monkeypatch.setattr(ops.Relu, "grad_x", lambda self, gy: 3.0 * gy)
    assert kernels.find(call, "backward", [X]) is None and kernels.find(call, "forward", [X]) is not None
    np.testing.assert_array_equal(gradient(), [[3.0, 3.0, 3.0]])
    monkeypatch.undo()
    np.testing.assert_array_equal(gradient(), [[0.0, 1.0, 0.0]])


def test_a_replaced_rule_that_keeps_as_much_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is still the kernel that computes, right or wrong as the rule may be; within reference() it is the rule."""
    monkeypatch.setattr(ops.Relu, "grad_x", lambda self, gy, y: 3.0 * gy)
    np.testing.assert_array_equal(gradient(), [[0.0, 1.0, 0.0]])
    with mv.reference():
        np.testing.assert_array_equal(gradient(), [[3.0, 3.0, 3.0]])
