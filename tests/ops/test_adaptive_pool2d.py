"""Adaptive average pooling against loops: as many cells as asked for, whatever the image's size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minivgg as mv
from minivgg import ops
from minivgg.errors import ShapeError


@given(st.integers(1, 7), st.integers(1, 7), st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**32))
def test_adaptive_average_equals_the_loops(h, w, p_, q_, seed):
    """Cell i covers rows ⌊i·H/P⌋ to ⌈(i+1)·H/P⌉ − 1, also where there are more cells than rows."""
    rng = np.random.default_rng(seed)
    x, gy, y, gx = rng.standard_normal((1, 2, h, w)), rng.standard_normal((1, 2, p_, q_)), np.zeros((1, 2, p_, q_)), np.zeros((1, 2, h, w))
    for c, p, q in np.ndindex(2, p_, q_):
        rows = [i for i in range(h) if i >= np.floor(p * h / p_) and i < np.ceil((p + 1) * h / p_)]
        cols = [j for j in range(w) if j >= np.floor(q * w / q_) and j < np.ceil((q + 1) * w / q_)]
        for i, j in ((i, j) for i in rows for j in cols):
            y[0, c, p, q] += x[0, c, i, j] / (len(rows) * len(cols))
            gx[0, c, i, j] += gy[0, c, p, q] / (len(rows) * len(cols))
    tensor = mv.Tensor(x, requires_grad=True)
    result = ops.adaptive_avg_pool2d(tensor, (p_, q_))
    np.testing.assert_allclose(result.data, y, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(mv.grad(result, tensor, gy)[0], gx, rtol=1e-12, atol=1e-13)


def test_adaptive_cells_by_hand():
    """Five values in two cells share the middle one: (1+2+3)/3 = 2 and (3+4+5)/3 = 4."""
    y = ops.adaptive_avg_pool2d(np.arange(1.0, 6.0).reshape(1, 1, 1, 5), (1, 2))
    np.testing.assert_allclose(y.ravel(), [2.0, 4.0], rtol=1e-15)


def test_adaptive_pooling_needs_an_image():
    """No batch axis, and no rows, are refused."""
    for shape in [(2, 4, 4), (1, 2, 0, 4)]:
        with pytest.raises(ShapeError, match=r"\(N, C, H, W\)"):
            ops.adaptive_avg_pool2d(np.ones(shape), 2)


def test_adaptive_pooling_to_the_images_own_size_is_the_image():
    """One cell for each pixel: nothing is computed, copied or recorded."""
    x = mv.Tensor(np.ones((1, 2, 4, 4)), requires_grad=True)
    assert ops.adaptive_avg_pool2d(x, 4) is x and ops.adaptive_avg_pool2d(x, (4, 2)) is not x
