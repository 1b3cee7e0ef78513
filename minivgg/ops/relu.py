"""The rectifier."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.op import Op, op
from ..backend.arrays import Array, array_module

__all__ = ["Relu", "relu"]


@op
class Relu(Op):
    """Rectified linear unit: y = max(x, 0).

    Gradients  ∂y/∂x = 1 where x > 0, else 0. As x > 0 exactly where y > 0, the result is kept, not the input:
               it is the next layer's input, which that layer keeps anyway.
    Kinks      ReLU'(0) = 0, as in torch. NaN goes through.
    See        Nair & Hinton 2010.
    """

    def forward(self, x: Array) -> Array:
        return array_module(x).maximum(x, 0)

    def grad_x(self, gy: Any, y: Any) -> Any:
        return gy * (y > 0)

    def decisions(self, y: Array) -> Array:
        return y > 0

    def definition(self, x: Any) -> Any:
        return x * (x > 0)

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        for shape in [(2, 3, 4, 5), (3, 1), ()]:
            yield Relu(), (np.asarray(rng.uniform(0.1, 1.0, shape) * rng.choice([-1.0, 1.0], shape)),)


def relu(x: Any) -> Any:
    """max(x, 0), element by element."""
    return Relu()(x)
