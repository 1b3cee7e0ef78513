"""Local response normalisation against loops, with the paper's α and torch's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minivgg as mv
from minivgg import ops
from minivgg.errors import ConfigError, ShapeError


def lrn_by_loops(x, gy, size, alpha, beta, k):
    """(y, gx): b_i = a_i / (k + α Σ_{j in window of i} a_j²)^β, and its Jacobian, element by element."""
    y, gx, channels = np.zeros(x.shape), np.zeros(x.shape), x.shape[1]
    for n, i, h, w in np.ndindex(x.shape):
        near = range(max(0, i - size // 2), min(channels - 1, i + (size - 1) // 2) + 1)
        energy = k + alpha * sum(x[n, j, h, w] ** 2 for j in near)
        y[n, i, h, w] = x[n, i, h, w] / energy**beta
        gx[n, i, h, w] += gy[n, i, h, w] / energy**beta
        for j in near:
            gx[n, j, h, w] -= gy[n, i, h, w] * x[n, i, h, w] * beta * energy ** (-beta - 1) * 2 * alpha * x[n, j, h, w]
    return y, gx


@given(
    st.integers(1, 8), st.integers(1, 6), st.sampled_from([1e-4, 0.5]), st.sampled_from([0.75, 1.0]), st.booleans(), st.integers(0, 2**32)
)  # fmt: skip
def test_lrn_and_its_gradient_equal_the_loops(channels, size, alpha, beta, over_n, seed):
    """Windows are cut off at the first and last channel; α is divided by the size only on request."""
    rng = np.random.default_rng(seed)
    x, gy = rng.standard_normal((2, channels, 1, 2)), rng.standard_normal((2, channels, 1, 2))
    y, gx = lrn_by_loops(x, gy, size, alpha / size if over_n else alpha, beta, 2.0)
    tensor = mv.Tensor(x, requires_grad=True)
    result = ops.local_response_norm(tensor, size=size, alpha=alpha, beta=beta, alpha_over_n=over_n)
    np.testing.assert_allclose(result.data, y, rtol=1e-12)
    np.testing.assert_allclose(mv.grad(result, tensor, gy)[0], gx, rtol=1e-11, atol=1e-13)


def test_three_channels_by_hand():
    """Channels 1, 2, 3 with size 3, α = β = k = 1: 1/(1+1+4), 2/(1+1+4+9), 3/(1+4+9)."""
    y = ops.local_response_norm(np.array([1.0, 2.0, 3.0]).reshape(1, 3, 1, 1), size=3, alpha=1.0, beta=1.0, k=1.0)
    np.testing.assert_allclose(y.ravel(), [1 / 6, 2 / 15, 3 / 14], rtol=1e-15)


def test_the_defaults_are_the_papers():
    """n = 5, α = 1e-4 not divided by n, β = 0.75, k = 2: a lone 100 becomes 100 / (2 + 1e-4·1e4)^0.75 = 100 / 3^0.75."""
    y = ops.local_response_norm(np.full((1, 1, 1, 1), 100.0))
    assert np.isclose(y.item(), 100 / 3**0.75, rtol=1e-14)


def test_torchs_five_times_larger_alpha_is_the_papers():
    """With α/n, 5e-4 and n = 5 are the paper's 1e-4."""
    x = np.random.default_rng(0).standard_normal((1, 7, 2, 2)) * 50
    np.testing.assert_allclose(ops.local_response_norm(x), ops.local_response_norm(x, alpha=5e-4, alpha_over_n=True), rtol=1e-14)


def test_impossible_arguments_are_refused():
    """A window of no channels, and a batch without an image."""
    with pytest.raises(ConfigError, match="at least 1 channel, but is 0"):
        ops.local_response_norm(np.ones((1, 2, 1, 1)), size=0)
    with pytest.raises(ShapeError, match=r"\(N, C, H, W\).*\(2, 3\)"):
        ops.local_response_norm(np.ones((2, 3)))


def test_channels_last_storage_is_kept():
    """A pixel's channels lie side by side in the result and in the gradient, if they do in x: no layer has to convert."""
    stored = np.random.default_rng(0).standard_normal((2, 4, 5, 3)).transpose(0, 3, 1, 2)
    x = mv.Tensor(stored, requires_grad=True)
    y = ops.local_response_norm(x)
    (g,) = mv.grad(y, x, np.ones((2, 4, 5, 3)).transpose(0, 3, 1, 2))
    assert y.data.strides[1] == g.strides[1] == stored.itemsize
