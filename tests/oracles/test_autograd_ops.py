"""Ops against HIPS/autograd, a third implementation: elementwise, reductions, products, a convolution by loops, losses."""

from __future__ import annotations

import numpy as np
import pytest

import minivgg as mv
from minivgg import ops

hips = pytest.importorskip("autograd", reason="HIPS/autograd is not installed: run scripts/oracles")
anp = pytest.importorskip("autograd.numpy")


@pytest.fixture
def agree(compare, rng):
    """`agree(ours, theirs, *arrays)`: values, gradients by a random cotangent, and a product with the second derivative.

    theirs is a function of arrays written in autograd.numpy. The product is ∂/∂x (Σ gradients · v) with random v.
    """

    def check(ours, theirs, *arrays):
        xs = [mv.Tensor(x, requires_grad=True) for x in arrays]
        y, every = ours(*xs), tuple(range(len(arrays)))
        z = np.asarray(theirs(*arrays))
        compare("forward", y, z)
        gy, directions = rng.standard_normal(z.shape), [rng.standard_normal(x.shape) for x in arrays]

        def weighted(*at):
            return anp.sum(theirs(*at) * gy)

        def slope(*at):
            return sum(anp.sum(g * v) for g, v in zip(hips.grad(weighted, every)(*at), directions, strict=True))

        compare("gradient", mv.grad(y, xs, gy), [np.asarray(g) for g in hips.grad(weighted, every)(*arrays)])
        products = [(g * v).sum() for g, v in zip(mv.grad(y, xs, gy, create_graph=True), directions, strict=True)]
        compare("second", mv.grad(sum(products[1:], products[0]), xs), [np.asarray(g) for g in hips.grad(slope, every)(*arrays)])

    return check


@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "tanh"])
def test_function_of_one_operand(agree, rng, name):
    """Under the same name in autograd.numpy."""
    agree(getattr(ops, name), getattr(anp, name), rng.uniform(0.2, 3.0, (3, 4)))


def test_sigmoid_and_relu(agree, rng):
    """By their formulas."""
    agree(ops.sigmoid, lambda x: 1.0 / (1.0 + anp.exp(-x)), rng.standard_normal((3, 4)) * 3)
    agree(lambda x: ops.relu(x) * x, lambda x: anp.maximum(x, 0.0) * x, rng.standard_normal((3, 4)))


@pytest.mark.parametrize("shapes", [((2, 3), (2, 3)), ((3, 1), (2, 1, 4)), ((1,), (2, 3))], ids=str)
def test_formula_with_broadcasting(agree, rng, shapes):
    """All four arithmetic operators and a power, in one expression."""

    def formula(x, w):
        return (x * w - x / w + 2.0 * w) ** 2 + x**3 - w**1.5

    agree(formula, formula, rng.standard_normal(shapes[0]), rng.uniform(0.5, 2.0, shapes[1]))


def test_power_by_a_tensor(agree, rng):
    """Derivatives by base and exponent."""
    agree(lambda x, p: x**p, lambda x, p: x**p, rng.uniform(0.5, 2.0, (2, 3)), rng.standard_normal((2, 3)))


def test_where(agree, rng):
    """A constant mask chooses."""
    mask = rng.random((3, 4)) < 0.5
    agree(
        lambda x, w: ops.where(mask, x * x, w**3),
        lambda x, w: anp.where(mask, x * x, w**3),
        rng.standard_normal((3, 4)),
        rng.standard_normal((3, 4)),
    )


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2)], ids=str)
@pytest.mark.parametrize("name", ["sum", "mean", "max"])
def test_reduction(agree, rng, name, axis, keepdims):
    """Squared behind, so that there is a second derivative; no two elements are equal."""
    agree(
        lambda x: getattr(ops, name)(x, axis, keepdims) ** 2,
        lambda x: getattr(anp, name)(x, axis=axis, keepdims=keepdims) ** 2,
        rng.standard_normal((3, 4, 2)),
    )


@pytest.mark.parametrize("axis", [None, 1, (0, 2)], ids=str)
def test_logsumexp(agree, rng, axis):
    """By its formula."""
    agree(lambda x: ops.logsumexp(x, axis), lambda x: anp.log(anp.sum(anp.exp(x), axis=axis)), rng.standard_normal((3, 4, 2)))


