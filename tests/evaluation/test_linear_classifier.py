"""The linear classifier reaches the minimum that scikit-learn reaches, and the transfer protocol counts right."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix
from sklearn.svm import LinearSVC

from minivgg.errors import ConfigError, DataError, MinivggError, NumericalError
from minivgg.evaluation.feature_file import FeatureFile, FeatureSet
from minivgg.evaluation.linear_classifier import LinearClassifier, Rows, fit, objective
from minivgg.evaluation.transfer import transfer


def points(count: int, width: int, classes: int, seed: int = 0, apart: float = 1.5) -> FeatureSet:
    """Clouds of points of length 1, one for each class, which overlap."""
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((count, width)), np.arange(count) % classes
    x[np.arange(count), y] += apart
    return FeatureSet((x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), y, tuple(map(str, range(count))))


def file(classes: int = 3, **sets: FeatureSet) -> FeatureFile:
    """A file of features in memory."""
    return FeatureFile(sets, tuple("abcdefgh"[:classes]), {})


@pytest.mark.parametrize(
    ("count", "width", "classes", "c"), [(200, 10, 3, 1.0), (40, 150, 4, 10.0), (150, 30, 3, 100.0), (40, 30, 2, 0.01), (31, 30, 2, 1e4)]
)
def test_the_minimum_is_scikit_learns(count: int, width: int, classes: int, c: float) -> None:
    """The same value of the objective to 12 digits and nearly the same weights, with more samples than features and with fewer."""
    made = points(count, width, classes)
    x = made.x.astype(np.float64)
    found = fit(Rows.of(x), made.y, classes, c, tolerance=1e-10)
    ours = objective(found, x, made.y, c)
    for label in range(classes):
        theirs = LinearSVC(C=c, loss="squared_hinge", dual=False, tol=1e-12, max_iter=100_000).fit(x, made.y == label)
        other = LinearClassifier(theirs.coef_.T, theirs.intercept_)
        assert ours[label] == pytest.approx(objective(other, x, np.where(made.y == label, 0, 1), c)[0], rel=1e-12)
        assert np.abs(found.weights[:, label] - theirs.coef_[0]).max() <= 1e-5 * np.abs(theirs.coef_).max()


def test_the_objective_by_hand() -> None:
    """Two points at ±1, w = ½, b = 0, C = 3: ½·¼ + 3·(½² + ½²) = 1.625 for the class of the right one."""
    classifier = LinearClassifier(np.array([[0.5, -0.5]]), np.zeros(2))
    assert objective(classifier, np.array([[1.0], [-1.0]]), np.array([0, 1]), 3.0) == pytest.approx([1.625, 1.625])


def test_it_is_a_minimum_of_few_samples_with_many_features() -> None:
    """For D > N no step in any of 20 random directions lowers the objective."""
    made = points(20, 60, 3)
    found = fit(Rows.of(made.x), made.y, 3, 10.0)
    least, rng = objective(found, made.x, made.y, 10.0), np.random.default_rng(0)
    for _ in range(20):
        moved = LinearClassifier(found.weights + 1e-3 * rng.standard_normal((60, 3)), found.bias + 1e-3 * rng.standard_normal(3))
        assert (objective(moved, made.x, made.y, 10.0) > least).all()


def test_equal_samples_do_no_harm() -> None:
    """Samples that occur twice, so that the rows' span has fewer dimensions than rows, are fitted like doubled errors."""
    made = points(12, 40, 2)
    twice = fit(Rows.of(np.tile(made.x, (2, 1))), np.tile(made.y, 2), 2, 5.0, 1e-10)
    assert twice.weights == pytest.approx(fit(Rows.of(made.x), made.y, 2, 10.0, 1e-10).weights, abs=1e-6)


def test_a_hopeless_c_is_said() -> None:
    """Where rounding stops the search, NumericalError names C and the remedy."""
    made = points(100, 5, 2, apart=0.1)
    with pytest.raises(NumericalError, match=r"did not converge .* C = 1e\+12.*Lower C"):
        fit(Rows.of(made.x * 1e6), made.y, 2, 1e12, tolerance=1e-18)


