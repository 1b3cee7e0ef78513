"""Soft-max, its logarithm, and cross-entropy with all its options together, against PyTorch."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minivgg as mv
from minivgg import nn, ops

torch = pytest.importorskip("torch", reason="PyTorch is not installed: run scripts/oracles")
F = pytest.importorskip("torch.nn.functional")


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("shape", [(4, 5), (2, 3, 4), (3, 1, 2)], ids=str)
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_and_its_logarithm(agree, rng, name, shape, axis):
    """Along any axis, one of a single element included."""
    agree(lambda x: getattr(ops, name)(x, axis), lambda x: getattr(F, name)(x, axis), rng.standard_normal(shape) * 3)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_of_large_logits(agree, rng, name):
    """eˣ would overflow: differences alone count."""
    agree(lambda x: getattr(ops, name)(x, 1), lambda x: getattr(F, name)(x, 1), rng.standard_normal((3, 4)) * 5 + 1000.0)


@pytest.mark.parametrize("shape", [(6, 5), (3, 4, 2, 3)], ids=["rows", "images"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("ignore", [None, 2, -100])
@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_cross_entropy(agree, rng, smoothing, weighted, ignore, reduction, shape):
    """Label smoothing, class weights, ignored targets and the three reductions, each with each."""
    classes = shape[1]
    targets = rng.integers(0, classes, (shape[0], *shape[2:]))
    if ignore is not None:
        targets.flat[::3] = ignore
    weights = rng.uniform(0.2, 3.0, classes) if weighted else None
    theirs = {
        "weight": None if weights is None else torch.tensor(weights),
        "label_smoothing": smoothing,
        "reduction": reduction,
        **({} if ignore is None else {"ignore_index": ignore}),
    }
    options = {"ignore_index": ignore, "label_smoothing": smoothing, "class_weights": weights, "reduction": reduction}
    agree(
        lambda x: ops.cross_entropy(x, targets, **options),
        lambda x: F.cross_entropy(x, torch.tensor(targets), **theirs),
        rng.standard_normal(shape) * 3,
    )


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_loss_layer(agree, rng, reduction):
    """nn.CrossEntropyLoss with torch's argument names."""
    targets, weights = rng.integers(0, 5, 6), rng.uniform(0.2, 3.0, 5)
    ours = nn.CrossEntropyLoss(weights, ignore_index=1, reduction=reduction, label_smoothing=0.1)
    theirs = torch.nn.CrossEntropyLoss(torch.tensor(weights), ignore_index=1, reduction=reduction, label_smoothing=0.1)
    agree(lambda x: ours(x, targets), lambda x: theirs(x, torch.tensor(targets)), rng.standard_normal((6, 5)))


def test_cross_entropy_with_a_mixture_as_target(agree, rng):
    """The op takes any weights over the classes, as torch does with probabilities."""
    q = rng.random((4, 5))
    agree(lambda x: ops.CrossEntropy()(x, q), lambda x: F.cross_entropy(x, torch.tensor(q), reduction="none"), rng.standard_normal((4, 5)))


def test_cross_entropy_of_sure_logits(agree, rng):
    """Right and wrong by hundreds: no NaN, and the loss is the difference."""
    x = rng.standard_normal((4, 3))
    x[:2, 0] += 800.0
    targets = np.array([0, 1, 2, 1])
    agree(lambda x: ops.cross_entropy(x, targets), lambda x: F.cross_entropy(x, torch.tensor(targets)), x)


def test_all_targets_ignored_is_nan_in_torch_and_zero_here(rng):
    """A documented difference: 0 / 0 is a loss of zero with a gradient of zero here."""
    x = rng.standard_normal((3, 4))
    assert math.isnan(F.cross_entropy(torch.tensor(x), torch.tensor([2, 2, 2]), ignore_index=2).item())
    logits = mv.Tensor(x, requires_grad=True)
    loss = ops.cross_entropy(logits, np.array([2, 2, 2]), ignore_index=2)
    assert loss.item() == 0.0
    assert not mv.grad(loss, logits)[0].any()
