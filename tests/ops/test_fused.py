"""Fused ops against loops: values and gradients of every operand, at kinks, and what their functions refuse."""

from __future__ import annotations

import itertools
from contextlib import nullcontext

import numpy as np
import pytest

import minivgg as mv
from minivgg import ops
from minivgg.errors import ConfigError, ShapeError

EPS = 1e-3
RNG = np.random.default_rng(7)


@pytest.fixture(params=["kernels", "reference"], autouse=True)
def overlay(request):
    """Run each test with the overlay's kernels and without."""
    with nullcontext() if request.param == "kernels" else mv.reference():
        yield


def gradients(function, arrays, gy):
    """The gradients of function(*arrays) by all arrays, weighted by gy."""
    tensors = [mv.Tensor(a, requires_grad=True) for a in arrays]
    return mv.grad(function(*tensors), tensors, gy)


def norm_loops(x, gamma, beta, gy):
    """(y, gx, gγ, gβ) of one channel (values in a list), all pairs of elements written out."""
    m = len(x)
    mean = sum(x) / m
    s = (sum((v - mean) ** 2 for v in x) / m + EPS) ** 0.5
    normal = [(v - mean) / s for v in x]
    y = [max(gamma * n + beta, 0.0) for n in normal]
    g = [b if a > 0 else 0.0 for a, b in zip(y, gy, strict=True)]
    gx = [sum(g[i] * gamma / s * ((i == j) - 1 / m - normal[i] * normal[j] / m) for i in range(m)) for j in range(m)]
    return y, gx, sum(a * n for a, n in zip(g, normal, strict=True)), sum(g)


@pytest.mark.parametrize("shape", [(3, 2, 4, 5), (6, 3), (2, 2, 3), (1, 2, 3, 1)], ids=str)
def test_batch_norm_relu_equals_the_loops(shape):
    """Values and all three gradients, for images and other ranks."""
    c = shape[1]
    x, gamma, beta, gy = RNG.standard_normal(shape) * 3 + 5, RNG.uniform(0.5, 2, c), RNG.standard_normal(c), RNG.standard_normal(shape)
    y = ops.batch_norm_relu(x, gamma, beta, eps=EPS)
    gx, ggamma, gbeta = gradients(lambda *t: ops.batch_norm_relu(*t, eps=EPS), (x, gamma, beta), gy)
    for k in range(c):
        expected = norm_loops(x[:, k].ravel().tolist(), gamma[k], beta[k], gy[:, k].ravel().tolist())
        for a, b in zip((y[:, k].ravel(), gx[:, k].ravel(), ggamma[k], gbeta[k]), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-11)


