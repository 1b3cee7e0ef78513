"""matmul and linear against loops."""

from __future__ import annotations

import numpy as np
import pytest

import minivgg as mv
from minivgg import nn, ops
from minivgg.errors import ShapeError


def matmul_by_loops(x, w, gy):
    """(y, gx, gw) for operands with two or more axes; leading axes broadcast."""
    lead = np.broadcast_shapes(x.shape[:-2], w.shape[:-2])
    xs, ws = np.broadcast_to(x, (*lead, *x.shape[-2:])), np.broadcast_to(w, (*lead, *w.shape[-2:]))
    y, gx, gw = np.zeros((*lead, x.shape[-2], w.shape[-1])), np.zeros(x.shape), np.zeros(w.shape)
    gy = gy(y.shape)
    for index in np.ndindex(lead):
        own = [tuple(0 if n == 1 else i for i, n in zip(index[len(index) - a.ndim + 2 :], a.shape[:-2], strict=True)) for a in (x, w)]
        for m, n, k in np.ndindex(x.shape[-2], w.shape[-1], x.shape[-1]):
            y[(*index, m, n)] += xs[(*index, m, k)] * ws[(*index, k, n)]
            gx[(*own[0], m, k)] += gy[(*index, m, n)] * ws[(*index, k, n)]
            gw[(*own[1], k, n)] += gy[(*index, m, n)] * xs[(*index, m, k)]
    return y, gx, gw, gy


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((2, 3), (3, 4)),
        ((1, 1), (1, 1)),
        ((5, 2, 3), (5, 3, 4)),
        ((5, 2, 3), (3, 4)),
        ((2, 3), (5, 3, 4)),
        ((2, 1, 2, 3), (4, 3, 1)),
        ((0, 3), (3, 2)),
    ],
    ids=str,
)
def test_matmul_equals_the_loops(a, b):
    """Matrices, batches of them, and broadcast batches, with both gradients."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal(a), rng.standard_normal(b)
    y, gx, gw, gy = matmul_by_loops(x, w, rng.standard_normal)
    tensors = [mv.Tensor(v, requires_grad=True) for v in (x, w)]
    result = tensors[0] @ tensors[1]
    np.testing.assert_allclose(result.data, y, rtol=1e-12, atol=1e-13)
    for found, expected in zip(mv.grad(result, tensors, gy), (gx, gw), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


def test_vectors_are_rows_or_columns():
    """(1, 2)·(3, 4) = 11; a matrix times a vector, a vector times a matrix, a batch times a vector."""
    v, w, m = np.array([1.0, 2.0]), np.array([3.0, 4.0]), np.array([[1.0, 0.0], [0.0, 10.0]])
    x = mv.Tensor(v, requires_grad=True)
    assert (x @ w).item() == 11.0 and (x @ w).shape == () and mv.grad(x @ w, x)[0].tolist() == [3.0, 4.0]
    assert (x @ m).data.tolist() == [1.0, 20.0] and (m @ x).data.tolist() == [1.0, 20.0]
    assert (np.stack([m, m, m]) @ x).data.tolist() == [[1.0, 20.0]] * 3
    assert (x @ np.stack([m, 2 * m])).data.tolist() == [[1.0, 20.0], [2.0, 40.0]]


@pytest.mark.parametrize(("a", "b"), [((2, 3), (4, 2)), ((3,), (4,)), ((2, 3), ()), ((), (3,)), ((2, 2, 3), (2, 4, 3))], ids=str)
def test_matrices_that_do_not_fit_are_refused(a, b):
    """Both shapes are in the message."""
    with pytest.raises(ShapeError) as caught:
        ops.matmul(np.ones(a), np.ones(b))
    assert f"{a} and {b}" in str(caught.value) and "as many columns in x as rows in w" in str(caught.value)


def test_linear_equals_the_loops():
    """y[n, o] = Σ_i x[n, i]·w[o, i] + b[o], and its three gradients."""
    rng = np.random.default_rng(0)
    x, w, b, gy = rng.standard_normal((3, 4)), rng.standard_normal((2, 4)), rng.standard_normal(2), rng.standard_normal((3, 2))
    y, gx, gw, gb = np.zeros((3, 2)), np.zeros((3, 4)), np.zeros((2, 4)), np.zeros(2)
    for n, o in np.ndindex(3, 2):
        y[n, o] = b[o]
        gb[o] += gy[n, o]
        for i in range(4):
            y[n, o] += x[n, i] * w[o, i]
            gx[n, i] += gy[n, o] * w[o, i]
            gw[o, i] += gy[n, o] * x[n, i]
    tensors = [mv.Tensor(v, requires_grad=True) for v in (x, w, b)]
    result = ops.linear(*tensors)
    np.testing.assert_allclose(result.data, y, rtol=1e-13)
    for found, expected in zip(mv.grad(result, tensors, gy), (gx, gw, gb), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


def test_linear_by_hand():
    """(1, 2) through rows (3, 4) and (5, 6) with bias (10, 20): 3 + 8 + 10 = 21 and 5 + 12 + 20 = 37."""
    y = ops.linear(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [5.0, 6.0]]), np.array([10.0, 20.0]))
    assert y.tolist() == [[21.0, 37.0]]


def test_linear_keeps_leading_axes():
    """x (2, 3, 4) → (2, 3, 5), a vector (4,) → (5,), each row on its own."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 3, 4)), rng.standard_normal((5, 4))
    y = ops.linear(x, w)
    assert y.shape == (2, 3, 5)
    np.testing.assert_allclose(y[1, 2], ops.linear(x[1, 2], w), rtol=1e-14)


@pytest.mark.parametrize(
    ("x", "w", "b", "message"),
    [
        ((2, 512, 7, 7), (10, 25088), None, r"25088 input features.*Flatten it first: 512 · 7 · 7 = 25088 features"),
        ((2, 512), (10, 25088), None, r"25088 input features.*\(2, 512\) has 512.*images' size or the number of channels"),
        ((), (3, 2), None, r"has 0"),
        ((2, 5, 3), (10, 4), None, r"4 input features \(w is \(10, 4\)\), but the batch \(2, 5, 3\) has 3\.$"),
        ((2, 3), (4,), None, r"\(4,\)"),
        ((2, 3), (4, 3), (5,), r"4 outputs, so its bias must have shape \(4,\), not \(5,\)"),
    ],
    ids=str,
)
def test_linear_does_the_algebra(x, w, b, message):
    """The message counts features, and says when flattening is what is missing."""
    with pytest.raises(ShapeError, match=message):
        ops.linear(np.ones(x), np.ones(w), None if b is None else np.ones(b))


def test_linear_names_its_layer():
    """Inside a model the message begins with the layer's path."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    with pytest.raises(ShapeError, match=r"^1 has 12 input features"):
        model(np.ones((1, 3, 3, 3), "float32"))


@pytest.mark.parametrize("batch", ["float32", "int64", "uint8"])
def test_linear_does_not_mix_dtypes(batch):
    """A batch of another dtype than w is refused with both dtypes and the conversion, not computed in a third."""
    with pytest.raises(ShapeError, match=rf"linear: the batch is {batch} and w is float64.*x\.to\(dtype='float64'\)"):
        ops.linear(np.ones((2, 3), batch), np.ones((4, 3)))