def test_transfer_chooses_fits_and_counts() -> None:
    """The chosen C is the best of the held-out accuracies, the smallest of equals; the confusions are scikit-learn's; twice the same."""
    train, test = points(120, 12, 3), points(60, 12, 3, seed=1)
    found = transfer(file(train=train, test=test), [10.0, 0.1, 1.0])
    assert list(found.tried) == [0.1, 1.0, 10.0]
    assert found.c == next(c for c, accuracy in found.tried.items() if accuracy == max(found.tried.values()))
    assert (found.held, found.fitted, found.count) == (24, 120, 60)
    expected = fit(Rows.of(train.x), train.y, 3, found.c)
    assert (found.confusion == confusion_matrix(test.y, expected.classify(test.x), labels=[0, 1, 2])).all()
    assert found.accuracy == found.correct / 60 > 0.5
    again = transfer(file(train=train, test=test), [10.0, 0.1, 1.0])
    assert again.classifier.weights.tobytes() == found.classifier.weights.tobytes()


def test_validation_images_judge_c_and_are_fitted_in_the_end() -> None:
    """With a validation part beside a test part nothing is drawn: it judges C, and then belongs to the training images."""
    train, val, test = points(60, 8, 2), points(20, 8, 2, seed=1), points(20, 8, 2, seed=2)
    found = transfer(file(2, train=train, val=val, test=test), [0.1, 10.0])
    assert (found.held, found.fitted) == (20, 80)
    accuracies = [(fit(Rows.of(train.x), train.y, 2, c).classify(val.x) == val.y).mean() for c in (0.1, 10.0)]
    assert list(found.tried.values()) == pytest.approx(accuracies)
    assert transfer(file(2, train=train, val=val), [1.0]).count == 20  # without test images the validation images test


def test_few_images_of_each_class() -> None:
    """per_class takes that many of each class; one image each cannot choose C, but one C needs no choice."""
    sets = {"train": points(60, 8, 3), "test": points(30, 8, 3, seed=1)}
    assert transfer(file(**sets), per_class=5).fitted == 15
    assert transfer(file(**sets), [1.0], per_class=1).fitted == 3
    with pytest.raises(ConfigError, match=r"of 3 images in 3 classes leaves none to judge C by\. Name one C"):
        transfer(file(**sets), per_class=1)
    with pytest.raises(ConfigError, match=r"--per-class must be in 1\.\.20, as class a has 20 training images, but is 21"):
        transfer(file(**sets), per_class=21)


def test_a_set_without_parts_is_cut() -> None:
    """test_split takes a share of each class; without it the message says what to give."""
    whole = file(**{"": points(60, 8, 3)})
    assert transfer(whole, [1.0], test_split=0.25).count == 15
    with pytest.raises(DataError, match=r"60 images without parts, so none to test with.*--test-split"):
        transfer(whole)


@pytest.mark.parametrize(
    ("sets", "options", "error", "message"),
    [
        (lambda: {"train": points(9, 4, 1), "test": points(9, 4, 1)}, {}, DataError, "all 9 training images are of the class a"),
        (lambda: {"train": points(9, 4, 2), "test": points(9, 4, 3)}, {}, DataError, "the class c is among the test images"),
        (lambda: {"test": points(9, 4, 3)}, {}, DataError, "nothing to train with"),
        (lambda: {"train": points(9, 4, 3), "test": points(9, 4, 3)}, {"test_split": 0.5}, ConfigError, "leave out --test-split"),
        (
            lambda: {"train": points(9, 4, 3), "test": points(9, 4, 3)},
            {"cs": [0.0]},
            ConfigError,
            "C must be a finite number > 0, but is 0",
        ),
        (lambda: {"train": points(9, 4, 3), "test": points(9, 4, 3)}, {"hold": 1.5}, ConfigError, r"\(--hold\) must lie between 0 and 1"),
    ],
)
def test_refusals_of_transfer(sets: object, options: dict[str, object], error: type[MinivggError], message: str) -> None:
    """Sets from which nothing can be learnt, and choices out of range, are refused with the numbers."""
    with pytest.raises(error, match=message):
        transfer(file(**sets()), **options)  # type: ignore[operator, arg-type]
