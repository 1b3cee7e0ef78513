"""Convolution against seven nested loops, for every kind of geometry."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minivgg as mv
from minivgg import ops
from minivgg.errors import ConfigError, ShapeError
from minivgg.ops import columns


def by_loops(x, w, b, gy, stride, padding, dilation, groups):
    """(y, gx, gw, gb) of the convolution, one multiply-add at a time; gy None means ones."""
    (n_, c_, h, wide), (k_, cg, r_, s_) = x.shape, w.shape
    assert c_ == cg * groups
    p_ = (h + 2 * padding[0] - dilation[0] * (r_ - 1) - 1) // stride[0] + 1
    q_ = (wide + 2 * padding[1] - dilation[1] * (s_ - 1) - 1) // stride[1] + 1
    y, gx, gw, gb = np.zeros((n_, k_, p_, q_)), np.zeros(x.shape), np.zeros(w.shape), np.zeros(k_)
    gy = np.ones(y.shape) if gy is None else gy(y.shape)
    for n, k, p, q in np.ndindex(y.shape):
        first = k // (k_ // groups) * cg  # the first channel that filter k sees
        y[n, k, p, q] = b[k]
        gb[k] += gy[n, k, p, q]
        for c, r, s in np.ndindex(cg, r_, s_):
            i, j = p * stride[0] - padding[0] + r * dilation[0], q * stride[1] - padding[1] + s * dilation[1]
            if 0 <= i < h and 0 <= j < wide:
                y[n, k, p, q] += x[n, first + c, i, j] * w[k, c, r, s]
                gx[n, first + c, i, j] += gy[n, k, p, q] * w[k, c, r, s]
                gw[k, c, r, s] += gy[n, k, p, q] * x[n, first + c, i, j]
    return y, gx, gw, gb, gy


@st.composite
def convolutions(draw):
    """(x shape, w shape, options) of any convolution that has an output."""
    spans = {"stride": (1, 3), "padding": (0, 2), "dilation": (1, 2)}
    pairs = {name: (draw(st.integers(*span)), draw(st.integers(*span))) for name, span in spans.items()}
    kernel = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    groups, cg, kg = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(1, 2))
    least = [max(pairs["dilation"][i] * (kernel[i] - 1) + 1 - 2 * pairs["padding"][i], 1) for i in range(2)]
    size = [draw(st.integers(m, m + 4)) for m in least]
    return (draw(st.integers(1, 2)), cg * groups, *size), (kg * groups, cg, *kernel), {**pairs, "groups": groups}


@given(convolutions(), st.integers(0, 2**32))
def test_convolution_and_its_gradients_equal_the_loops(geometry, seed):
    """Forward and all three gradients agree with the loops for any stride, padding, dilation, groups and rectangle."""
    x_shape, w_shape, options = geometry
    rng = np.random.default_rng(seed)
    x, w, b = rng.standard_normal(x_shape), rng.standard_normal(w_shape), rng.standard_normal(w_shape[0])
    y, gx, gw, gb, gy = by_loops(x, w, b, rng.standard_normal, **options)
    tensors = [mv.Tensor(a, requires_grad=True) for a in (x, w, b)]
    result = ops.conv2d(*tensors, **options)
    np.testing.assert_allclose(result.data, y, rtol=1e-12, atol=1e-12)
    for found, expected in zip(mv.grad(result, tensors, gy), (gx, gw, gb), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_a_convolution_by_hand():
    """The 2×2 filter [[1, 2], [3, 4]] over 1…9 as a square.

    1·1+2·2+4·3+5·4 = 37    2·1+3·2+5·3+6·4 = 47
    4·1+5·2+7·3+8·4 = 67    5·1+6·2+8·3+9·4 = 77    and the bias adds 100
    """
    x = np.arange(1.0, 10.0).reshape(1, 1, 3, 3)
    w = np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    assert ops.conv2d(x, w, np.array([100.0])).tolist() == [[[[137.0, 147.0], [167.0, 177.0]]]]


def test_it_is_a_correlation_not_a_flipped_convolution():
    """A filter that is 1 in its upper left corner shifts the image down and right: y[1, 1] = x[0, 0] with padding 1."""
    x = np.arange(9.0).reshape(1, 1, 3, 3)
    w = np.zeros((1, 1, 3, 3))
    w[0, 0, 0, 0] = 1.0
    assert ops.conv2d(x, w, padding=1)[0, 0].tolist() == [[0, 0, 0], [0, 0, 1], [0, 3, 4]]


def test_one_by_one_filters_mix_channels_only():
    """A 1×1 convolution is a matrix product over the channels of each pixel."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 3, 4, 5)), rng.standard_normal((6, 3, 1, 1))
    np.testing.assert_allclose(ops.conv2d(x, w), np.einsum("nchw,kc->nkhw", x, w[:, :, 0, 0]), rtol=1e-12, atol=1e-14)


def test_stride_larger_than_the_kernel_leaves_gaps():
    """A 1×1 filter with stride 3 reads every third pixel; the others get no gradient."""
    x = mv.Tensor(np.arange(49.0).reshape(1, 1, 7, 7), requires_grad=True)
    y = ops.conv2d(x, np.ones((1, 1, 1, 1)), stride=3)
    assert y.data[0, 0].tolist() == [[0, 3, 6], [21, 24, 27], [42, 45, 48]]
    (g,) = mv.grad(y.sum(), x)
    assert g.sum() == 9 and g[0, 0, ::3, ::3].all()


