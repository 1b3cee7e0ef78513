"""Pooling against loops: windows, padding, ceil mode, ties, NaN."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minivgg as mv
from minivgg import ops
from minivgg.errors import ConfigError, ShapeError


def starts(size, kernel, stride, padding, ceil_mode):
    """Where windows begin: all that fit into the padded image, and in ceil mode one more that begins in the image."""
    found = list(range(-padding, size + padding - kernel + 1, stride))
    if ceil_mode and found[-1] + kernel < size + padding and found[-1] + stride < size:
        found.append(found[-1] + stride)
    return found


def windows(shape, kernel, stride, padding, ceil_mode):
    """[((p, q), [(i, j) inside the image, row by row], number of taps in image and padding), …]."""
    rows, cols = (starts(shape[i], kernel[i], stride[i], padding[i], ceil_mode) for i in range(2))
    for (p, top), (q, left) in ((a, b) for a in enumerate(rows) for b in enumerate(cols)):
        taps = [(top + r, left + s) for r in range(kernel[0]) for s in range(kernel[1])]
        padded = [(i, j) for i, j in taps if i < shape[0] + padding[0] and j < shape[1] + padding[1]]
        yield (p, q), [(i, j) for i, j in padded if 0 <= i < shape[0] and 0 <= j < shape[1]], len(padded)


def pool_by_loops(kind, x, gy, kernel, stride, padding, ceil_mode):
    """(y, gx); gy is a function of y's shape. The maximum's gradient goes to the first of equals."""
    places = list(windows(x.shape[2:], kernel, stride, padding, ceil_mode))
    y = np.zeros((*x.shape[:2], places[-1][0][0] + 1, places[-1][0][1] + 1))
    gy, gx = gy(y.shape), np.zeros(x.shape)
    for n, c in np.ndindex(x.shape[:2]):
        for (p, q), inside, area in places:
            if kind == "max":
                winner = inside[0]
                for place in inside:
                    if x[n, c][place] > x[n, c][winner]:
                        winner = place
                y[n, c, p, q] = x[n, c][winner]
                gx[n, c][winner] += gy[n, c, p, q]
            else:
                y[n, c, p, q] = sum(x[n, c][place] for place in inside) / area
                for place in inside:
                    gx[n, c][place] += gy[n, c, p, q] / area
    return y, gx, gy


@st.composite
def poolings(draw):
    """(x shape, options) of any pooling that has an output."""
    kernel = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    size = [draw(st.integers(max(k - 2 * p, 1), k - 2 * p + 5)) for k, p in zip(kernel, padding, strict=True)]
    stride = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    shape = draw(st.integers(1, 2)), draw(st.integers(1, 2)), *size
    return shape, {"kernel": kernel, "stride": stride, "padding": padding, "ceil_mode": draw(st.booleans())}


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("kind", ["max", "average"])
@given(pooling=poolings(), seed=st.integers(0, 2**32))
def test_pooling_and_its_gradient_equal_the_loops(kind, ties, pooling, seed):
    """Any window, stride, padding and ceil mode; with ties the first tap in row-major order wins."""
    shape, options = pooling
    rng = np.random.default_rng(seed)
    x = rng.integers(-2, 1, shape).astype(float) if ties else rng.standard_normal(shape)
    y, gx, gy = pool_by_loops(kind, x, rng.standard_normal, **options)
    tensor = mv.Tensor(x, requires_grad=True)
    pool = ops.max_pool2d if kind == "max" else ops.avg_pool2d
    options = dict(options)
    result = pool(tensor, options.pop("kernel"), **options)
    np.testing.assert_allclose(result.data, y, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(mv.grad(result, tensor, gy)[0], gx, rtol=1e-13, atol=1e-14)


def test_max_pooling_by_hand():
    """2×2 maxima of two rows of four: (1, 5, 2, 0) → 5 and (8, 8, 3, 7) → 8, whose gradient goes to the first 8."""
    x = mv.Tensor(np.array([[[[1.0, 5.0, 8.0, 8.0], [2.0, 0.0, 3.0, 7.0]]]]), requires_grad=True)
    y = ops.max_pool2d(x)
    assert y.data.tolist() == [[[[5.0, 8.0]]]]
    assert mv.grad(y.sum(), x)[0].tolist() == [[[[0, 1, 1, 0], [0, 0, 0, 0]]]]


@pytest.mark.parametrize("options", [{"size": 2}, {"size": 3, "stride": 2, "padding": 1}])
def test_all_equal_goes_to_the_first(options):
    """On a constant image every window's gradient goes to its first element, as in torch: as many as there are windows."""
    x = mv.Tensor(np.full((1, 1, 6, 6), -3.0), requires_grad=True)
    y = ops.max_pool2d(x, **options)
    (g,) = mv.grad(y.sum(), x)
    _, expected, _ = pool_by_loops("max", x.data, np.ones, (options["size"],) * 2, (2, 2), (options.get("padding", 0),) * 2, False)
    np.testing.assert_array_equal(g, expected)
    assert g.sum() == 9


