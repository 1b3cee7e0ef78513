"""Cross-entropy's kernels, against the formulas in NumPy and float64."""

from __future__ import annotations

import numpy as np
import pytest

import minivgg as mv
from minivgg import ops
from minivgg.errors import ShapeError
from minivgg.fast.cuda import cross_entropy

from .pretend_cupy.raw_module import LAUNCHES

BOUND = {"float16": 2.0**-10, "float32": 1e-6, "float64": 4e-15}  # of the largest element; half is rounded once, at the end
SHAPES = [(1, 1), (5, 3), (3, 10), (4, 129), (2, 1000)]


def logits(shape, dtype="float32", seed=0):
    """Random logits of several sizes."""
    return (3 * np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


def formulas(x, q, gy):
    """y and gx in float64."""
    x, q, gy = (v.astype(np.float64) for v in (x, q, gy))
    log_p = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
    return -(q * log_p).sum(axis=1), gy[:, None] * (np.exp(log_p) * q.sum(axis=1, keepdims=True) - q)


def near(found, exact, dtype):
    """`found`, an array of the card, is `exact` within the bound of its dtype."""
    assert found.dtype == dtype and found.shape == exact.shape
    assert np.abs(found.get() - exact).max() <= BOUND[dtype] * max(np.abs(exact).max(), 1.0)


@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_gradients(card, order, shape, dtype):
    """y and gx of a mixture of classes, one warp a row or several, threads in each of three orders."""
    x, q, gy = logits(shape, dtype), np.random.default_rng(1).random(shape).astype(dtype), logits(shape[0], dtype, 2)
    y, gx = formulas(x, q, gy)
    device = [card.asarray(v) for v in (x, q, gy)]
    near(cross_entropy.forward(ops.CrossEntropy(), *device[:2]), y, dtype)
    near(cross_entropy.backward(ops.CrossEntropy(), device[2], dict(zip("xq", device, strict=False)), (), [True, False])[0], gx, dtype)


def test_logits_of_minus_infinity_cost_nothing_without_a_target(card):
    """A class that cannot be: no cost and no gradient where q = 0; an infinite cost where it is the target; NaN in q is NaN in y."""
    x = np.array([[0.0, -np.inf, 0.0], [0.0, -np.inf, 0.0], [-np.inf, -np.inf, -np.inf], [1e30, 0.0, -1e30], [0.0, 1.0, 2.0]], np.float32)
    q = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 1, 0], [np.nan, np.nan, np.nan]], np.float32)
    y = ops.CrossEntropy()(card.asarray(x), card.asarray(q)).get()
    np.testing.assert_allclose(y, [np.log(2), np.inf, 0, 1e30, np.nan], rtol=1e-6)
    device = {"x": card.asarray(x[:2]), "q": card.asarray(q[:2])}
    gx = cross_entropy.backward(ops.CrossEntropy(), card.asarray(np.ones(2, np.float32)), device, (), [True, False])[0].get()
    np.testing.assert_allclose(gx, [[-0.5, 0, 0.5], [0.5, -1, 0.5]], atol=1e-7)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"reduction": "sum"},
        {"reduction": "none", "label_smoothing": 0.1},
        {"label_smoothing": 0.3, "class_weights": np.array([0.5, 2, 1, 3, 0.25])},
        {"ignore_index": 4, "class_weights": np.array([0.5, 2, 1, 3, 0.25])},
        {"ignore_index": -1, "label_smoothing": 0.2},
    ],
    ids=lambda o: "-".join(o) or "plain",
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_loss_is_what_the_labels_say(card, options, dtype):
    """The function's value and gradient, sample by sample from the definition; labels, weights and logits of a card."""
    x, labels = logits((6, 5), dtype), np.array([0, 3, 4, 4, 1, 2])
    if options.get("ignore_index") == -1:
        labels[[1, 4]] = -1
    given, weights = dict(options), options.get("class_weights", np.ones(5))
    if "class_weights" in given:
        given["class_weights"] = card.asarray(weights)
    smoothing, terms, total, expected_gx = options.get("label_smoothing", 0.0), np.zeros(6), 0.0, np.zeros((6, 5))
    for n, label in enumerate(labels):
        if label == options.get("ignore_index"):
            continue
        q = (np.where(np.arange(5) == label, 1 - smoothing, 0) + smoothing / 5) * weights
        total += weights[label]
        y, gx = formulas(x[n : n + 1], q[None], np.ones(1))
        terms[n], expected_gx[n] = y[0], gx[0]
    reduction = options.get("reduction", "mean")
    tensor = mv.Tensor(card.asarray(x), requires_grad=True)
    LAUNCHES.clear()
    loss = ops.cross_entropy(tensor, card.asarray(labels), **given)
    loss.sum().backward()
    assert [*(["total_weight"] if reduction == "mean" else []), "targets", "cross_entropy", "cross_entropy_gradient"] == LAUNCHES
    scale = total if reduction == "mean" else 1.0
    near(loss.data, terms if reduction == "none" else terms.sum() / scale, dtype)
    near(tensor.grad, expected_gx / scale, dtype)


