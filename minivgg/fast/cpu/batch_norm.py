"""Batch norm's three gradients at once.

The rules of `ops.BatchNorm` are independent of each other, so x̂ and the sums over gy are computed twice. Here they
are computed once, and the combination runs in place in the memory of x̂.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...backend.arrays import Array
from ...ops.batch_norm import BatchNorm
from ...ops.channel_sum import channel_sum
from ..overlay import kernel

__all__ = ["backward"]


@kernel(BatchNorm, "backward", "numpy", bound=1e-5)
def backward(call: Any, gy: Array, saved: dict[str, Array], shapes: Sequence[Any], wanted: Sequence[bool]) -> list[Array | None]:
    """[gx, gγ, gβ]. The same sums as the rules', so only the order of the last roundings differs: a few ulp."""
    if not wanted[0]:
        return [None, call.grad_gamma(gy, saved["x"]) if wanted[1] else None, channel_sum(gy) if wanted[2] else None]
    x, gamma = saved["x"], saved["gamma"]
    shape = (1, x.shape[1]) + (1,) * (x.ndim - 2)
    m = x.size // x.shape[1]
    inverse = 1.0 / np.sqrt(call.variance + call.eps)
    out = x - call.mean.reshape(shape)
    out *= inverse.reshape(shape)  # x̂
    gbeta, ggamma = channel_sum(gy), channel_sum(gy * out)
    out *= (ggamma / -m).reshape(shape)
    out += gy
    out -= (gbeta / m).reshape(shape)
    out *= (gamma * inverse).reshape(shape)
    return [out, ggamma, gbeta]