def conv_loops(x, w, b, gy, stride, padding, dilation, groups):
    """(y, gx, gw, gb), multiplication by multiplication."""
    (n, _, h, wide), (k, c, r, s) = x.shape, w.shape
    p, q = ((size + 2 * padding - dilation * (taps - 1) - 1) // stride + 1 for size, taps in ((h, r), (wide, s)))
    y, gx, gw, gb = np.zeros((n, k, p, q)), np.zeros(x.shape), np.zeros(w.shape), np.zeros(k)

    def touched(i, j):
        """(tap's row, tap's column, image's row, image's column) of window (i, j), padding left out."""
        for u, v in itertools.product(range(r), range(s)):
            row, column = i * stride + u * dilation - padding, j * stride + v * dilation - padding
            if 0 <= row < h and 0 <= column < wide:
                yield u, v, row, column

    for m, f, i, j in itertools.product(range(n), range(k), range(p), range(q)):
        first = f // (k // groups) * c
        y[m, f, i, j] = b[f] + sum(x[m, first + a, row, column] * w[f, a, u, v] for u, v, row, column in touched(i, j) for a in range(c))
        if y[m, f, i, j] <= 0:
            y[m, f, i, j] = 0.0
            continue
        gb[f] += gy[m, f, i, j]
        for u, v, row, column in touched(i, j):
            for a in range(c):
                gx[m, first + a, row, column] += gy[m, f, i, j] * w[f, a, u, v]
                gw[f, a, u, v] += gy[m, f, i, j] * x[m, first + a, row, column]
    return y, gx, gw, gb


@pytest.mark.parametrize(
    ("x_shape", "w_shape", "stride", "padding", "dilation", "groups"),
    [((2, 3, 5, 6), (4, 3, 3, 3), 1, 1, 1, 1), ((1, 2, 7, 5), (2, 2, 2, 1), 3, 0, 1, 1), ((2, 4, 5, 5), (4, 2, 2, 3), 2, 2, 2, 2)],
)
def test_conv2d_relu_equals_the_loops(x_shape, w_shape, stride, padding, dilation, groups):
    """Values and all three gradients, with strides, padding, dilation and groups."""
    x, w, b = RNG.standard_normal(x_shape), RNG.standard_normal(w_shape), RNG.standard_normal(w_shape[0])
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    y = ops.conv2d_relu(x, w, b, **options)
    gy = RNG.standard_normal(y.shape)
    found = [y, *gradients(lambda *t: ops.conv2d_relu(*t, **options), (x, w, b), gy)]
    for a, expected in zip(found, conv_loops(x, w, b, gy, **options), strict=True):
        np.testing.assert_allclose(a, expected, rtol=1e-10, atol=1e-11)


def test_without_a_bias_only_images_and_filters_have_gradients():
    """1×1 filters of one weight: y = max(w·x, 0), so gx = w·gy and gw = Σ x·gy where w·x > 0."""
    x, w = np.array([1.0, -2.0, 3.0]).reshape(1, 1, 1, 3), np.full((1, 1, 1, 1), -2.0)
    gx, gw = gradients(ops.conv2d_relu, (x, w), np.ones(x.shape))
    np.testing.assert_array_equal(ops.conv2d_relu(x, w).ravel(), [0.0, 4.0, 0.0])
    np.testing.assert_array_equal(gx.ravel(), [0.0, -2.0, 0.0])
    assert gw.item() == -2.0


def test_at_the_kink_nothing_flows_and_nan_goes_through():
    """Where the sum is exactly 0 the slope is 0, as in relu; a NaN stays a NaN."""
    x, w = np.array([0.0, 1.0, np.nan]).reshape(1, 1, 1, 3), np.ones((1, 1, 1, 1))
    np.testing.assert_array_equal(ops.conv2d_relu(x, w).ravel(), [0.0, 1.0, np.nan])
    np.testing.assert_array_equal(gradients(ops.conv2d_relu, (x, w), np.ones(x.shape))[0].ravel(), [0.0, 1.0, 0.0])
    two = np.array([[-1.0], [1.0], [0.0]])  # the mean is 0, so γ·x̂ is exactly 0 for the last
    y, (_, _, gbeta) = (
        ops.batch_norm_relu(two, np.ones(1), np.zeros(1)),
        gradients(ops.batch_norm_relu, (two, np.ones(1), np.zeros(1)), np.ones((3, 1))),
    )
    assert y[2, 0] == 0 and gbeta.item() == 1.0
    with np.errstate(invalid="ignore"):
        assert np.isnan(ops.batch_norm_relu(np.array([[1.0], [np.nan]]), np.ones(1), np.zeros(1))).all()


def test_the_mask_of_the_backward_pass_is_that_of_the_forward_pass():
    """In float32, with a β that makes one element of each channel exactly 0, where another order of roundings would not: gβ of
    a cotangent of ones counts the positive results."""
    x = RNG.standard_normal((8, 3, 16, 16)).astype(np.float32)
    gamma = RNG.uniform(0.5, 2.0, 3).astype(np.float32)
    normed = ops.batch_norm(x, gamma, np.zeros(3, np.float32))
    for i in range(8):
        beta = -normed[i, :, i, i]
        y = ops.batch_norm_relu(x, gamma, beta)
        gbeta = gradients(ops.batch_norm_relu, (x, gamma, beta), np.ones(x.shape, np.float32))[2]
        np.testing.assert_array_equal(gbeta, (y > 0).sum((0, 2, 3)))


def test_statistics_are_on_the_call():
    """`run` returns the call with the batch's mean and biased variance, as batch norm's does."""
    x = RNG.standard_normal((4, 2, 3, 3))
    call = ops.BatchNormRelu(EPS).run(x, np.ones(2), np.zeros(2))[1]
    np.testing.assert_allclose(call.mean, x.mean((0, 2, 3)), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(call.variance, x.var((0, 2, 3)), rtol=1e-12)


ONES = np.ones(2)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "match"),
    [
        ((np.ones((2, 3)), ONES, ONES), {}, ShapeError, r"^batch_norm_relu has 2 channels, so it needs a batch \(N, 2, …\)"),
        ((np.ones((1, 2)), ONES, ONES), {}, ShapeError, "^batch_norm_relu: .* has 1 value per channel"),
        ((np.ones((4, 2), np.float32), ONES, ONES), {}, ShapeError, "^batch_norm_relu: the batch is float32"),
        ((np.ones((4, 2)), ONES, np.ones(3)), {}, ShapeError, r"^batch_norm_relu: beta is float64 \(3,\), but must be as gamma"),
        ((np.ones((4, 2)), ONES, ONES), {"eps": -1.0}, ConfigError, "^batch_norm_relu needs eps ≥ 0, but it is -1.0"),
    ],
)
def test_batch_norm_relu_refuses_what_does_not_fit(arguments, options, error, match):
    """Every check of batch norm, under this function's name."""
    with pytest.raises(error, match=match):
        ops.batch_norm_relu(*arguments, **options)


def test_conv2d_relu_refuses_under_its_own_name():
    """The checks are conv2d's (see illegal_convolutions); the message names the function that was called."""
    with pytest.raises(ShapeError, match=r"^conv2d_relu expects 3 input channels, but the batch"):
        ops.conv2d_relu(np.ones((1, 2, 4, 4)), np.ones((2, 3, 3, 3)))
    with pytest.raises(ConfigError, match="stride must be a whole number"):
        ops.conv2d_relu(np.ones((1, 2, 4, 4)), np.ones((2, 2, 3, 3)), stride=0)