@pytest.mark.parametrize("shapes", [((2, 3), (3, 4)), ((2, 1, 2, 3), (4, 3, 2)), ((3,), (3, 4)), ((5, 2, 3), (3,))], ids=str)
def test_matmul(agree, rng, shapes):
    """Single and batched products, and vectors."""
    agree(lambda x, w: x @ w, anp.matmul, *(rng.standard_normal(shape) for shape in shapes))


def test_reshape_transpose_index_concatenate(agree, rng):
    """Numbers moved about, some of them twice."""
    rows = np.array([0, 2, 0, 1])

    def theirs(x):
        turned = anp.reshape(anp.transpose(x[rows], (1, 0, 2)), (4, 8))
        return anp.concatenate([turned, anp.reshape(x, (3, 8))[:, ::-1]], 0) ** 2

    agree(
        lambda x: ops.concatenate([x[rows].transpose(1, 0, 2).reshape(4, 8), x.reshape(3, 8)[:, ::-1]], 0) ** 2,
        theirs,
        rng.standard_normal((3, 4, 2)),
    )


def convolution(x, w, b, stride, padding, dilation):
    """A convolution in autograd.numpy: for each tap an einsum over channels, summed over the taps."""
    (filters, _, *taps), (images, _, *sizes) = w.shape, x.shape
    padded = anp.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)), "constant")
    p, q = ((size + 2 * padding - dilation * (n - 1) - 1) // stride + 1 for size, n in zip(sizes, taps, strict=True))

    def places(tap, count):
        return slice(tap * dilation, tap * dilation + (count - 1) * stride + 1, stride)

    total = anp.zeros((images, filters, p, q)) + anp.reshape(b, (1, filters, 1, 1))
    for i in range(taps[0]):
        for j in range(taps[1]):
            total = total + anp.einsum("ncpq,kc->nkpq", padded[:, :, places(i, p), places(j, q)], w[:, :, i, j])
    return total


@pytest.mark.parametrize(("stride", "padding", "dilation"), [(1, 1, 1), (2, 0, 1), (3, 2, 1), (1, 2, 2)])
def test_convolution_by_loops(agree, rng, stride, padding, dilation):
    """Derivatives by images, filters and bias."""
    agree(
        lambda x, w, b: ops.conv2d(x, w, b, stride=stride, padding=padding, dilation=dilation),
        lambda x, w, b: convolution(x, w, b, stride, padding, dilation),
        rng.standard_normal((2, 3, 6, 7)),
        rng.standard_normal((4, 3, 3, 2)),
        rng.standard_normal(4),
    )


def test_batch_norm_by_its_formula(agree, rng):
    """Mean and biased variance over all axes but the channels'."""

    def theirs(x, gamma, beta):
        mean = anp.mean(x, axis=(0, 2, 3), keepdims=True)
        variance = anp.mean((x - mean) ** 2, axis=(0, 2, 3), keepdims=True)
        return anp.reshape(gamma, (1, -1, 1, 1)) * (x - mean) / anp.sqrt(variance + 1e-5) + anp.reshape(beta, (1, -1, 1, 1))

    agree(ops.batch_norm, theirs, rng.standard_normal((3, 2, 4, 3)) * 2 + 1, rng.uniform(0.5, 2.0, 2), rng.standard_normal(2))


def test_local_response_norm_by_its_formula(agree, rng):
    """The paper's α, not divided by the size, over windows cut off at both ends."""

    def theirs(x):
        sums = [anp.sum(x[:, max(i - 2, 0) : i + 3] ** 2, axis=1, keepdims=True) for i in range(6)]
        return x / (2.0 + 0.3 * anp.concatenate(sums, 1)) ** 0.75

    agree(lambda x: ops.local_response_norm(x, alpha=0.3), theirs, rng.standard_normal((2, 6, 2, 3)) * 2)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
def test_cross_entropy_by_its_formula(agree, rng, weighted, smoothing):
    """−Σ q·log soft-max, divided by the weights of the targets."""
    targets, weights = rng.integers(0, 4, 5), rng.uniform(0.2, 3.0, 4) if weighted else np.ones(4)
    q = ((1.0 - smoothing) * np.eye(4)[targets] + smoothing / 4) * weights

    def theirs(x):
        return -anp.sum(q * (x - anp.log(anp.sum(anp.exp(x), axis=1, keepdims=True)))) / np.sum(weights[targets])

    agree(
        lambda x: ops.cross_entropy(x, targets, label_smoothing=smoothing, class_weights=weights if weighted else None),
        theirs,
        rng.standard_normal((5, 4)),
    )
