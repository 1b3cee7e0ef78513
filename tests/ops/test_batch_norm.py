"""Batch normalisation against loops, in training and in evaluation, with and without the overlay's kernel."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest

import minivgg as mv
from minivgg import ops
from minivgg.errors import ConfigError, ShapeError

EPS = 1e-3


def loops(x, gamma, beta, mean=None, var=None):
    """Normalise each channel with sums over its elements; the variance is the biased one."""
    y = np.zeros(x.shape)
    for c in range(x.shape[1]):
        values = [v for row in x[:, c].reshape(len(x), -1) for v in row]
        mu = sum(values) / len(values) if mean is None else mean[c]
        sigma2 = sum((v - mu) ** 2 for v in values) / len(values) if var is None else var[c]
        y[:, c] = gamma[c] * (x[:, c] - mu) / (sigma2 + EPS) ** 0.5 + beta[c]
    return y


@pytest.fixture(params=["kernels", "reference"])
def overlay(request):
    """Run the test with the overlay's kernels and without."""
    with nullcontext() if request.param == "kernels" else mv.reference():
        yield


@pytest.fixture(params=[(3, 2, 4, 5), (6, 3), (2, 2, 3), (1, 2, 3, 1)], ids=str)
def data(request):
    """(x, gamma, beta) of several ranks."""
    rng = np.random.default_rng(1)
    c = request.param[1]
    return rng.standard_normal(request.param) * 3 + 5, rng.uniform(0.5, 2, c), rng.standard_normal(c)


def test_training_equals_the_loops(data, overlay):
    """Statistics of the batch, biased variance, ε inside the root."""
    np.testing.assert_allclose(ops.batch_norm(*data, eps=EPS), loops(*data), rtol=1e-12, atol=1e-12)


def test_evaluation_equals_the_loops(data, overlay):
    """The given statistics are used, not the batch's."""
    c = data[0].shape[1]
    mean, var = np.linspace(-1, 1, c), np.linspace(0.5, 2, c)
    np.testing.assert_allclose(ops.batch_norm(*data, mean=mean, var=var, eps=EPS), loops(*data, mean, var), rtol=1e-12, atol=1e-12)


