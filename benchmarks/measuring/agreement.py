"""Whether two networks compute the same: timing two different computations would mean nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minivgg.errors import GradientError

__all__ = ["compare_gradients", "compare_outputs", "relative_errors"]

Sweep = tuple[float, Mapping[str, Any]]  # the loss, and each parameter's gradient by its name


def compare_gradients(ours: Sweep, theirs: Sweep, peer: str, loss_bound: float, bound: float) -> str:
    """A sentence about loss and gradients; GradientError if they differ by more than the bounds."""
    (loss, own), (other_loss, others) = ours, theirs
    if own.keys() != others.keys():
        raise GradientError(f"{peer} has other parameters than minivgg: {', '.join(sorted(own.keys() ^ others.keys())[:5])}.")
    errors = relative_errors(own, others)
    worst = max(errors, key=lambda name: errors[name] if np.isfinite(errors[name]) else np.inf)
    loss_error = abs(loss - other_loss) / abs(other_loss)
    said = f"loss {loss:.12g} and {other_loss:.12g} ({peer}), largest relative error of a gradient {errors[worst]:.1e} ({worst})"
    if not (loss_error <= loss_bound and errors[worst] <= bound):
        raise GradientError(
            f"minivgg and {peer} disagree: {said}; allowed are {loss_bound:g} for the loss and {bound:g}. Nothing was timed."
        )
    return said


def relative_errors(own: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, float]:
    """|own − other| / |other| of each array, in the L2 norm; relative to a thousandth of all arrays' norm if its own is smaller.

    Behind batch norm a bias has the gradient zero, and its rounding is no disagreement.
    """
    total = np.sqrt(sum(float((g**2).sum()) for g in others.values()))
    return {
        name: float(np.linalg.norm(np.subtract(g, others[name])) / max(float(np.linalg.norm(others[name])), 1e-3 * total))
        for name, g in own.items()
    }


def compare_outputs(ours: Any, theirs: Any, peer: str, bound: float) -> str:
    """A sentence about the largest difference, relative to the largest output; GradientError above `bound`."""
    if ours.shape != theirs.shape:
        raise GradientError(f"minivgg's outputs are {ours.shape}, those of {peer} {theirs.shape}. Nothing was timed.")
    error = float(np.abs(ours - theirs).max() / np.abs(ours).max())
    if not error <= bound:
        raise GradientError(
            f"minivgg and {peer} disagree: largest relative difference {error:.1e}, allowed is {bound:g}. Nothing was timed."
        )
    return f"{peer}: largest difference of an output {error:.1e} of the largest output"
