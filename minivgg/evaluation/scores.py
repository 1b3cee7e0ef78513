"""`score`: accuracy, loss and what each class can expect, from what a network said. The numbers are scikit-learn's.

A class's counts come from the confusion matrix C, where C[i, j] images of class i were called j:
precision_k = C[k, k] / Σ_i C[i, k], recall_k = C[k, k] / Σ_j C[k, j], F1_k = 2·C[k, k] / (Σ_i C[i, k] + Σ_j C[k, j]), and 0 / 0 = 0.

**Ties.** Of equal probabilities the class with the lower number comes first, as with argmax; scikit-learn's
`top_k_accuracy_score` puts the higher one first, so the two differ where probabilities are exactly equal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..backend.arrays import Array
from ..errors import DataError, NumericalError, ShapeError
from .scored import Scored

__all__ = ["Means", "Scores", "leaders", "score"]

_ROWS = 1024  # of the probabilities at once: with 1,000 classes 8 MB
_LEAST = float(np.finfo(np.float64).eps)  # a probability below counts as this: the loss stays finite, at most 36.04 an image


@dataclass(frozen=True)
class Means:
    """One number for all classes of each of the three."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, eq=False)
class Scores:
    """`count` images; `top1` and `topk` in 0..1, the share whose true class is the first, or among the first `k` = min(5, K).

    `loss` is −mean ln p[true class], natural logarithm. `confusion` int64 (K, K): rows are true classes, columns predictions.
    `precision`, `recall`, `f1` float64 (K,), `support` int64 (K,): images of each class. `macro` is the plain mean over
    all K classes, those without images included (as 0); `weighted` the mean weighted by support.
    """

    count: int
    k: int
    top1: float
    topk: float
    loss: float
    confusion: Array
    precision: Array
    recall: Array
    f1: Array
    support: Array
    macro: Means
    weighted: Means


def score(scored: Scored) -> Scores:
    """Everything at once, in bounded memory beside `scored` and the K × K confusion matrix.

    Raises ShapeError where the sizes do not fit, DataError without images or for a label that is no class, NumericalError if a
    probability is NaN or outside 0..1.
    """
    _check(scored)
    n, classes, k = len(scored), len(scored.classes), min(5, len(scored.classes))
    first = np.concatenate([leaders(scored.probabilities[rows], k) for rows in _blocks(n)])  # (N, k)
    truth = scored.probabilities[np.arange(n), scored.labels]  # (N,)
    confusion = np.bincount(scored.labels * classes + first[:, 0], minlength=classes**2).reshape(classes, classes)
    right, support, called = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    precision, recall, f1 = _ratio(right, called), _ratio(right, support), _ratio(2 * right, called + support)
    share = support / n
    return Scores(
        count=n,
        k=k,
        top1=float(right.sum() / n),
        topk=float((first == scored.labels[:, None]).any(axis=1).mean()),
        loss=float(-np.log(np.clip(truth, _LEAST, 1 - _LEAST)).mean()),
        confusion=confusion,
        precision=precision,
        recall=recall,
        f1=f1,
        support=support,
        macro=Means(float(precision.mean()), float(recall.mean()), float(f1.mean())),
        weighted=Means(float(precision @ share), float(recall @ share), float(f1 @ share)),
    )


def leaders(probabilities: Array, k: int) -> Array:
    """The numbers of each row's `k` most probable classes, the most probable first, int64 (N, k).

    Of equal ones the lower number comes first. k passes over the rows are quicker than sorting a thousand classes.
    """
    left, rows = probabilities.copy(), np.arange(len(probabilities))
    found = np.empty((len(probabilities), k), np.int64)
    for place in range(k):
        found[:, place] = left.argmax(axis=1)
        left[rows, found[:, place]] = -1.0  # below every probability
    return found


def _blocks(n: int) -> Iterator[slice]:
    return (slice(start, start + _ROWS) for start in range(0, n, _ROWS))


def _ratio(part: Array, whole: Array) -> Array:
    """part / whole, and 0 where whole is 0."""
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)


def _check(scored: Scored) -> None:
    n, classes = len(scored.labels), len(scored.classes)
    if scored.probabilities.shape != (n, classes) or len(scored.names) != n:
        raise ShapeError(
            f"{n} labels and {classes} classes need probabilities of shape {(n, classes)} and {n} names, "
            f"but they are {scored.probabilities.shape} and {len(scored.names)}."
        )
    if n == 0:
        raise DataError("there are no images to score. Name a set that has some.")
    wrong = np.flatnonzero((scored.labels < 0) | (scored.labels >= classes))
    if len(wrong):
        raise DataError(
            f"{scored.names[wrong[0]]}: its label is {scored.labels[wrong[0]]}, but the {classes} classes are 0 to {classes - 1}."
        )
    for rows in _blocks(n):
        bad = np.flatnonzero(~((scored.probabilities[rows] >= 0) & (scored.probabilities[rows] <= 1 + 1e-9)).all(axis=1))
        if len(bad):
            raise NumericalError(
                f"{scored.names[rows.start + bad[0]]}: its probabilities are not all in 0..1 (NaN?). "
                "The network has diverged: evaluate an earlier checkpoint (--best), or train with a smaller --lr."
            )
