"""The sum of each channel: the gradient of every bias, and half of batch norm."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.broadcasting import broadcast_to
from ..autograd.op import Op, op
from ..backend import layout
from ..backend.arrays import Array, array_module, wide
from .reductions import sum

__all__ = ["ChannelSum", "channel_sum"]


@op
class ChannelSum(Op):
    """Sum over everything but the channels: y[c] = Σ_{n,…} x[n,c,…].

    Shapes     x (N, C, …)  →  y (C,), in x's dtype; float32 if that is half precision, which a sum of thousands does not fit
    Gradients  ∂y_c/∂x[n,c,…] = 1: gy is repeated over all other axes.
    Cost       One pass over x. For images as a product with a row of ones, (1, H·W) @ (H·W, C) for each image, then
               over the images: a matrix product reads channels-last rows many times faster than a reduction over
               outer axes does, and two short sums round less than a long one.
    """

    linear = ("x",)

    def forward(self, x: Array) -> Array:
        x = x.astype(wide(x.dtype), copy=False)
        if x.ndim != 4:
            return x.sum(axis=(0, *range(2, x.ndim)))
        n, c, h, w = x.shape
        ones = array_module(x).ones((1, h * w), x.dtype)
        return (ones @ layout.nhwc(x).reshape(n, h * w, c)).sum(axis=(0, 1))

    def grad_x(self, gy: Any, x_shape: tuple[int, ...]) -> Any:
        return broadcast_to(gy.reshape((1, x_shape[1]) + (1,) * (len(x_shape) - 2)), x_shape)

    def definition(self, x: Any) -> Any:
        return sum(x, (0, *range(2, x.ndim)))

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        for shape in [(2, 3, 2, 2), (3, 2), (1, 2, 3)]:
            yield ChannelSum(), (rng.standard_normal(shape),)


def channel_sum(x: Any) -> Any:
    """Σ over all axes of x (N, C, …) but the second: (C,), in x's dtype, or float32 if that is half precision."""
    return ChannelSum()(x)
