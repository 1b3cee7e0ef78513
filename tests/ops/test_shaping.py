"""Reshape, transpose, pad, index, concatenate: where each number and each gradient goes."""

from __future__ import annotations

import numpy as np
import pytest

import minivgg as mv
from minivgg import ops
from minivgg.errors import ShapeError

X = np.arange(24.0).reshape(2, 3, 4)
CHANNELS_LAST = np.moveaxis(np.ascontiguousarray(np.moveaxis(np.arange(24.0).reshape(1, 2, 3, 4), 1, -1)), -1, 1)


def assert_routes(f, x, expected):
    """f(x) is `expected`, and each element's gradient comes from the places where it went.

    The values of x are distinct, so that they can serve as labels: the gradient at label v is the sum of gy where v is.
    """
    tensor = mv.Tensor(x, requires_grad=True)
    y = f(tensor)
    np.testing.assert_array_equal(y.data, expected)
    gy = np.random.default_rng(0).standard_normal(y.shape)
    (g,) = mv.grad(y, tensor, gy)
    for value, found in zip(x.ravel(), g.ravel(), strict=True):
        assert np.isclose(found, gy[expected == value].sum(), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("shape", [(24,), (4, 6), (2, -1), (-1, 2, 1), (2, 3, 4)], ids=str)
def test_reshape_reads_in_row_major_order(shape):
    """Numbers keep their row-major order, whatever the storage; −1 stands for what is left."""
    assert_routes(lambda t: t.reshape(shape), X, X.reshape(shape))
    assert_routes(lambda t: t.reshape(*shape), X, X.reshape(shape))
    assert_routes(lambda t: t.reshape(shape), CHANNELS_LAST, CHANNELS_LAST.reshape(shape))


def test_flatten_keeps_the_batch():
    """(N, C, H, W) → (N, C·H·W) in torch's order, from channels-last storage too."""
    assert_routes(ops.flatten, CHANNELS_LAST, np.arange(24.0).reshape(1, 24))


@pytest.mark.parametrize("axes", [(2, 0, 1), (0, 2, 1), (-1, 0, 1), (0, 1, 2)], ids=str)
def test_transpose_permutes(axes):
    """Axes in the given order, negative ones counted from the end."""
    assert_routes(lambda t: t.transpose(axes), X, X.transpose(axes))
    assert_routes(lambda t: t.transpose(*axes), X, X.transpose(axes))


def test_transpose_without_axes_reverses():
    """x.transpose() and x.T turn the axes round."""
    assert_routes(lambda t: t.transpose(), X, X.transpose())
    assert_routes(lambda t: t.T, X, X.T)


@pytest.mark.parametrize(
    "key",
    [
        1, -1, slice(None, None, -2), (Ellipsis, 2), (0, None, slice(1, 3)), (slice(None), [0, 2, 0]), np.array([1, 1, 0]), X > 7.0,
        (1, 2, 3), (slice(5, 9),),
    ],
    ids=str,
)  # fmt: skip
def test_indexing_equals_numpys(key):
    """Integers, slices, None, lists, index arrays (repeated ones add up), masks."""
    assert_routes(lambda t: t[key], X, X[key])


def test_a_tensor_as_index_is_a_constant():
    """An integer tensor indexes like its array."""
    assert_routes(lambda t: t[mv.Tensor(np.array([1, 0, 1]))], X, X[[1, 0, 1]])


@pytest.mark.parametrize("widths", [((0, 0), (1, 2), (0, 3)), ((1, 0), (0, 0), (0, 0))], ids=str)
def test_pad_surrounds(widths):
    """The value goes around, the gradient comes from the inside only."""
    expected = np.full([n + a + b for n, (a, b) in zip(X.shape, widths, strict=True)], -1.0)
    expected[tuple(slice(a, a + n) for n, (a, _) in zip(X.shape, widths, strict=True))] = X
    assert_routes(lambda t: ops.pad(t, widths, -1.0), X, expected)


def test_concatenate_joins_and_splits():
    """Each operand gets its own part of gy, along any axis, also one without elements."""
    a, b, c = X[:, :1], X[:, 1:1], X[:, 1:]
    assert_routes(lambda t: ops.concatenate([t, c, b], -2), a, X)
    assert_routes(lambda t: ops.concatenate([a, t], 1), c, X)
    assert_routes(lambda t: ops.concatenate([t, t], 0), X, np.concatenate([X, X]))


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda x: ops.reshape(x, (5, 5)), r"cannot reshape \(2, 3, 4\), 24 elements, to \(5, 5\), 25 elements"),
        (lambda x: ops.reshape(x, (5, -1)), r"24 elements, to \(5, -1\), 5 elements per unit of −1"),
        (lambda x: ops.reshape(x, (-1, -1)), r"cannot reshape"),
        (lambda x: ops.reshape(x[:1, :1, :1], (-1, -1)), r"cannot reshape \(1, 1, 1\), 1 elements, to \(-1, -1\)"),
        (lambda x: ops.reshape(x[:0], (0, -1)), r"cannot reshape \(0, 3, 4\), 0 elements, to \(0, -1\), 0 elements per unit"),
        (lambda x: ops.reshape(x, (-2, -12)), r"cannot reshape"),
        (lambda x: ops.transpose(x, (0, 1)), r"not a permutation of the 3 axes.*\(2, 3, 4\)"),
        (lambda x: ops.transpose(x, (0, 1, 1)), r"not a permutation"),
        (lambda x: ops.pad(x, ((1, 1),)), r"3 pairs \(before, after\).*one for each axis of \(2, 3, 4\)"),
        (lambda x: ops.pad(x, ((0, 0), (0, -1), (0, 0))), r"numbers ≥ 0"),
        (lambda x: ops.concatenate([x, x[:, :2]], 0), r"along axis 0 needs equal sizes.*\(2, 3, 4\), \(2, 2, 4\)"),
        (lambda x: ops.concatenate([x, x[0]], 0), r"equal sizes"),
        (lambda x: ops.concatenate([x], 3), r"axis 3"),
        (lambda x: ops.concatenate([np.array(1.0), np.array(2.0)]), r"along axis 0 .*\[\(\), \(\)\]"),
        (lambda x: ops.concatenate([]), r"at least one array"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(f, message):
    """The message has both shapes and the numbers of elements."""
    with pytest.raises(ShapeError, match=message):
        f(X)


def test_an_index_out_of_range_is_an_index_error():
    """NumPy's own error, with the op in a note: iteration relies on its type."""
    with pytest.raises(IndexError, match="out of bounds"):
        mv.Tensor(X)[5]
