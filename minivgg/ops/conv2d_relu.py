"""Convolution and the rectifier behind it as one op: one array, written once."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.op import op
from ..backend.arrays import Array, array_module
from .conv2d import Conv2d, Convolution, check_convolution
from .relu import Relu
from .windows import Pair

__all__ = ["Conv2dRelu", "conv2d_relu"]

Shape4 = tuple[int, ...]  # (N, C, H, W) or (K, C, R, S)


@op
class Conv2dRelu(Convolution):
    """Slide K filters over each image, add the bias, and cut off below zero: y = max(x ⋆ w + b, 0).

    Shapes     x (N, C, H, W)  w (K, C/groups, R, S)  b (K,) or None  →  y (N, K, P, Q), as in Conv2d
    Gradients  The chain rule: g = gy where y > 0, else 0, and then the convolution's rules for g. As y > 0 exactly where
               x ⋆ w + b > 0, the result is kept, not the sum: it is the next layer's input, which that layer keeps anyway.
    Kinks      ReLU'(0) = 0, as in Relu.
    Cost       The convolution's, and a pass over y that is done while it is in the cache, if a kernel does it.
    See        Conv2d, Relu.
    """

    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int
    joins = (Conv2d, Relu)

    def forward(self, x: Array, w: Array, b: Array | None) -> Array:
        y = Conv2d(*self.fields())(x, w, b)
        return array_module(y).maximum(y, 0, out=y)

    def grad_x(self, gy: Any, w: Any, y: Any, x_shape: Shape4) -> Any:
        return Conv2d(*self.fields()).grad_x(Relu().grad_x(gy, y), w, x_shape)

    def grad_w(self, gy: Any, x: Any, y: Any, w_shape: Shape4) -> Any:
        return Conv2d(*self.fields()).grad_w(Relu().grad_x(gy, y), x, w_shape)

    def grad_b(self, gy: Any, y: Any) -> Any:
        return Conv2d(*self.fields()).grad_b(Relu().grad_x(gy, y))

    def decisions(self, y: Array) -> Array:
        return y > 0

    def definition(self, x: Any, w: Any, b: Any) -> Any:
        return Relu()(Conv2d(*self.fields())(x, w, b))

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        for conv, (x, w, b) in Conv2d.examples(rng):
            while np.abs(conv(x, w, b)).min() < 0.02:  # near the kink
                x = rng.standard_normal(x.shape)
            yield Conv2dRelu(*conv.fields()), (x, w, b)


def conv2d_relu(x: Any, w: Any, b: Any = None, *, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Any:
    """relu(conv2d(x, w, b)), with conv2d's arguments, shapes (N, K, P, Q) and errors."""
    return Conv2dRelu(*check_convolution("conv2d_relu", x, w, b, stride, padding, dilation, groups))(x, w, b)