def test_padding_counts_as_minus_infinity():
    """On an image of −5 the padded maximum is −5, not 0."""
    assert (ops.max_pool2d(np.full((1, 1, 4, 4), -5.0), 3, stride=2, padding=1) == -5.0).all()


@pytest.mark.parametrize("options", [{"size": 2}, {"size": 3, "stride": 1, "padding": 1}])
@pytest.mark.parametrize("place", [(0, 0), (1, 2), (3, 3)])
def test_nan_goes_through(options, place):
    """Every window that holds a NaN gives NaN, the others do not, with and without the overlay."""
    x = np.random.default_rng(0).standard_normal((1, 1, 4, 4))
    x[0, 0][place] = np.nan
    kernel, stride, padding = options["size"], options.get("stride", options["size"]), options.get("padding", 0)
    expected = {p for p, inside, _ in windows((4, 4), (kernel,) * 2, (stride,) * 2, (padding,) * 2, False) if place in inside}
    for y in (ops.max_pool2d(x, **options), _in_reference(x, options)):
        assert {tuple(map(int, p)) for p in np.argwhere(np.isnan(y[0, 0]))} == expected


def _in_reference(x, options):
    with mv.reference():
        return ops.max_pool2d(x, **options)


def test_ceil_mode_makes_113_of_225():
    """Caffe pools 225 to 113, torch to 112; the last window of the former sees one row."""
    x = np.arange(225.0).reshape(1, 1, 225, 1) * np.ones((1, 1, 1, 225))
    assert ops.max_pool2d(x).shape == (1, 1, 112, 112)
    y = ops.max_pool2d(x, ceil_mode=True)
    assert y.shape == (1, 1, 113, 113) and y[0, 0, -1, 0] == 224.0
    assert ops.avg_pool2d(x, ceil_mode=True)[0, 0, -1, -1] == 224.0  # the mean of one element is that element


def test_average_counts_padding_as_zeros():
    """A corner window of a 3×3 mean with padding 1 holds four ones among nine: 4/9."""
    y = ops.avg_pool2d(np.ones((1, 1, 3, 3)), 3, stride=1, padding=1)
    np.testing.assert_allclose(y[0, 0], np.array([[4, 6, 4], [6, 9, 6], [4, 6, 4]]) / 9, rtol=1e-15)


X = np.ones((1, 2, 4, 4))


@pytest.mark.parametrize("pool", [ops.max_pool2d, ops.avg_pool2d])
@pytest.mark.parametrize(
    ("x", "options", "error", "message"),
    [
        (np.ones((2, 4, 4)), {}, ShapeError, r"\(N, C, H, W\).*\(2, 4, 4\)"),
        (X, {"size": 5}, ShapeError, r"5×5.*reaches over 5 rows.*has 4"),
        (X, {"size": 2, "padding": 2}, ConfigError, r"padding \(2, 2\) may be at most half of the window \(2, 2\)"),
        (X, {"size": 2, "padding": (0, 2)}, ConfigError, r"padding \(0, 2\) may be at most half"),
        (X, {"size": 2, "padding": (2, 0)}, ConfigError, r"padding \(2, 0\) may be at most half"),
        (X, {"size": 0}, ConfigError, r"size must be a whole number ≥ 1.*0"),
        (X, {"stride": (2, 0)}, ConfigError, r"stride.*\(2, 0\)"),
        (X, {"size": 2.0}, ConfigError, r"size.*2\.0"),
    ],
)
def test_impossible_poolings_say_what_was_expected(pool, x, options, error, message):
    """Wrong ranks, windows that do not fit and impossible arguments are refused with their values."""
    with pytest.raises(error, match=message):
        pool(x, **options)


@pytest.mark.parametrize("taps", [256, 257, 300])
@pytest.mark.parametrize("from_the_end", [0, 1])
def test_windows_of_more_than_256_taps_find_their_winner(taps, from_the_end):
    """The number of the winning tap may not fit into a byte: the gradient still goes to the winner."""
    x = mv.Tensor(np.zeros((1, 2, 1, taps)), requires_grad=True)
    place = taps - 1 - from_the_end
    x[0, 1, 0, place] = 1.0
    y = ops.max_pool2d(x, (1, taps))
    (g,) = mv.grad(y, x, np.array([3.0, 5.0]).reshape(1, 2, 1, 1))
    assert y.data.ravel().tolist() == [0.0, 1.0]
    assert np.argwhere(g).tolist() == [[0, 0, 0, 0], [0, 1, 0, place]] and g[0, 0, 0, 0] == 3.0 and g[0, 1, 0, place] == 5.0
