"""Soft-max and cross-entropy against loops with math.exp and math.log, one number at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minivgg as mv
from minivgg import nn, ops
from minivgg.errors import ConfigError, DataError, ShapeError


def probabilities(row):
    """Soft-max of a list of numbers."""
    exponentials = [math.exp(v) for v in row]
    return [e / sum(exponentials) for e in exponentials]


def loss_by_loops(x, targets, ignore, smoothing, weights, reduction):
    """(loss, gradient by x) as torch defines them: Σ over kept rows, divided by Σ weight[target] of the kept ones."""
    n_, c_ = x.shape
    rows, gradient, total = [0.0] * n_, np.zeros(x.shape), 0.0
    for n in range(n_):
        if targets[n] == ignore:
            continue
        p = probabilities(x[n])
        total += weights[targets[n]]
        for c in range(c_):
            share = (1 - smoothing) * (c == targets[n]) + smoothing / c_
            rows[n] -= share * weights[c] * math.log(p[c])
            for j in range(c_):
                gradient[n, j] -= share * weights[c] * ((c == j) - p[j])
    if reduction == "none":
        return np.array(rows), gradient
    scale = total if reduction == "mean" and total else 1.0
    return sum(rows) / scale, gradient / scale


@given(
    st.integers(1, 5), st.integers(1, 4), st.booleans(), st.sampled_from([0.0, 0.1, 1.0]), st.booleans(),
    st.sampled_from(["mean", "sum", "none"]), st.integers(0, 2**32),
)  # fmt: skip
def test_all_options_together_equal_the_loops(n, classes, with_ignore, smoothing, with_weights, reduction, seed):
    """ignore_index, label smoothing and class weights in any combination, with every reduction, and the gradient."""
    rng = np.random.default_rng(seed)
    x, targets = rng.standard_normal((n, classes)) * 3, rng.integers(0, classes, n)
    ignore = -100 if with_ignore else None
    if with_ignore:
        targets[rng.random(n) < 0.4] = -100
    weights = rng.uniform(0.2, 3, classes) if with_weights else np.ones(classes)
    loss, gradient = loss_by_loops(x, targets, ignore, smoothing, weights, reduction)
    tensor = mv.Tensor(x, requires_grad=True)
    given_weights = weights if with_weights else None
    result = ops.cross_entropy(
        tensor, targets, ignore_index=ignore, label_smoothing=smoothing, class_weights=given_weights, reduction=reduction
    )
    np.testing.assert_allclose(result.data, loss, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(mv.grad(result.sum(), tensor)[0], gradient, rtol=1e-10, atol=1e-13)


def test_two_classes_by_hand():
    """Logits (0, log 3) are probabilities (1/4, 3/4): the loss of class 0 is log 4, its gradient p − q = (−3/4, 3/4)."""
    x = mv.Tensor(np.array([[0.0, math.log(3.0)]]), requires_grad=True)
    loss = ops.cross_entropy(x, np.array([0]))
    assert math.isclose(loss.item(), math.log(4.0), rel_tol=1e-14)
    np.testing.assert_allclose(mv.grad(loss, x)[0], [[-0.75, 0.75]], rtol=1e-14)


def test_no_knowledge_costs_log_of_the_classes():
    """Equal logits over 10 classes cost log 10 = 2.3026, the number that a stuck network shows."""
    assert math.isclose(ops.cross_entropy(np.zeros((7, 10)), np.arange(7)), math.log(10.0), rel_tol=1e-14)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_all_ignored_is_zero_with_zero_gradient(reduction):
    """A batch without any label costs 0 and moves nothing, where 0/0 would be NaN."""
    x = mv.Tensor(np.ones((2, 3)), requires_grad=True)
    loss = ops.cross_entropy(x, np.array([-1, -1]), ignore_index=-1, label_smoothing=0.1, reduction=reduction)
    assert not loss.data.any() and not mv.grad(loss.sum(), x)[0].any()


def test_an_ignore_index_inside_the_classes_is_ignored_too():
    """Class 0 as ignore_index counts for nothing."""
    x = np.array([[5.0, 0.0], [0.0, 0.0]])
    assert math.isclose(ops.cross_entropy(x, np.array([0, 1]), ignore_index=0), math.log(2.0), rel_tol=1e-14)


def test_pixels_are_counted_like_rows():
    """Logits (N, C, H, W) with targets (N, H, W) are N·H·W rows."""
    rng = np.random.default_rng(0)
    x, targets = rng.standard_normal((2, 3, 4, 5)), rng.integers(0, 3, (2, 4, 5))
    rows = [(x[n, :, h, w], targets[n, h, w]) for n, h, w in np.ndindex(2, 4, 5)]
    expected = [-math.log(probabilities(row)[t]) for row, t in rows]
    assert math.isclose(ops.cross_entropy(x, targets), sum(expected) / 40, rel_tol=1e-12)
    each = ops.cross_entropy(x, targets, reduction="none")
    assert each.shape == (2, 4, 5)
    np.testing.assert_allclose(each.ravel(), expected, rtol=1e-12)


def test_huge_logits_do_not_overflow():
    """A certain right answer costs 0, a certain wrong one its distance, in float32 too."""
    x = np.array([[1e4, -1e4], [1e4, -1e4]], "float32")
    assert ops.cross_entropy(x, np.array([0, 1]), reduction="none").tolist() == [0.0, 2e4]
    tensor = mv.Tensor(x, requires_grad=True)
    assert mv.grad(ops.cross_entropy(tensor, np.array([0, 1]), reduction="sum"), tensor)[0].tolist() == [[0.0, 0.0], [1.0, -1.0]]


def test_a_class_masked_by_minus_infinity_costs_nothing():
    """Logit −∞ takes a class out: log 2 is left among two equal others, with a finite gradient."""
    x = mv.Tensor(np.array([[0.0, -np.inf, 0.0]]), requires_grad=True)
    loss = ops.cross_entropy(x, np.array([2]))
    assert math.isclose(loss.item(), math.log(2.0), rel_tol=1e-14)
    np.testing.assert_allclose(mv.grad(loss, x)[0], [[0.5, 0.0, -0.5]], rtol=1e-14)


def test_backward_does_not_write_into_its_inputs():
    """Logits, targets and weights are as before, after forward and backward."""
    rng = np.random.default_rng(0)
    x, targets, weights, gy = rng.standard_normal((3, 4)), np.array([0, -1, 2]), rng.random(4), np.ones(3)
    copies = [a.copy() for a in (x, targets, weights, gy)]
    tensor = mv.Tensor(x, requires_grad=True)
    ops.cross_entropy(tensor, targets, ignore_index=-1, class_weights=weights, label_smoothing=0.2, reduction="none").backward(gy)
    for a, copy in zip((x, targets, weights, gy), copies, strict=True):
        np.testing.assert_array_equal(a, copy)


def test_all_integer_types_of_targets_agree():
    """uint8, int32 and int64 labels, as arrays or tensors, in any memory layout, cost the same."""
    x = np.random.default_rng(0).standard_normal((3, 4))
    expected = ops.cross_entropy(x, np.array([3, 0, 1]))
    targets = [np.array([3, 0, 1], kind) for kind in ("uint8", "int8", "int32", "uint64")]
    for same in (*targets, mv.Tensor(np.array([3, 0, 1])), np.array([3, 9, 0, 9, 1])[::2]):
        assert ops.cross_entropy(x, same) == expected
    assert ops.cross_entropy(x, np.array([3, 0, 255], "uint8"), ignore_index=255) == ops.cross_entropy(x[:2], np.array([3, 0]))


LOGITS = np.zeros((2, 3))


@pytest.mark.parametrize(
    ("logits", "targets", "options", "error", "message"),
    [
        (
            LOGITS,
            np.array([0, -1]),
            {},
            DataError,
            r"target -1 at position 1 is outside 0\.\.2.*Number the classes from 0, or.*ignore_index=-1",
        ),
        (LOGITS, np.array([7, 0]), {}, DataError, r"target 7 at position 0 is outside 0\.\.2: the model has 3 classes.*num_classes ≥ 8"),
        (LOGITS, np.array([3, -1]), {"ignore_index": -1}, DataError, r"target 3 at position 0"),
        (LOGITS, np.array([0.0, 1.0]), {}, DataError, r"integer class numbers.*float64"),
        (LOGITS.astype("int64"), np.array([0, 1]), {}, ShapeError, r"cross_entropy needs floating-point logits, but they are int64"),
        (LOGITS > 0, np.array([0, 1]), {}, ShapeError, r"floating-point logits.*bool"),
        (LOGITS, np.array([0, 1, 2]), {}, ShapeError, r"\(2, 3\) and \(3,\)"),
        (LOGITS, np.array([[0, 1]]), {}, ShapeError, r"logits \(N, C, …\) and targets \(N, …\)"),
        (np.zeros(3), np.array(0), {}, ShapeError, r"\(3,\)"),
        (LOGITS, np.array([0, 1]), {"reduction": "average"}, ConfigError, r"mean, sum or none.*'average'"),
        (LOGITS, np.array([0, 1]), {"label_smoothing": 1.5}, ConfigError, r"label_smoothing in \[0, 1\].*1\.5"),
        (LOGITS, np.array([0, 1]), {"class_weights": np.ones(4)}, ShapeError, r"3 classes.*\(4,\)"),
    ],
)
def test_impossible_labels_are_refused(logits, targets, options, error, message):
    """Labels that NumPy would wrap around or truncate silently are errors with their position and the remedy."""
    with pytest.raises(error, match=message):
        ops.cross_entropy(logits, targets, **options)


def test_the_layer_is_the_function_with_its_options():
    """nn.CrossEntropyLoss passes all options on."""
    rng = np.random.default_rng(0)
    x, targets, weights = rng.standard_normal((4, 3)), np.array([0, 2, -1, 1]), rng.random(3)
    layer = nn.CrossEntropyLoss(weights, ignore_index=-1, reduction="none", label_smoothing=0.3)
    np.testing.assert_allclose(layer(x, targets), loss_by_loops(x, targets, -1, 0.3, weights, "none")[0], rtol=1e-11)


@given(st.integers(-2, 1), st.floats(-1e3, 1e3), st.integers(0, 2**32))
def test_softmax_equals_the_loops_and_ignores_a_shift(axis, shift, seed):
    """Adding a constant along the axis changes nothing; the numbers are positive and sum to one."""
    x = np.random.default_rng(seed).standard_normal((3, 4)) * 2
    y = ops.softmax(x + shift, axis)
    expected = np.apply_along_axis(probabilities, axis, x)
    np.testing.assert_allclose(y, expected, rtol=1e-10)
    np.testing.assert_allclose(ops.log_softmax(x + shift, axis), np.vectorize(math.log)(expected), rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(y.sum(axis), 1.0, rtol=1e-14)


def test_softmax_of_huge_logits():
    """1e30 and −1e30 give 1 and 0 without a warning, also for the logarithm."""
    x = np.array([1e30, -1e30, 0.0])
    assert ops.softmax(x).tolist() == [1.0, 0.0, 0.0]
    assert ops.log_softmax(x).tolist() == [0.0, -2e30, -1e30]
    assert ops.softmax(np.array([-np.inf, 0.0])).tolist() == [0.0, 1.0]


def test_softmax_gradients_of_a_sum_vanish():
    """The outputs always sum to one, so the gradient of their sum is 0: a cotangent of ones is blind."""
    x = mv.Tensor(np.random.default_rng(0).standard_normal((3, 4)), requires_grad=True)
    np.testing.assert_allclose(mv.grad(ops.softmax(x).sum(), x)[0], 0.0, atol=1e-16)


def test_softmax_of_an_axis_that_is_not_there():
    """The message has the axis and the shape."""
    for f in (ops.softmax, ops.log_softmax):
        with pytest.raises(ShapeError, match=r"axis 2 .*2 axes.*\(2, 3\)"):
            f(LOGITS, 2)
