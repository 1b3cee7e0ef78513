"""2×2 max pooling with stride 2: the windows do not overlap, so nothing is added and everything is written once."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend import layout
from ...backend.arrays import Array
from ...ops.max_pool2d import MaxPool2d, PoolScatter
from ...ops.windows import Geometry
from ..overlay import kernel

__all__ = ["forward", "scatter"]

_PLAIN = Geometry((2, 2), (2, 2))


@kernel(MaxPool2d, "forward", "numpy", bound=0.0, when=lambda call, x: call.geometry == _PLAIN)
def forward(call: Any, x: Array) -> Array:
    """Comparisons only, so the result is exact, winners included: in each row of two the first wins a tie, then the upper row.

    A window with a NaN gives NaN, and its winner counts as the first tap, as in the op.
    """
    p, q = call.geometry.output(*x.shape[2:])
    taps = [x[:, :, r : 2 * p : 2, s : 2 * q : 2] for r in (0, 1) for s in (0, 1)]
    upper, lower = np.maximum(taps[0], taps[1]), np.maximum(taps[2], taps[3])
    below = (lower > upper).view(np.uint8)
    right = np.where(below.view(bool), taps[3] > taps[2], taps[1] > taps[0]).view(np.uint8)
    np.maximum(upper, lower, out=upper)
    call.winners = (below * np.uint8(2) + right) * (upper == upper)
    return upper


@kernel(PoolScatter, "forward", "numpy", bound=0.0, when=lambda call, u, winners: call.geometry == _PLAIN)
def scatter(call: Any, u: Array, winners: Array) -> Array:
    """Each element is u or zero, as in the op: exact. An odd last row or column belongs to no window and stays zero."""
    p, q = u.shape[2:]
    odd = (p * 2, q * 2) != call.shape[2:]
    y = layout.zeros(call.shape, u) if odd else layout.empty(call.shape, u)
    for i in range(4):
        np.multiply(u, winners == i, out=y[:, :, i // 2 : 2 * p : 2, i % 2 : 2 * q : 2])
    return y
