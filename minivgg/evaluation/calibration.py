"""`calibrate`: whether a network that says 90 % is right nine times in ten.

Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv:1706.04599. The confidence of an image is its largest
probability. Bin b of B holds the confidences in (b/B, (b + 1)/B], the first one 0 too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..backend.arrays import Array
from .scored import Scored

__all__ = ["Calibration", "calibrate"]


@dataclass(frozen=True, eq=False)
class Calibration:
    """`error` is the expected calibration error Σ_b n_b/N · |accuracy_b − confidence_b|, in 0..1.

    `confidence` is the mean confidence. `brier` = mean Σ_k (p_k − [k is the true class])², in 0..2 (Brier 1950; for two classes
    scikit-learn's default is half of it). Of each of the B bins: `counts` int64 (B,), mean `confidences` and `accuracies`
    float64 (B,), both 0 in an empty bin.
    """

    error: float
    confidence: float
    brier: float
    counts: Array
    confidences: Array
    accuracies: Array


def calibrate(scored: Scored, bins: int = 15) -> Calibration:
    """The reliability of the confidences. `scored` has at least one image, and probabilities in 0..1 (`score` checks that)."""
    n, p = len(scored), scored.probabilities
    confidence = p.max(axis=1)
    right = p.argmax(axis=1) == scored.labels
    truth = p[np.arange(n), scored.labels]
    bin_of = np.searchsorted(np.arange(1, bins) / bins, confidence)  # the first bin whose upper end is not below
    counts = np.bincount(bin_of, minlength=bins)
    some = np.maximum(counts, 1)
    confidences = np.bincount(bin_of, confidence, bins) / some
    accuracies = np.bincount(bin_of, right.astype(np.float64), bins) / some
    brier = np.einsum("nk,nk->n", p, p) - truth**2 + (1 - truth) ** 2  # einsum: no second array of N × K
    error = float(counts @ np.abs(accuracies - confidences) / n)
    return Calibration(error, float(confidence.mean()), float(brier.mean()), counts, confidences, accuracies)
