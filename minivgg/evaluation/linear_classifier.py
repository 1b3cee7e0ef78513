"""A linear classifier on fixed features: one support vector machine for each class, by Newton's method.

The transfer protocol of Simonyan & Zisserman (arXiv:1409.1556, appendix B): the network is not trained on the new images; a linear
SVM learns from what its penultimate layer says of them. One against the rest, each class k with targets t = ±1 and the squared hinge:

    L(w) = ½ |w|² + C Σ_n max(0, 1 − t_n w·x_n)²               x_n with a 1 behind it, so that w's last component is the bias

(LIBLINEAR's and scikit-learn's objective, in which the bias is penalised, too.) L is convex and has a continuous gradient. With
a_n = 1 where the margin is missed, t_n w·x_n < 1, and 0 elsewhere, and as t² = 1:

    ∇L  = w − 2C Σ_n a_n (t_n − w·x_n) x_n
    H   = I + 2C Σ_n a_n x_n x_nᵀ                              the generalised Hessian: never smaller than I

Newton's direction d solves H d = −∇L (Chapelle 2007, "Training a support vector machine in the primal"). H is never formed: conjugate
gradients need only products with it, H s = s + 2C Xᵀ(a ∘ X s), and all classes are solved at once, a column each, so that the work is
products of matrices. A step is halved until L falls as Armijo demands.

Where there are more features D than samples N, w lies in the span of the samples. Xᵀ = Q R with orthonormal columns in Q turns
x_n·w into row n of Rᵀ times v, w = Q v, |w| = |v|: the same problem with N unknowns in place of D.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..backend.arrays import Array
from ..errors import NumericalError

__all__ = ["LinearClassifier", "Rows", "fit", "objective"]

_MOST_STEPS = 300
_MOST_HALVINGS = 50
_MOST_PRODUCTS = 1000  # of conjugate gradients, in one step


@dataclass(frozen=True, eq=False)
class LinearClassifier:
    """`weights` float64 (D, K), `bias` float64 (K,): one column for each class."""

    weights: Array
    bias: Array

    def decide(self, x: Array) -> Array:
        """Each class's value, float64 (N, K), for features x (N, D): > 0 on its side of the plane."""
        return x @ self.weights + self.bias

    def classify(self, x: Array) -> Array:
        """The class of the largest value, int64 (N,); of equal ones the first."""
        return self.decide(x).argmax(1)


@dataclass(frozen=True, eq=False)
class Rows:
    """Samples in the coordinates in which they are fitted: `values` float64 (N, min(N, D + 1)); `basis` is Q, or None where D < N."""

    values: Array
    basis: Array | None

    @classmethod
    def of(cls, x: Array) -> Rows:
        """Features x (N, D), any real dtype, with the bias's 1 behind them, reduced if that pays: 4·D·N² operations, once for any C."""
        values = np.hstack([x, np.ones((len(x), 1))], dtype=np.float64)
        if len(values) >= values.shape[1]:
            return cls(values, None)
        basis, triangle = np.linalg.qr(values.T)  # (D + 1, N), (N, N)
        return cls(triangle.T, basis)

    def take(self, chosen: Array) -> Rows:
        """The samples at `chosen`, a mask or indices."""
        return Rows(self.values[chosen], self.basis)


def fit(rows: Rows, labels: Array, classes: int, c: float, tolerance: float = 1e-7) -> LinearClassifier:
    """The minimum of `objective` for each class. N rows, labels int (N,) in 0..classes − 1, c > 0.

    It ends when every gradient's norm is at most `tolerance` times that at w = 0. Raises NumericalError if it does not get there.
    """
    found = _minimise(rows.values, _targets(labels, classes), c, tolerance)
    w = found if rows.basis is None else rows.basis @ found
    return LinearClassifier(w[:-1], w[-1])


def objective(classifier: LinearClassifier, x: Array, labels: Array, c: float) -> Array:
    """L of each class, float64 (K,): ½ (|w|² + b²) + C Σ max(0, 1 − t·(x·w + b))²."""
    w = np.vstack([classifier.weights, classifier.bias])
    return _loss(w, classifier.decide(x), _targets(labels, len(classifier.bias)), c)


def _targets(labels: Array, classes: int) -> Array:
    """+1 in the column of a sample's class, −1 elsewhere: (N, K)."""
    return np.where(labels[:, None] == np.arange(classes), 1.0, -1.0)


def _loss(w: Array, values: Array, targets: Array, c: float) -> Array:
    """L of each column, where values = X w."""
    missed = np.maximum(0.0, 1.0 - targets * values)
    return 0.5 * (w * w).sum(0) + c * (missed * missed).sum(0)


def _minimise(x: Array, targets: Array, c: float, tolerance: float) -> Array:
    """Newton's method for all columns at once: x (N, D), targets (N, K) → w (D, K)."""
    w = np.zeros((x.shape[1], targets.shape[1]))
    values = np.zeros_like(targets)  # X w
    loss = _loss(w, values, targets, c)
    first = np.inf
    for _ in range(_MOST_STEPS):
        missed = targets * values < 1
        gradient = w - 2 * c * (x.T @ np.where(missed, targets - values, 0.0))
        size = np.linalg.norm(gradient, axis=0)
        first = size if first is np.inf else first
        if (size <= tolerance * first).all():
            return w
        d = _direction(x, missed, gradient, c)
        slope, along = (gradient * d).sum(0), x @ d
        step, better = np.ones(len(size)), np.zeros(len(size), bool)
        for _ in range(_MOST_HALVINGS):
            trial = _loss(w + step * d, values + step * along, targets, c)
            better = trial <= loss + 1e-4 * step * slope + 1e-14 * loss  # the last term: rounding, close to the minimum
            if better.all():
                break
            step = np.where(better, step, step / 2)
        w, values = w + step * d, values + step * along
        loss = _loss(w, values, targets, c)
    raise NumericalError(
        f"the linear classifier did not converge in {_MOST_STEPS} steps with C = {c:g}: its gradient is still "
        f"{float((size / first).max()):.1e} of the first one, expected {tolerance:g}. Lower C (--c), or scale the features to unit length."
    )


def _direction(x: Array, missed: Array, gradient: Array, c: float) -> Array:
    """d with H d ≈ −gradient, column by column, by conjugate gradients (Hestenes & Stiefel 1952), to a hundredth of |gradient|."""
    d = np.zeros_like(gradient)
    residual = -gradient
    s = residual.copy()
    square = (residual * residual).sum(0)
    enough = 1e-4 * square  # of squared norms
    for _ in range(_MOST_PRODUCTS):
        open_ = square > enough
        if not open_.any():
            break
        product = s + 2 * c * (x.T @ np.where(missed, x @ s, 0.0))
        step = np.where(open_, square / np.where(open_, (s * product).sum(0), 1.0), 0.0)
        d += step * s
        residual -= step * product
        new = (residual * residual).sum(0)
        s = residual + np.where(open_, new / np.where(square > 0, square, 1.0), 0.0) * s
        square = np.where(open_, new, square)
    return d
