"""Batch norm in few passes over long rows.

The rules of `ops.BatchNorm` are independent of each other, so x̂ and the sums over gy are computed twice; here once, and
the combination runs in place in the memory of x̂. And a channel's scale is repeated W times beforehand: a pass then runs
over rows of W·C numbers, where broadcasting C numbers over each pixel would start anew at every pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...backend import layout
from ...backend.arrays import Array
from ...ops.batch_norm import BatchNorm
from ...ops.channel_sum import channel_sum
from ..overlay import kernel

__all__ = ["backward", "forward"]


def _rows(x: Array) -> Array:
    """Images (N, C, H, W) as rows (N·H, W·C): a view, if they are stored channels-last."""
    n, c, h, w = x.shape
    return layout.nhwc(x).reshape(n * h, w * c)


def _images(rows: Array, shape: Sequence[int]) -> Array:
    n, c, h, w = shape
    return layout.as_nchw(rows.reshape(n, h, w, c))


@kernel(BatchNorm, "forward", "numpy", bound=1e-5, when=lambda call, x, gamma, beta: x.ndim == 4)
def forward(call: Any, x: Array, gamma: Array, beta: Array) -> Array:
    """The op's operations on each element in the op's order: the same roundings."""
    m, width = x.size // x.shape[1], x.shape[3]
    call.mean = channel_sum(x) * (1.0 / m)
    rows = _rows(x) - np.tile(call.mean, width)
    call.variance = channel_sum(_images(rows * rows, x.shape)) * (1.0 / m)
    rows *= np.tile(gamma / np.sqrt(call.variance + call.eps), width)
    rows += np.tile(beta, width)
    return _images(rows, x.shape)


@kernel(BatchNorm, "backward", "numpy", bound=1e-5, when=lambda call, gy: gy.ndim == 4)
def backward(call: Any, gy: Array, saved: dict[str, Array], shapes: Sequence[Any], wanted: Sequence[bool]) -> list[Array | None]:
    """[gx, gγ, gβ]. The same sums as the rules', so only the order of the last roundings differs: a few ulp."""
    if not wanted[0]:
        return [None, call.grad_gamma(gy, saved["x"]) if wanted[1] else None, channel_sum(gy) if wanted[2] else None]
    x, gamma = saved["x"], saved["gamma"]
    m, width = x.size // x.shape[1], x.shape[3]
    inverse = 1.0 / np.sqrt(call.variance + call.eps)
    g, out = _rows(gy), _rows(x) - np.tile(call.mean, width)
    out *= np.tile(inverse, width)  # x̂
    gbeta, ggamma = channel_sum(gy), channel_sum(_images(g * out, x.shape))
    out *= np.tile(ggamma / -m, width)
    out += g
    out -= np.tile(gbeta / m, width)
    out *= np.tile(gamma * inverse, width)
    return [_images(out, x.shape), ggamma, gbeta]
