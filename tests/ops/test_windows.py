"""Window sizes, and im2col with its adjoint, against loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minivgg import ops
from minivgg.errors import ShapeError
from minivgg.ops import Geometry


def count(size, kernel, stride, padding, dilation):
    """How many windows there are: slide until the last tap leaves the padded image."""
    windows = 0
    while windows * stride + dilation * (kernel - 1) < size + 2 * padding:
        windows += 1
    return windows


def im2col_by_loops(x, kernel, stride, padding, dilation):
    """(columns, where each came from: an index into x's flat elements, or −1 for padding)."""
    n_, c_, h, w = x.shape
    p_, q_ = (count(size, *each) for size, *each in zip((h, w), kernel, stride, padding, dilation, strict=True))
    columns, sources = np.zeros((n_, c_ * kernel[0] * kernel[1], p_ * q_)), np.full((n_, c_ * kernel[0] * kernel[1], p_ * q_), -1)
    for n, c, r, s, p, q in np.ndindex(n_, c_, *kernel, p_, q_):
        i, j = p * stride[0] - padding[0] + r * dilation[0], q * stride[1] - padding[1] + s * dilation[1]
        if 0 <= i < h and 0 <= j < w:
            place = n, (c * kernel[0] + r) * kernel[1] + s, p * q_ + q
            columns[place], sources[place] = x[n, c, i, j], np.ravel_multi_index((n, c, i, j), x.shape)
    return columns, sources


@st.composite
def slidings(draw):
    """(x shape, kernel, stride, padding, dilation) with at least one window."""
    pairs = [(draw(st.integers(*span)), draw(st.integers(*span))) for span in [(1, 3), (1, 3), (0, 2), (1, 2)]]
    kernel, _, padding, dilation = pairs
    least = [max(dilation[i] * (kernel[i] - 1) + 1 - 2 * padding[i], 1) for i in range(2)]
    return (draw(st.integers(1, 2)), draw(st.integers(1, 2)), *(draw(st.integers(m, m + 4)) for m in least)), *pairs


@given(slidings(), st.integers(0, 2**32))
def test_im2col_and_col2im_equal_the_loops(sliding, seed):
    """Each column is its window, channel by channel; col2im adds every element back to where it came from."""
    shape, kernel, stride, padding, dilation = sliding
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    expected, sources = im2col_by_loops(x, kernel, stride, padding, dilation)
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    np.testing.assert_array_equal(ops.im2col(x, kernel, **options), expected)
    u, back = rng.standard_normal(expected.shape), np.zeros(x.size)
    for value, source in zip(u.ravel(), sources.ravel(), strict=True):
        if source >= 0:
            back[source] += value
    np.testing.assert_allclose(ops.col2im(u, shape, kernel, **options).reshape(-1), back, rtol=1e-12, atol=1e-13)


def test_columns_by_hand():
    """2×2 windows of 0…8 as a square: the four columns are the four windows, read row by row."""
    columns = ops.im2col(np.arange(9.0).reshape(1, 1, 3, 3), 2)
    assert columns[0].T.tolist() == [[0, 1, 3, 4], [1, 2, 4, 5], [3, 4, 6, 7], [4, 5, 7, 8]]


def test_col2im_counts_how_often_a_pixel_is_seen():
    """Columns of ones add up to the number of windows over each pixel: corners 1, edges 2, the middle 4."""
    counts = ops.col2im(np.ones((1, 4, 4)), (1, 1, 3, 3), 2)
    assert counts[0, 0].tolist() == [[1, 2, 1], [2, 4, 2], [1, 2, 1]]


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "dilation", "ceil_mode", "expected"),
    [
        (224, 3, 1, 1, 1, False, 224),  # VGG's convolution keeps the size
        (225, 2, 2, 0, 1, False, 112),  # torch floors
        (225, 2, 2, 0, 1, True, 113),  # Caffe ceils
        (224, 2, 2, 0, 1, True, 112),
        (5, 3, 2, 1, 1, True, 3),  # (5 + 2 − 3)/2 = 2 exactly: three windows either way
        (4, 1, 3, 1, 1, True, 2),  # a third window would begin at 5, behind the image
        (7, 3, 1, 0, 3, False, 1),  # dilation 3 makes 3 taps reach over 7
        (1, 1, 5, 0, 1, False, 1),
    ],
)
def test_known_output_sizes(size, kernel, stride, padding, dilation, ceil_mode, expected):
    """Sizes that VGG, torch and Caffe users know by heart."""
    fields = [(value, value) for value in (kernel, stride, padding, dilation)]
    assert Geometry(*fields, ceil_mode).output(size, size) == (expected, expected)


def test_columns_of_another_geometry_are_refused():
    """col2im does the algebra: 2×2 windows and 1·2·2 rows are expected."""
    with pytest.raises(ShapeError, match=r"2×2 windows needs columns of shape \(1, 4, 4\), but they are \(1, 4, 5\)"):
        ops.col2im(np.ones((1, 4, 5)), (1, 1, 3, 3), 2)


def test_im2col_of_what_is_no_image_batch_is_refused():
    """A single image without its batch axis gets a message, not an unpacking error."""
    with pytest.raises(ShapeError, match=r"\(N, C, H, W\).*\(3, 4, 4\)"):
        ops.im2col(np.ones((3, 4, 4)), 2)
