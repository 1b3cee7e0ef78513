"""Soft-max, its logarithm, and the cross-entropy loss."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.broadcasting import cast
from ..autograd.mode import where
from ..autograd.op import Op, op
from ..autograd.tensor import Tensor
from ..backend.arrays import Array, any_without_waiting, array_module, as_array, is_float, wide
from ..backend.substitutes import substituted
from ..errors import ConfigError, DataError, ShapeError
from .exponential import exp, log
from .reductions import logsumexp

__all__ = ["CrossEntropy", "LogSoftmax", "Softmax", "cross_entropy", "log_softmax", "softmax"]


def _examples(rng: np.random.Generator) -> Any:
    yield 1, rng.standard_normal((2, 3))
    yield 0, rng.standard_normal((3, 2, 2)) * 3
    yield -1, rng.standard_normal((2, 1))


@op
class Softmax(Op):
    """y_i = e^{x_i} / Σ_j e^{x_j} along `axis`; the largest x is subtracted first, so nothing overflows.

    Shapes     x (…)  →  y (…), positive and of sum 1 along `axis`
    Gradients  ∂y_i/∂x_j = y_i·(δ_ij − y_j):  gx = y·(gy − Σ gy·y). The sum of gx is 0.
    """

    axis: int

    def forward(self, x: Array) -> Array:
        y = array_module(x).exp(x - x.max(axis=self.axis, keepdims=True))
        y /= y.sum(axis=self.axis, keepdims=True)
        return y

    def grad_x(self, gy: Any, y: Any) -> Any:
        return y * (gy - (gy * y).sum(self.axis, keepdims=True))

    def definition(self, x: Any) -> Any:
        return exp(x) / exp(x).sum(self.axis, keepdims=True)

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        for axis, x in _examples(rng):
            yield Softmax(axis), (x,)


@op
class LogSoftmax(Op):
    """y_i = x_i − log Σ_j e^{x_j} along `axis`.

    Shapes     x (…)  →  y (…)
    Gradients  ∂y_i/∂x_j = δ_ij − e^{y_j}:  gx = gy − e^y·Σ gy.
    """

    axis: int

    def forward(self, x: Array) -> Array:
        xp = array_module(x)
        y = x - x.max(axis=self.axis, keepdims=True)
        y -= xp.log(xp.exp(y).sum(axis=self.axis, keepdims=True))
        return y

    def grad_x(self, gy: Any, y: Any) -> Any:
        return gy - exp(y) * gy.sum(self.axis, keepdims=True)

    def definition(self, x: Any) -> Any:
        return log(exp(x) / exp(x).sum(self.axis, keepdims=True))

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        for axis, x in _examples(rng):
            yield LogSoftmax(axis), (x,)


@op
class CrossEntropy(Op):
    """The cross-entropy of each row with weights q over the classes: y_n = −Σ_c q[n,c] · log soft-max(x)[n,c].

    Shapes     x (N, C) logits  q (N, C), a constant: a one-hot row, or any mixture  →  y (N,)
    Gradients  log soft-max has ∂/∂x_j = δ_cj − p_j with p = soft-max(x):  gx = gy·(p·Σ_c q − q).
               For a one-hot q this is the famous p − q.
    """

    def forward(self, x: Array, q: Array) -> Array:
        y = LogSoftmax(1).forward(x)
        array_module(y).copyto(y, 0, where=q == 0)  # a class of logit −∞ costs nothing if it is not a target
        y *= q
        return -y.sum(axis=1)

    def grad_x(self, gy: Any, x: Any, q: Array) -> Any:
        return gy.reshape((gy.shape[0], 1)) * (softmax(x, 1) * q.sum(axis=1, keepdims=True) - q)

    def definition(self, x: Any, q: Array) -> Any:
        return (q * (logsumexp(x, 1, keepdims=True) - x)).sum(1)

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        yield CrossEntropy(), (rng.standard_normal((3, 4)), np.eye(4)[[1, 3, 0]])
        yield CrossEntropy(), (rng.standard_normal((2, 3)) * 3, rng.random((2, 3)))


def softmax(x: Any, axis: int = -1) -> Any:
    """e^x / Σ e^x along `axis`: positive numbers that sum to one."""
    return Softmax(_axis(x, axis))(x)


def log_softmax(x: Any, axis: int = -1) -> Any:
    """The logarithm of soft-max along `axis`, without overflow."""
    return LogSoftmax(_axis(x, axis))(x)


def _axis(x: Any, axis: int) -> int:
    if not -x.ndim <= axis < x.ndim:
        raise ShapeError(f"axis {axis} is not one of the {x.ndim} axes of an array of shape {x.shape}.")
    if x.shape[axis] == 0:
        raise ShapeError(f"soft-max along axis {axis} of shape {x.shape}: there is nothing to share out.")
    return axis % x.ndim  # type: ignore[no-any-return]


def cross_entropy(
    logits: Any,
    targets: Any,
    *,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    class_weights: Any = None,
    reduction: str = "mean",
) -> Any:
    """Soft-max cross-entropy of logits (N, C) with targets (N,), integer classes; also (N, C, …) with (N, …).

    Targets equal to `ignore_index` count for nothing. `label_smoothing` ε gives the target 1 − ε and every class ε/C.
    `class_weights` (C,) weighs each class. `reduction`: "mean" divides by Σ weight[target] of the kept targets
    (torch's rule; 0 with zero gradient if all are ignored), "sum", or "none", which returns targets' shape.
    Logits in half precision are converted to float32 first, and the loss is float32. Raises DataError for a label outside
    0..C−1, ShapeError and ConfigError for the rest.
    """
    targets = as_array(targets.data if isinstance(targets, Tensor) else targets)
    if logits.ndim < 2 or targets.shape != (logits.shape[0], *logits.shape[2:]):
        raise ShapeError(f"{where('cross_entropy')} needs logits (N, C, …) and targets (N, …), but got {logits.shape} and {targets.shape}.")
    if reduction not in {"mean", "sum", "none"} or not 0.0 <= label_smoothing <= 1.0:
        raise ConfigError(
            f"reduction must be mean, sum or none and label_smoothing in [0, 1], but they are {reduction!r} and {label_smoothing}."
        )
    if not is_float(logits.dtype):
        raise ShapeError(f"{where('cross_entropy')} needs floating-point logits, but they are {logits.dtype}.")
    if targets.dtype.kind not in "iu":
        raise DataError(f"targets must be integer class numbers, but their dtype is {targets.dtype}.")
    logits = cast(logits, wide(logits.dtype))
    q = _targets(_plain(logits), targets.reshape(-1), ignore_index, label_smoothing, class_weights, reduction == "mean")
    classes = logits.shape[1]
    if logits.ndim > 2:  # (N, C, H, W) → (N·H·W, C)
        logits = logits.transpose((0, *range(2, logits.ndim), 1)).reshape((targets.size, classes))
    rows = CrossEntropy()(logits, q)
    return rows.reshape(targets.shape) if reduction == "none" else rows.sum()


def _targets(data: Array, targets: Array, ignore_index: int | None, smoothing: float, class_weights: Any, mean: bool) -> Array:
    """(N, C): what each class counts for in each row; for a mean divided by Σ weight[target] over the kept rows, if that is positive.

    The substitute "targets"(targets, C, dtype, ignore_index, smoothing, weights, mean) may make it in fewer steps, or give None.
    """
    xp, classes = array_module(data, targets), data.shape[1]
    weights = None if class_weights is None else xp.asarray(_plain(class_weights), data.dtype)
    if weights is not None and weights.shape != (classes,):
        raise ShapeError(f"class_weights must have one weight for each of the {classes} classes, but their shape is {weights.shape}.")
    make = substituted("targets", xp)
    q = make(targets, classes, data.dtype, ignore_index, smoothing, weights, mean) if make else None
    if q is not None:
        return q
    weights = xp.ones(classes, data.dtype) if weights is None else weights
    keep = xp.ones(targets.shape, bool) if ignore_index is None else targets != ignore_index
    inside = (targets >= 0) & (targets < classes)
    wrong = keep & ~inside
    if any_without_waiting(wrong):  # on a device: NaN instead, below
        place = int(wrong.argmax())
        target = int(targets[place])
        remedy = f"Build it with num_classes ≥ {int(targets[keep].max()) + 1}" if target >= 0 else "Number the classes from 0"
        raise DataError(
            f"target {target} at position {place} is outside 0..{classes - 1}: the model has {classes} classes. "
            f"{remedy}, or pass ignore_index={target} if it stands for images without a label."
        )
    one_hot = (targets[:, None] == xp.arange(classes)).astype(data.dtype)
    q = (one_hot * (1.0 - smoothing) + smoothing / classes) * weights
    q = xp.where(keep[:, None], q, 0) + xp.where(wrong, xp.nan, 0).astype(data.dtype)[:, None]
    if not mean:
        return q
    total = (one_hot @ weights * keep).sum()
    return q / xp.where(total > 0, total, 1).astype(data.dtype)


def _plain(x: Any) -> Any:
    return x.data if isinstance(x, Tensor) else x
