"""Clipping by the joint norm."""

from __future__ import annotations

import numpy as np
import pytest

from minivgg.autograd.core import Tensor
from minivgg.errors import ConfigError
from minivgg.optim import clip_grad_norm, gradient_norm


def pairs():
    """Two parameters with the joint gradient norm √(3² + 4² + 12²) = 13, and one without a gradient."""
    a, b, c = (Tensor(np.zeros(n, "float32"), requires_grad=True) for n in (2, 1, 1))
    a.grad, b.grad = np.array([3, 4], "float32"), np.array([12], "float32")
    return [("a", a), ("b", b), ("c", c)]


def test_long_gradients_are_scaled_to_the_bound():
    """Norm 13 clipped at 1.3: a tenth of each; the norm before is returned; float32 stays."""
    named = pairs()
    given = named[0][1].grad
    assert float(clip_grad_norm(named, 1.3)) == pytest.approx(13)
    np.testing.assert_allclose(named[0][1].grad, [0.3, 0.4], rtol=1e-6)
    assert named[0][1].grad.dtype == np.float32 and float(gradient_norm(named)) == pytest.approx(1.3)
    assert given.tolist() == [3, 4]


def test_short_gradients_stay():
    """Below the bound nothing changes, bit for bit."""
    named = pairs()
    clip_grad_norm(named, 13.1)
    assert named[0][1].grad.tolist() == [3, 4] and named[1][1].grad.tolist() == [12]
    assert gradient_norm([]) == 0


def test_the_bound_must_be_positive():
    """Zero is refused: it would stop training without a word."""
    with pytest.raises(ConfigError, match="max_norm must be > 0"):
        clip_grad_norm(pairs(), 0.0)
