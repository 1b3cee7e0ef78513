"""The rectifier's kernels."""

from __future__ import annotations

import numpy as np
import pytest

import minivgg as mv
from minivgg import ops

from .pretend_cupy.raw_module import LAUNCHES


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
