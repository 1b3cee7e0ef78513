"""The rectifier's kernels."""

from __future__ import annotations

import numpy as np
import pytest

import minivgg as mv
from minivgg import ops
from minivgg.fast.cuda import relu

from .pretend_cupy.raw_module import LAUNCHES, RawModule


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_relu_and_its_gradient_are_exact(card, dtype):
    """y = max(x, 0) and gx = gy where y > 0, by kernels, for channels-last images; NaN goes through."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 5, 7, 3)).transpose(0, 3, 1, 2).astype(dtype)
    x[0, 0, 0, 0], gy, device = np.nan, rng.standard_normal(x.shape).astype(dtype), mv.Device("cuda")
    tensor = mv.Tensor(device.asarray(x), requires_grad=True)
    LAUNCHES.clear()
    y = ops.relu(tensor)
    y.backward(device.asarray(gy))
    assert LAUNCHES == ["relu", "relu_gradient"]
    assert np.array_equal(y.data.get(), np.maximum(x, 0), equal_nan=True)
    assert np.array_equal(tensor.grad.get(), gy * (x > 0))


def test_a_kernel_is_looked_up_once(card, monkeypatch):
    """CuPy's get_function makes a new object each time, which takes the host as long as a launch: a program keeps what it got."""
    asked, look_up = [], RawModule.get_function
    monkeypatch.setattr(RawModule, "get_function", lambda module, name: asked.append(name) or look_up(module, name))
    monkeypatch.setattr(relu._PROGRAM, "_kernels", {})
    for _ in range(3):
        relu.forward(None, card.asarray(np.ones(3, np.float32)))
    relu.forward(None, card.asarray(np.ones(3, np.float64)))
    assert asked == ["relu", "relu"]
