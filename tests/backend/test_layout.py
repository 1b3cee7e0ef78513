"""Channels-last storage: told by strides alone, kept by what makes new arrays."""

from __future__ import annotations

import numpy as np
import pytest

from minivgg.backend import layout
from minivgg.backend.random import stream

X = np.arange(120.0).reshape(2, 3, 4, 5)
STORED = layout.as_nchw(np.ascontiguousarray(X.transpose(0, 2, 3, 1)))


def is_channels_last(x):
    """Whether memory runs through channels first, then columns, rows, images."""
    n, c, h, w = x.strides
    return (c, w, h, n) == tuple(np.cumprod([x.itemsize, x.shape[1], x.shape[3], x.shape[2]]))


def test_the_way_in_and_out():
    """nhwc copies only what is stored otherwise; as_nchw never copies; the numbers stay."""
    assert is_channels_last(STORED) and not is_channels_last(X)
    inside = layout.nhwc(STORED)
    assert np.shares_memory(inside, STORED) and inside.shape == (2, 4, 5, 3) and inside.flags.c_contiguous
    assert not np.shares_memory(layout.nhwc(X), X)
    np.testing.assert_array_equal(layout.nhwc(X), inside)
    np.testing.assert_array_equal(layout.as_nchw(inside), X)


@pytest.mark.parametrize("make", [layout.zeros, layout.empty])
def test_new_arrays_are_channels_last(make):
    """Whatever they are made like, in its dtype."""
    y = make((2, 3, 4, 5), X.astype("float32"))
    assert is_channels_last(y) and y.shape == (2, 3, 4, 5) and y.dtype == np.float32
    assert make is layout.empty or not y.any()


@pytest.mark.parametrize("x", [X, STORED], ids=["C order", "channels-last"])
@pytest.mark.parametrize("value", [0.0, -np.inf, 1.5])
def test_pad_equals_numpys_and_is_channels_last(x, value):
    """Rows and columns before and after."""
    y = layout.pad(x, (1, 2), (0, 3), value)
    np.testing.assert_array_equal(y, np.pad(x, ((0, 0), (0, 0), (1, 2), (0, 3)), constant_values=value))
    assert is_channels_last(y)


def test_pad_by_nothing_is_free():
    """Without margins the array itself comes back."""
    assert layout.pad(X, (0, 0), (0, 0)) is X


def test_masks_ignore_strides_and_dtype():
    """Masks for the same shape are the same, however the array lies in memory; they are stored channels-last."""
    expected = layout.mask_like(X, stream(0), 0.4)
    for x in (STORED, np.asfortranarray(X), X[:, ::-1], X.astype("float32"), np.broadcast_to(np.zeros((1, 1, 1, 1)), X.shape)):
        y = layout.mask_like(x, stream(0), 0.4)
        np.testing.assert_array_equal(y, expected)
        assert is_channels_last(y) and y.dtype == bool


def test_masks_are_drawn_pixel_by_pixel():
    """In the order (N, H, W, C), for other ranks in row-major order; kept is what is at least p."""
    pixels = stream(0).random((2, 4, 5, 3), dtype="float32") >= 0.4
    np.testing.assert_array_equal(layout.mask_like(X, stream(0), 0.4), pixels.transpose(0, 3, 1, 2))
    rows = layout.mask_like(np.asfortranarray(np.ones((3, 4))), stream(0), 0.4)
    np.testing.assert_array_equal(rows, stream(0).random((3, 4), dtype="float32") >= 0.4)
