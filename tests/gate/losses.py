"""Wrong rules of soft-max and cross-entropy: the sum term, the weights, the labels that count for nothing, gy itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minivgg import ops
from minivgg.autograd.core import cast

from .planting import Case, constant, planted


def ignored(rng: np.random.Generator) -> Iterator[Case]:
    """The first of three images has no label: its row of weights is zero."""
    yield ops.CrossEntropy(), (rng.standard_normal((3, 4)), np.eye(4)[[1, 3, 0]] * np.array([[0.0], [1.0], [1.0]]))


def smoothed(rng: np.random.Generator) -> Iterator[Case]:
    """Label smoothing of 0.1 over four classes."""
    yield ops.CrossEntropy(), (rng.standard_normal((3, 4)), np.eye(4)[[1, 3, 0]] * 0.9 + 0.025)


def weighted(rng: np.random.Generator) -> Iterator[Case]:
    """Classes of different weights."""
    yield ops.CrossEntropy(), (rng.standard_normal((3, 4)), np.eye(4)[[1, 3, 0]] * np.array([0.5, 2.0, 1.0, 3.0]))


def column(gy: Any) -> Any:
    """gy (N,) as (N, 1)."""
    return gy.reshape((gy.shape[0], 1))


@planted(ops.Softmax, "grad_x")
def softmax_forgets_the_sum(self: Any, gy: Any, y: Any) -> Any:
    """y·gy: as if each result depended on its own logit only, without a denominator."""
    return gy * y


@planted(ops.Softmax, "grad_x")
def softmax_has_a_diagonal_jacobian(self: Any, gy: Any, y: Any) -> Any:
    """y(1 − y)·gy: the rule of the logistic function."""
    return gy * y * (1.0 - y)


@planted(ops.Softmax, "grad_x")
def softmax_sums_over_another_axis(self: Any, gy: Any, y: Any) -> Any:
    """Summed over the axis before."""
    return y * (gy - (gy * y).sum((self.axis - 1) % gy.ndim, keepdims=True))


@planted(ops.Softmax, "grad_x")
def softmax_averages(self: Any, gy: Any, y: Any) -> Any:
    """The mean over the classes in place of the sum."""
    return y * (gy - (gy * y).mean(self.axis, keepdims=True))


@planted(ops.Softmax, "grad_x")
def softmax_cuts_y(self: Any, gy: Any, y: Any) -> Any:
    """The result is read as a constant."""
    y = constant(y)
    return y * (gy - (gy * y).sum(self.axis, keepdims=True))


@planted(ops.LogSoftmax, "grad_x")
def log_softmax_is_right_for_one_target(self: Any, gy: Any, y: Any) -> Any:
    """gy − e^y: right if gy sums to one, as for a single target of weight one."""
    return gy - ops.exp(y)


@planted(ops.LogSoftmax, "grad_x")
def log_softmax_forgets_the_probabilities(self: Any, gy: Any) -> Any:
    """gy − Σ gy: the sum is shared out to all classes alike."""
    return gy - gy.sum(self.axis, keepdims=True)


@planted(ops.LogSoftmax, "grad_x")
def log_softmax_forgets_the_exponential(self: Any, gy: Any, y: Any) -> Any:
    """y in place of e^y."""
    return gy - y * gy.sum(self.axis, keepdims=True)


@planted(ops.LogSoftmax, "grad_x")
def log_softmax_rounds_to_float32(self: Any, gy: Any, y: Any) -> Any:
    """The probabilities are rounded to float32."""
    return gy - cast(cast(ops.exp(y), "float32"), gy.dtype) * gy.sum(self.axis, keepdims=True)


@planted(ops.CrossEntropy, "grad_x")
def cross_entropy_ignores_gy(self: Any, gy: Any, x: Any, q: Any) -> Any:
    """p·Σq − q without gy: right for a cotangent of ones only."""
    return ops.softmax(x, 1) * q.sum(axis=1, keepdims=True) - q


@planted(ops.CrossEntropy, "grad_x")
def cross_entropy_has_the_wrong_sign(self: Any, gy: Any, x: Any, q: Any) -> Any:
    """q − p."""
    return -column(gy) * (ops.softmax(x, 1) * q.sum(axis=1, keepdims=True) - q)


@planted(ops.CrossEntropy, "grad_x")
def cross_entropy_divides_by_the_batch(self: Any, gy: Any, x: Any, q: Any) -> Any:
    """A 1/N that the mean applies already."""
    return column(gy) * (ops.softmax(x, 1) * q.sum(axis=1, keepdims=True) - q) * (1.0 / x.shape[0])


@planted(ops.CrossEntropy, "grad_x", cases=weighted)
def cross_entropy_forgets_class_weights(self: Any, gy: Any, x: Any, q: Any) -> Any:
    """p − q: right only if the weights of a row sum to one."""
    return column(gy) * (ops.softmax(x, 1) - q)


@planted(ops.CrossEntropy, "grad_x", cases=ignored)
def cross_entropy_pulls_at_ignored_images(self: Any, gy: Any, x: Any, q: Any) -> Any:
    """A row without a label is treated as one with a sum of one: p flows into what should be left alone."""
    total = q.sum(axis=1, keepdims=True)
    return column(gy) * (ops.softmax(x, 1) * (total + (total == 0)) - q)


@planted(ops.CrossEntropy, "grad_x", cases=smoothed)
def cross_entropy_forgets_label_smoothing(self: Any, gy: Any, x: Any, q: Any) -> Any:
    """p minus the one-hot target, though the loss is smoothed."""
    return column(gy) * (ops.softmax(x, 1) - (q == q.max(axis=1, keepdims=True)))


@planted(ops.CrossEntropy, "grad_x")
def cross_entropy_cuts_the_probabilities(self: Any, gy: Any, x: Any, q: Any) -> Any:
    """p is a constant, saved by the forward pass: the second derivative is 0."""
    return column(gy) * (ops.softmax(constant(x), 1) * q.sum(axis=1, keepdims=True) - q)


@planted(ops.CrossEntropy, "grad_x")
def cross_entropy_forgets_the_softmax(self: Any, gy: Any, x: Any, q: Any) -> Any:
    """x·Σq − q: the rule of half the squared error."""
    return column(gy) * (x * q.sum(axis=1, keepdims=True) - q)