def test_pixels_past_the_last_window_count_for_nothing():
    """A 2×2 filter with stride 2 over 5×5 never sees the last row and column."""
    x = mv.Tensor(np.ones((1, 1, 5, 5)), requires_grad=True)
    (g,) = mv.grad(ops.conv2d(x, np.ones((1, 1, 2, 2)), stride=2).sum(), x)
    assert g[0, 0, :4, :4].all() and not g[0, 0, 4].any() and not g[0, 0, :, 4].any()


def test_depthwise_groups_keep_channels_apart():
    """With as many groups as channels each output depends on its own channel alone."""
    x = mv.Tensor(np.ones((1, 3, 2, 2)), requires_grad=True)
    w = np.array([1.0, 10.0, 100.0]).reshape(3, 1, 1, 1)
    y = ops.conv2d(x, w, groups=3)
    assert y.data[0, :, 0, 0].tolist() == [1.0, 10.0, 100.0]
    assert mv.grad(y.sum(), x)[0][0, :, 0, 0].tolist() == [1.0, 10.0, 100.0]


@pytest.mark.parametrize("tile_bytes", [1, 500, 3000, 20_000])
def test_tiles_change_nothing(monkeypatch, tile_bytes):
    """Columns are built in tiles: one window row, several, or several images at a time give the loops' result."""
    rng = np.random.default_rng(0)
    x, w, b = rng.standard_normal((3, 2, 7, 6)), rng.standard_normal((4, 2, 3, 2)), rng.standard_normal(4)
    options = {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2), "groups": 1}
    expected = by_loops(x, w, b, rng.standard_normal, **options)
    monkeypatch.setattr(columns, "_TILE_BYTES", tile_bytes)
    tensors = [mv.Tensor(a, requires_grad=True) for a in (x, w, b)]
    with mv.reference():
        y = ops.conv2d(*tensors, **options)
        found = mv.grad(y, tensors, expected[-1])
    for a, e in zip((y.data, *found), expected, strict=False):
        np.testing.assert_allclose(a, e, rtol=1e-12, atol=1e-12)


def test_a_batch_of_no_images_gives_no_images():
    """N = 0 goes through, with zero gradients for the filters."""
    w = mv.Tensor(np.ones((2, 3, 3, 3)), requires_grad=True)
    y = ops.conv2d(np.zeros((0, 3, 4, 4)), w)
    assert y.shape == (0, 2, 2, 2)
    assert not mv.grad(y.sum(), w)[0].any()


def test_float32_stays_float32_and_is_stored_channels_last():
    """The result has the shape (N, K, P, Q), the input's dtype, and a pixel's channels side by side in memory."""
    y = ops.conv2d(np.ones((2, 3, 5, 5), "float32"), np.ones((4, 3, 3, 3), "float32"), padding=1)
    assert y.dtype == np.float32 and y.shape == (2, 4, 5, 5) and y.strides[1] == y.itemsize


X, W = np.ones((2, 3, 8, 8)), np.ones((4, 3, 3, 3))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (
            (np.ones((2, 1, 8, 8)), W),
            {},
            ShapeError,
            r"conv2d expects 3 input channels.*\(2, 1, 8, 8\) has 1 \(grey images\).*in_channels=1.*RGB",
        ),
        ((np.ones((2, 4, 8, 8)), W), {}, ShapeError, r"expects 3 input channels.*has 4.*in_channels=4"),
        ((np.ones((3, 8, 8)), W), {}, ShapeError, r"images \(N, C, H, W\).*\(3, 8, 8\)"),
        ((X, W, np.ones(3)), {}, ShapeError, r"4 filters.*bias must have shape \(4,\), not \(3,\)"),
        ((X, np.ones((4, 1, 3, 3))), {}, ShapeError, r"has 3 \(colour images\)\. Build the model with in_channels=3\.$"),
        (
            (X.astype("float32"), W),
            {},
            ShapeError,
            r"batch is float32 and the filters are float64.*Convert the batch.*float64.*model\.to\(dtype='float32'\)",
        ),
        ((X.astype("uint8"), W), {}, ShapeError, r"batch is uint8.*x\.to\(dtype='float64'\) \(and bring 0\.\.255 near 0 ± 1\)\.$"),
        ((np.ones((2, 3, 2, 2)), W), {}, ShapeError, r"3×3.*reaches over 3 rows.*2 \+ 2·0.*padding ≥ 1"),
        ((np.ones((2, 3, 9, 4)), W), {"dilation": 2}, ShapeError, r"reaches over 5 columns.*4 \+ 2·0.*larger image.*padding ≥ 1"),
        ((X, W), {"groups": 3}, ConfigError, r"groups.*divides the 4 filters.*3"),
        ((X, W), {"groups": 0}, ConfigError, r"groups.*≥ 1.*0"),
        ((X, W), {"groups": 2}, ShapeError, r"expects 6 input channels.*has 3"),
        ((X, W), {"stride": 0}, ConfigError, r"stride must be a whole number ≥ 1.*0"),
        ((X, W), {"stride": (1, 2, 3)}, ConfigError, r"stride must be.*pair.*\(1, 2, 3\)"),
        ((X, W), {"padding": -1}, ConfigError, r"padding must be a whole number ≥ 0.*-1"),
        ((X, W), {"padding": 0.5}, ConfigError, r"padding.*0\.5"),
        ((X, W), {"dilation": "2"}, ConfigError, r"dilation.*'2'"),
    ],
)
def test_impossible_convolutions_say_what_was_expected(arguments, options, error, message):
    """Each message has the expectation, the actual values and the remedy, and comes before any computing."""
    with pytest.raises(error, match=message):
        ops.conv2d(*arguments, **options)
