"""The confusion matrix cut down to what can be read: the classes with most mistakes, the others as one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..backend.arrays import Array

__all__ = ["Confused", "most_confused"]


@dataclass(frozen=True, eq=False)
class Confused:
    """`classes` are the numbers of those shown, ascending; `counts` int64, square, has one more row and column if there are
    `others`, the classes that are not shown, taken together."""

    classes: list[int]
    counts: Array
    others: int


def most_confused(confusion: Array, most: int = 20) -> Confused:
    """The `most` classes with most mistakes, as truth or as prediction, of a matrix (K, K); all of them if K ≤ `most`.

    Where two have equally many, the one with the lower number comes first. The sum of all counts is kept.
    """
    k = len(confusion)
    wrong = confusion.sum(axis=0) + confusion.sum(axis=1) - 2 * confusion.diagonal()
    shown = np.sort(np.argsort(-wrong, kind="stable")[:most])
    place = np.full(k, len(shown))
    place[shown] = np.arange(len(shown))
    size = len(shown) + (len(shown) < k)
    pairs = np.argwhere(confusion)
    counts = np.zeros((size, size), np.int64)
    np.add.at(counts, (place[pairs[:, 0]], place[pairs[:, 1]]), confusion[*pairs.T])
    return Confused(shown.tolist(), counts, k - len(shown))
