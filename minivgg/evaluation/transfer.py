"""The paper's transfer protocol: features of a trained network, a linear SVM, C chosen on images held out of the training ones.

Each C is tried on a part of the training images and judged by the others; with the best one, the smallest of equals, all training
images are fitted again, and the test images are classified once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..backend.arrays import Array
from ..backend.random import stream
from ..data.strata import held_out
from ..errors import ConfigError, DataError
from .feature_file import FeatureFile, FeatureSet
from .linear_classifier import LinearClassifier, Rows, fit

__all__ = ["Transfer", "transfer"]


@dataclass(frozen=True, eq=False)
class Transfer:
    """`c` of `tried`, the held-out accuracies in 0..1 by C (empty if there was no choice), on `held` images; `confusion` int64 (K, K)
    counts test images by true class (row) and found class (column)."""

    classifier: LinearClassifier
    classes: tuple[str, ...]
    c: float
    tried: dict[float, float]
    held: int
    fitted: int
    confusion: Array

    @property
    def correct(self) -> int:
        """How many test images were classified right."""
        return int(np.trace(self.confusion))

    @property
    def count(self) -> int:
        """How many test images there are."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """correct / count, in 0..1."""
        return self.correct / self.count


def transfer(
    features: FeatureFile,
    cs: Sequence[float] = (0.1, 1.0, 10.0, 100.0, 1000.0),
    *,
    per_class: int | None = None,
    hold: float = 0.2,
    test_split: float | None = None,
    seed: int = 0,
) -> Transfer:
    """Choose C, fit, test.

    per_class: only so many training images of each class, drawn from the seed. hold: the share of the training images that judges C,
    unless there are validation images beside test images. test_split: the share that tests, where the file has no parts.
    Raises DataError (one class only, a class among the test images alone, no test images) or ConfigError (a C ≤ 0, too few images).
    """
    wrong = [c for c in cs if not 0 < c < np.inf]
    if wrong or not cs:
        raise ConfigError(f"C must be a finite number > 0, but is {wrong[0] if wrong else 'not given'} (--c).")
    train, val, test = _parts(features, test_split, seed)
    train = train if per_class is None else _few(train, per_class, features.classes, seed)
    both = train if val is None else _joined(train, val)
    _require_learnable(both, test, features.classes)
    cs, count = sorted({*cs}), len(features.classes)
    rows, tried, held = Rows.of(both.x), {}, np.zeros(len(both), bool)
    if len(cs) > 1:
        held = held_out(both.y, hold, seed, "choice of C", "the share that judges C (--hold)") if val is None else held
        held[len(train) :] = True
        if not held.any():
            raise ConfigError(
                f"a share of {hold:g} of {len(both):,} images in {count} classes leaves none to judge C by. "
                "Name one C (--c 1), or raise --hold."
            )
        for c in cs:
            tried[c] = float((fit(rows.take(~held), both.y[~held], count, c).classify(both.x[held]) == both.y[held]).mean())
    best = max(cs, key=lambda c: (tried.get(c, 0.0), -c))
    classifier = fit(rows, both.y, count, best)
    confusion = np.bincount(test.y * count + classifier.classify(test.x), minlength=count * count).reshape(count, count)
    return Transfer(classifier, features.classes, best, tried, int(held.sum()), len(both), confusion)


def _parts(features: FeatureFile, test_split: float | None, seed: int) -> tuple[FeatureSet, FeatureSet | None, FeatureSet]:
    """(training set, validation set or None, test set)."""
    sets = dict(features.sets)
    whole = sets.get("") or (sets["train"] if set(sets) == {"train"} else None)
    if whole is not None:
        if test_split is None:
            raise DataError(
                f"the file has {len(whole):,} images without parts, so none to test with. Name the share that tests (--test-split 0.2), "
                "or make features of a folder with train/ and test/."
            )
        out = held_out(whole.y, test_split, seed, "test split", "the share that tests (--test-split)")
        if not out.any():
            raise ConfigError(f"a share of {test_split:g} of {len(whole):,} images leaves none to test with. Raise --test-split.")
        return whole.take(np.flatnonzero(~out)), None, whole.take(np.flatnonzero(out))
    if test_split is not None:
        raise ConfigError(f"the file has parts ({', '.join(sorted(sets))}): leave out --test-split.")
    if "train" not in sets:
        raise DataError(f"the file has {' and '.join(sorted(sets))}, but nothing to train with: x_train and y_train are missing.")
    return (sets["train"], sets.get("val"), sets["test"]) if "test" in sets else (sets["train"], None, sets["val"])


def _few(train: FeatureSet, per_class: int, classes: tuple[str, ...], seed: int) -> FeatureSet:
    """`per_class` of the images of each class that the set has, in its order."""
    order = stream(seed, "images of each class").permutation(len(train))
    members = {label: order[train.y[order] == label] for label in np.unique(train.y).tolist()}
    if per_class < 1 or per_class > min(map(len, members.values())):
        label = min(members, key=lambda k: len(members[k]))
        raise ConfigError(
            f"--per-class must be in 1..{len(members[label]):,}, as class {classes[label]} has {len(members[label]):,} training images, "
            f"but is {per_class:,}."
        )
    return train.take(np.sort(np.concatenate([found[:per_class] for found in members.values()])))


def _joined(first: FeatureSet, second: FeatureSet) -> FeatureSet:
    return FeatureSet(np.concatenate([first.x, second.x]), np.concatenate([first.y, second.y]), first.names + second.names)


def _require_learnable(train: FeatureSet, test: FeatureSet, classes: tuple[str, ...]) -> None:
    seen = {*train.y.tolist()}
    if len(seen) < 2:
        raise DataError(f"all {len(train):,} training images are of the class {classes[train.y[0]]}: there is nothing to tell apart.")
    unseen = sorted({*test.y.tolist()} - seen)
    if unseen:
        raise DataError(f"the class {classes[unseen[0]]} is among the test images, but no training image has it.")
