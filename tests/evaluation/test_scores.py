"""The figures are scikit-learn's, and those that scikit-learn lacks are a naive loop's."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from sklearn import metrics

from minivgg.errors import DataError, NumericalError, ShapeError
from minivgg.evaluation.calibration import calibrate
from minivgg.evaluation.confused import most_confused
from minivgg.evaluation.scored import Scored
from minivgg.evaluation.scores import leaders, score

from .answers import answers

sizes = pytest.mark.parametrize(("n", "k"), [(1, 2), (60, 2), (60, 4), (50, 7), (2500, 12), (40, 100)])


@sizes
def test_the_figures_are_those_of_scikit_learn(n: int, k: int) -> None:
    """Accuracy, top-5, loss, confusion matrix, precision, recall, F1 and their means, with classes that nobody has or calls."""
    scored = answers(n, k, seed=k)
    found, p, y, every = score(scored), scored.probabilities, scored.labels, np.arange(k)
    called = p.argmax(axis=1)
    assert found.top1 == pytest.approx(metrics.accuracy_score(y, called), abs=1e-15)
    if k > 5:
        assert found.topk == pytest.approx(metrics.top_k_accuracy_score(y, p, k=5, labels=every), abs=1e-15)
    assert found.loss == pytest.approx(metrics.log_loss(y, p, labels=every), rel=1e-12)
    assert np.array_equal(found.confusion, metrics.confusion_matrix(y, called, labels=every))
    for average, ours in ((None, found), ("macro", found.macro), ("weighted", found.weighted)):
        *theirs, support = metrics.precision_recall_fscore_support(y, called, labels=every, average=average, zero_division=0)
        for name, their in zip(("precision", "recall", "f1"), theirs, strict=True):
            np.testing.assert_allclose(getattr(ours, name), their, rtol=1e-12, atol=0)
        assert average is not None or np.array_equal(found.support, support)


@sizes
def test_the_brier_score_is_scikit_learns(n: int, k: int) -> None:
    """The sum over all classes, which scikit-learn halves for two of them unless told not to."""
    scored = answers(n, k, seed=k)
    theirs = metrics.brier_score_loss(
        scored.labels, scored.probabilities if k > 2 else scored.probabilities[:, 1], labels=np.arange(k), scale_by_half=False
    )
    assert calibrate(scored).brier == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_calibration_is_a_loop_over_bins(bins: int) -> None:
    """Every image is put into (b/B, (b + 1)/B] by comparison; sums and means by hand."""
    scored = answers(200, 5, seed=3)
    found, error = calibrate(scored, bins), 0.0
    for b in range(bins):
        inside = [i for i in range(200) if b / bins < max(scored.probabilities[i]) <= (b + 1) / bins]
        assert found.counts[b] == len(inside)
        if inside:
            right = sum(np.argmax(scored.probabilities[i]) == scored.labels[i] for i in inside) / len(inside)
            sure = sum(max(scored.probabilities[i]) for i in inside) / len(inside)
            assert found.accuracies[b] == pytest.approx(right) and found.confidences[b] == pytest.approx(sure)
            error += len(inside) / 200 * abs(right - sure)
    assert found.error == pytest.approx(error, rel=1e-12)
    assert found.confidence == pytest.approx(np.mean([max(row) for row in scored.probabilities]))


def test_a_confidence_on_a_border_is_in_the_bin_below() -> None:
    """1, 4/5 and 3/5 with five bins: the last three bins have one each; the next number above 3/5 is one bin higher."""
    top = np.array([1.0, 0.8, 0.6, np.nextafter(0.6, 1)])
    scored = answers(4, 2, probabilities=np.stack([top, 1 - top], axis=1))
    assert calibrate(scored, 5).counts.tolist() == [0, 0, 1, 2, 1]


def test_a_sure_and_always_right_network_is_perfect() -> None:
    """Probabilities 0 and 1, all right: loss 0 to rounding, no calibration error, Brier score 0. All wrong: a finite loss."""
    y = np.array([0, 1, 2, 1])
    sure = Scored(np.eye(3)[y], y, ("a", "b", "c"), ("0", "1", "2", "3"), "center")
    assert (score(sure).top1, calibrate(sure).error, calibrate(sure).brier) == (1.0, 0.0, 0.0)
    assert score(sure).loss == pytest.approx(metrics.log_loss(y, np.eye(3)[y])) and score(sure).loss < 1e-15
    wrong = dataclasses.replace(sure, labels=(y + 1) % 3)
    assert score(wrong).loss == pytest.approx(52 * math.log(2)) and (calibrate(wrong).error, calibrate(wrong).brier) == (1.0, 2.0)


def test_of_equal_probabilities_the_lower_class_comes_first() -> None:
    """All classes alike: class 0 is predicted, and 0 to 4 are the first five; a loop that sorts (−p, number) agrees on many ties."""
    p = np.full((8, 8), 1 / 8)
    scored = Scored(p, np.arange(8), tuple("abcdefgh"), tuple("01234567"), "center")
    assert (score(scored).top1, score(scored).topk) == (1 / 8, 5 / 8)
    coarse = np.random.default_rng(0).integers(0, 3, (50, 9)) / 3
    naive = [sorted(range(9), key=lambda c: (-row[c], c))[:6] for row in coarse]
    assert leaders(coarse, 6).tolist() == naive


def test_the_most_confused_classes_keep_every_count() -> None:
    """Of 30 classes the 5 with most mistakes, and the others as one: each sum is that of a loop over the images."""
    scored = answers(400, 30, seed=1)
    called = scored.probabilities.argmax(axis=1)
    mistakes = [sum((y == c) != (z == c) for y, z in zip(scored.labels, called, strict=True)) for c in range(30)]
    part = most_confused(score(scored).confusion, 5)
    assert part.classes == sorted(sorted(range(30), key=lambda c: (-mistakes[c], c))[:5]) and part.others == 25
    place = {c: i for i, c in enumerate(part.classes)}
    expected = np.zeros((6, 6), int)
    for y, z in zip(scored.labels.tolist(), called.tolist(), strict=True):
        expected[place.get(y, 5), place.get(z, 5)] += 1
    assert np.array_equal(part.counts, expected)
    whole = most_confused(score(scored).confusion, 30)
    assert whole.others == 0 and np.array_equal(whole.counts, score(scored).confusion)


def test_what_cannot_be_scored_is_refused() -> None:
    """Sizes that do not fit, no images, a label that is no class, NaN: the message names what was found."""
    good = answers(5, 3)
    with pytest.raises(ShapeError, match=r"5 labels and 2 classes need probabilities of shape \(5, 2\)"):
        score(dataclasses.replace(good, classes=("a", "b")))
    with pytest.raises(DataError, match="no images to score"):
        score(Scored(np.zeros((0, 2)), np.zeros(0, np.int64), ("a", "b"), (), "center"))
    with pytest.raises(DataError, match=r"val/0.png: its label is 3, but the 3 classes are 0 to 2"):
        score(dataclasses.replace(good, labels=np.array([3, 0, 0, 0, 0])))
    broken = good.probabilities.copy()
    broken[2, 1] = np.nan
    with pytest.raises(NumericalError, match=r"val/2\.png: .* diverged"):
        score(dataclasses.replace(good, probabilities=broken))
