"""ops.dropout: its mask, its scale, its gradient."""

from __future__ import annotations

import numpy as np
import pytest

import minivgg as mv
from minivgg import ops
from minivgg.backend.random import stream
from minivgg.errors import ConfigError


def test_kept_values_are_enlarged_and_the_gradient_uses_the_same_mask():
    """With p = 0.75 what is kept is multiplied by 4; gx is gy·4 at the same places, 0 elsewhere."""
    x = mv.Tensor(np.full((40, 50), 3.0), requires_grad=True)
    y = ops.dropout(x, 0.75, rng=stream(0, "test"))
    assert set(np.unique(y.data)) == {0.0, 12.0}
    gy = np.random.default_rng(0).standard_normal(y.shape)
    np.testing.assert_array_equal(mv.grad(y, x, gy)[0], gy * (y.data / 3.0))
    assert abs((y.data > 0).mean() - 0.25) < 0.05  # 2000 draws: the deviation is 0.0097


def test_the_mask_is_the_stream_in_logical_order():
    """Kept is where the stream's uniform float32 number, drawn in (N, H, W, C) order, is at least p."""
    draws = stream(7, "mask").random((2, 4, 5, 3), dtype=np.float32).transpose(0, 3, 1, 2)
    y = ops.dropout(np.ones((2, 3, 4, 5)), 0.5, rng=stream(7, "mask"))
    np.testing.assert_array_equal(y, np.where(draws >= 0.5, 2.0, 0.0))


def test_the_mask_does_not_depend_on_storage_or_dtype():
    """C order, channels-last, float32 and float64 see the same mask."""
    x = np.ones((2, 3, 4, 5))
    masks = [ops.dropout(v, 0.5, rng=stream(1)) > 0 for v in (x, x.astype("float32"), np.asfortranarray(x), x[:, ::-1])]
    for mask in masks[1:]:
        np.testing.assert_array_equal(mask, masks[0])


def test_the_ends_of_the_range():
    """p = 0 changes nothing, p = 1 gives zeros with zero gradient."""
    x = mv.Tensor(np.ones(3), requires_grad=True)
    assert ops.dropout(x, 0.0, rng=stream(0)) is x
    y = ops.dropout(x, 1.0, rng=stream(0))
    assert not y.data.any() and not mv.grad(y.sum(), x)[0].any()


def test_p_must_be_a_probability():
    """Outside [0, 1] it is refused."""
    for p in (-0.1, 1.1):
        with pytest.raises(ConfigError, match=rf"probability in \[0, 1\], but is {p}"):
            ops.dropout(np.ones(3), p, rng=stream(0))