def test_targets_are_those_that_numpy_makes(card):
    """Smoothed, weighted and ignored, for labels of every kind of integer: the same bits; averaged, the sum of weights is rounded."""
    rng = np.random.default_rng(0)
    weights = rng.uniform(0.5, 2, 7).astype(np.float32)
    for kind in ("int32", "int64", "uint8"):
        labels = rng.integers(0, 7, 12).astype(kind)
        for mean in (False, True):
            q = cross_entropy.targets(card.asarray(labels), 7, np.dtype("float32"), 2, 0.1, card.asarray(weights), mean).get()
            one_hot = (labels[:, None] == np.arange(7)).astype(np.float32)
            expected = np.where((labels != 2)[:, None], (one_hot * np.float32(0.9) + np.float32(0.1 / 7)) * weights, 0)
            total = weights[labels[labels != 2]].sum(dtype=np.float64) if mean else 1.0
            np.testing.assert_allclose(q, expected / total, rtol=0 if not mean else 3e-7)


def test_labels_out_of_range_are_rows_of_nan(card):
    """The host cannot look at them without waiting: such a row is NaN, and so is the loss; an ignored one counts for nothing."""
    x, labels = card.asarray(logits((3, 4))), card.asarray(np.array([1, 4, -1]))
    assert np.isnan(ops.cross_entropy(x, labels, reduction="none").get()).tolist() == [False, True, True]
    assert np.isnan(ops.cross_entropy(x, labels).get())
    kept = ops.cross_entropy(x, card.asarray(np.array([1, -1, -1])), ignore_index=-1).get()
    np.testing.assert_allclose(kept, formulas(x.get()[:1], np.eye(4)[[1]], np.ones(1))[0][0], rtol=1e-6)


def test_a_batch_without_labels_costs_nothing(card):
    """All ignored: 0 with zero gradient."""
    tensor = mv.Tensor(card.asarray(logits((3, 4))), requires_grad=True)
    loss = ops.cross_entropy(tensor, card.asarray(np.full(3, -1)), ignore_index=-1)
    loss.backward()
    assert loss.data.get() == 0 and not tensor.grad.get().any()


def test_class_weights_of_another_number_are_refused(card):
    """One for each class, or an error that says so."""
    with pytest.raises(ShapeError, match="one weight for each of the 4 classes"):
        ops.cross_entropy(card.asarray(logits((3, 4))), card.asarray(np.zeros(3, int)), class_weights=card.asarray(np.ones(3)))


def test_dense_logits_of_any_strides(card):
    """Logits (N, C, H, W) with labels (N, H, W): a loss for each pixel."""
    x, labels = logits((2, 3, 2, 3))[:, :, ::-1], np.random.default_rng(0).integers(0, 3, (2, 2, 3))
    loss = ops.cross_entropy(card.asarray(x), card.asarray(labels), reduction="none").get()
    rows = x.transpose(0, 2, 3, 1).reshape(-1, 3)
    expected = formulas(rows, np.eye(3)[labels.reshape(-1)], np.ones(12))[0]
    np.testing.assert_allclose(loss, expected.reshape(2, 2, 3), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", BOUND)
def test_soft_max_along_the_last_axis(card, order, dtype):
    """e^x / Σ e^x of rows in any storage, large logits too."""
    x = logits((2, 3, 130), dtype)[:, ::-1]
    x[0, 0, 0] = 60 if dtype == "float16" else 90
    LAUNCHES.clear()
    y = ops.softmax(card.asarray(x))
    exact = np.exp(x.astype(np.float64))
    near(y, exact / exact.sum(axis=-1, keepdims=True), dtype)
    assert LAUNCHES == ["softmax"]