def test_training_gradient_equals_the_whole_jacobian(data, overlay):
    """gx_j = Σ_i gy_i ∂y_i/∂x_j, with ∂y_i/∂x_j = γ/s·(δ_ij − 1/m − x̂_i·x̂_j/m) written out for all pairs of elements."""
    x, gamma, beta = data
    gy = np.random.default_rng(2).standard_normal(x.shape)
    expected = np.zeros(x.shape)
    for c in range(x.shape[1]):
        values, g = x[:, c].ravel(), gy[:, c].ravel()
        m, s = len(values), np.sqrt(values.var() + EPS)
        normal = (values - values.mean()) / s
        jacobian = np.array([[((i == j) - 1 / m - normal[i] * normal[j] / m) * gamma[c] / s for j in range(m)] for i in range(m)])
        expected[:, c] = (g @ jacobian).reshape(expected[:, c].shape)
    tensors = [mv.Tensor(a, requires_grad=True) for a in data]
    gx, ggamma, gbeta = mv.grad(ops.batch_norm(*tensors, eps=EPS), tensors, gy)
    axes = (0, *range(2, x.ndim))
    np.testing.assert_allclose(gx, expected, rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(ggamma, (gy * loops(x, np.ones_like(gamma), np.zeros_like(beta))).sum(axes), rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(gbeta, gy.sum(axes), rtol=1e-12, atol=1e-12)


def test_evaluation_gradient_is_a_plain_scale(data, overlay):
    """With given statistics y is affine in x: gx = gy·γ/√(var + ε), without mean and variance terms."""
    x, gamma, beta = data
    shape = (1, -1) + (1,) * (x.ndim - 2)
    mean, var = np.zeros_like(gamma), np.full_like(gamma, 4.0)
    gy = np.random.default_rng(2).standard_normal(x.shape)
    tensor = mv.Tensor(x, requires_grad=True)
    (gx,) = mv.grad(ops.batch_norm(tensor, gamma, beta, mean=mean, var=var, eps=EPS), tensor, gy)
    np.testing.assert_allclose(gx, gy * (gamma / np.sqrt(4.0 + EPS)).reshape(shape), rtol=1e-12)


def test_the_gradient_ignores_what_the_output_does_not_depend_on(data, overlay):
    """Shifting or scaling a channel leaves y (but for ε), so gx is orthogonal to 1 and to x̂."""
    x, gamma, beta = data
    gy = np.random.default_rng(3).standard_normal(x.shape)
    tensor = mv.Tensor(x, requires_grad=True)
    (gx,) = mv.grad(ops.batch_norm(tensor, gamma, beta, eps=1e-12), tensor, gy)
    axes = (0, *range(2, x.ndim))
    np.testing.assert_allclose(gx.sum(axes), 0, atol=1e-10)
    np.testing.assert_allclose((gx * x).sum(axes), 0, atol=1e-9)


def test_a_large_mean_does_not_drown_the_variance(overlay):
    """Values 10000 ± 1 in float32: the variance is taken of centred values, so it is 1 and not 0 or negative."""
    x = np.where(np.arange(64).reshape(4, 1, 4, 4) % 2, 10001, 9999).astype("float32")
    y = ops.batch_norm(x, np.ones(1, "float32"), np.zeros(1, "float32"))
    np.testing.assert_allclose(np.abs(y), 1.0, rtol=1e-3)


def test_two_channels_by_hand():
    """Channel 0 holds 1 and 3 (mean 2, deviation 1) → ∓1; channel 1 holds 5 and 5 → 0; then 10·x̂ + 7."""
    y = ops.batch_norm(np.array([[1.0, 5.0], [3.0, 5.0]]), np.full(2, 10.0), np.full(2, 7.0), eps=1e-15)
    np.testing.assert_allclose(y, [[-3.0, 7.0], [17.0, 7.0]], rtol=1e-12)


GAMMA = np.ones(3)


@pytest.mark.parametrize(
    ("x", "gamma", "options", "message"),
    [
        (np.ones((1, 3, 1, 1)), GAMMA, {}, r"the batch \(1, 3, 1, 1\) has 1 value per channel.*two or more images.*model\.eval\(\)"),
        (np.ones((1, 3)), GAMMA, {}, r"1 value per channel"),
        (np.ones((2, 4, 2, 2)), GAMMA, {}, r"has 3 channels, so it needs a batch \(N, 3, …\), but got \(2, 4, 2, 2\)"),
        (np.ones(3), GAMMA, {}, r"\(N, 3, …\), but got \(3,\)"),
        (np.ones((2, 3, 2, 2)), GAMMA, {"mean": np.zeros(3)}, r"both mean and var.*or neither"),
        (np.ones((2, 3, 2, 2)), GAMMA, {"var": np.ones(3)}, r"both mean and var.*or neither"),
        (np.ones((2, 3, 2, 2), "float32"), GAMMA, {}, r"batch is float32 and the parameters are float64.*x\.to\(dtype='float64'\)"),
        (np.ones((2, 3), int), GAMMA, {}, r"batch is int64 and the parameters are float64"),
    ],
)
def test_impossible_batches_say_what_was_expected(x, gamma, options, message):
    """One value per channel, wrong channel counts, and half of the statistics are refused with the remedy."""
    with pytest.raises(ShapeError, match=message):
        ops.batch_norm(x, gamma, np.zeros(3), **options)


def test_one_value_per_channel_is_fine_in_evaluation():
    """With given statistics a single image of one pixel is normalised."""
    y = ops.batch_norm(np.full((1, 3, 1, 1), 4.0), GAMMA, np.zeros(3), mean=np.full(3, 2.0), var=np.full(3, 4.0), eps=0.0)
    assert y.ravel().tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("name", ["beta", "mean", "var"])
@pytest.mark.parametrize(
    ("wrong", "described"),
    [
        (np.ones(4), r"float64 \(4,\)"),
        (np.ones(1), r"float64 \(1,\)"),
        (np.ones((3, 1)), r"float64 \(3, 1\)"),
        (np.ones(3, "float32"), r"float32 \(3,\)"),
    ],
    ids=["longer", "one that would broadcast", "another rank", "another dtype"],
)
def test_parameters_and_statistics_must_be_as_gamma(name, wrong, described):
    """A vector of another size or dtype is refused by name, although some would broadcast or be converted silently."""
    options = {"beta": np.zeros(3), "mean": np.zeros(3), "var": np.ones(3), name: wrong}
    with pytest.raises(ShapeError, match=rf"batch_norm: {name} is {described}, but must be as gamma, float64 \(3,\)"):
        ops.batch_norm(np.ones((2, 3, 2, 2)), GAMMA, options.pop("beta"), **options)


@pytest.mark.parametrize("eps", [-1e-5, float("nan")])
def test_eps_may_not_be_negative(eps):
    """√(σ² + ε) would be NaN for a small variance; NaN is refused, too."""
    with pytest.raises(ConfigError, match=rf"eps ≥ 0, but it is {eps}"):
        ops.batch_norm(np.ones((2, 3)), GAMMA, np.zeros(3), eps=eps)


def test_a_batch_without_channels():
    """In evaluation it stays empty; in training there is nothing to take statistics of, which is said, not a division by zero."""
    x, none = np.ones((2, 0, 3, 3)), np.ones(0)
    assert ops.batch_norm(x, none, none, mean=none, var=none).shape == x.shape
    with pytest.raises(ShapeError, match=r"\(2, 0, 3, 3\) has 0 value per channel"):
        ops.batch_norm(x, none, none)
