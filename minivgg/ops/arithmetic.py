"""Elementwise arithmetic. Operands broadcast against each other; the sweep sums gradients back to their shapes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.op import Op, op
from ..backend.arrays import Array, array_module
from .exponential import log

__all__ = ["Add", "Divide", "Multiply", "Negate", "Power", "Subtract", "Where", "where"]


def _pairs(rng: np.random.Generator) -> list[tuple[Array, Array]]:
    """Two operands each: of one shape, broadcast both ways, and 0-d; the second is bounded away from zero."""
    shapes: list[tuple[tuple[int, ...], tuple[int, ...]]] = [((2, 3), (2, 3)), ((3, 1), (2, 1, 4)), ((), (2,))]
    return [(rng.standard_normal(a), rng.uniform(0.5, 2.0, b)) for a, b in shapes]


@op
class Add(Op):
    """y = x + w.   Gradients  ∂y/∂x = ∂y/∂w = 1: gy flows to both."""

    linear = ("x w",)

    def forward(self, x: Array, w: Array) -> Array:
        return array_module(x, w).add(x, w)

    def grad_x(self, gy: Any) -> Any:
        return gy

    def grad_w(self, gy: Any) -> Any:
        return gy

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        for pair in _pairs(rng):
            yield Add(), pair


@op
class Subtract(Op):
    """y = x − w.   Gradients  gx = gy, gw = −gy."""

    linear = ("x w",)

    def forward(self, x: Array, w: Array) -> Array:
        return array_module(x, w).subtract(x, w)

    def grad_x(self, gy: Any) -> Any:
        return gy

    def grad_w(self, gy: Any) -> Any:
        return -gy

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        for pair in _pairs(rng):
            yield Subtract(), pair


@op
class Negate(Op):
    """y = −x.   Gradients  gx = −gy."""

    linear = ("x",)

    def forward(self, x: Array) -> Array:
        return -x

    def grad_x(self, gy: Any) -> Any:
        return -gy

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        for x, _ in _pairs(rng):
            yield Negate(), (x,)


@op
class Multiply(Op):
    """y = x · w, element by element.   Gradients  ∂y/∂x = w and ∂y/∂w = x: each keeps the other."""

    linear = ("x", "w")

    def forward(self, x: Array, w: Array) -> Array:
        return array_module(x, w).multiply(x, w)

    def grad_x(self, gy: Any, w: Any) -> Any:
        return gy * w

    def grad_w(self, gy: Any, x: Any) -> Any:
        return gy * x

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        for pair in _pairs(rng):
            yield Multiply(), pair


@op
class Divide(Op):
    """y = x / w.   Gradients  gx = gy / w;  ∂y/∂w = −x/w² = −y/w, so the numerator need not be kept."""

    linear = ("x",)

    def forward(self, x: Array, w: Array) -> Array:
        return array_module(x, w).true_divide(x, w)

    def grad_x(self, gy: Any, w: Any) -> Any:
        return gy / w

    def grad_w(self, gy: Any, w: Any, y: Any) -> Any:
        return -(gy * y / w)

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        for pair in _pairs(rng):
            yield Divide(), pair


@op
class Power(Op):
    """y = xᵖ, for x > 0, or for any x when p is a whole number.

    Gradients  gx = gy · p · xᵖ⁻¹;  y = exp(p·log x), so gp = gy · y · log x.
    """

    def forward(self, x: Array, p: Array) -> Array:
        return array_module(x, p).power(x, p)

    def grad_x(self, gy: Any, x: Any, p: Any) -> Any:
        if isinstance(p, (int, float)) and p == 0:
            return gy * 0.0  # also at x = 0, where x⁻¹ has no value
        return gy * p * x ** (p - 1)

    def grad_p(self, gy: Any, x: Any, y: Any) -> Any:
        return gy * y * log(x)

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        yield Power(), (rng.uniform(0.5, 2.0, (2, 3)), rng.standard_normal((2, 3)))
        yield Power(), (rng.uniform(0.5, 2.0, (2, 1)), rng.standard_normal((3,)))
        yield Power(), (rng.uniform(0.5, 2.0, (3,)), np.asarray(3.0))


@op
class Where(Op):
    """y = x where the mask is true, w elsewhere.   Gradients  gx = gy·mask, gw = gy·(1 − mask)."""

    linear = ("x w",)

    def forward(self, mask: Array, x: Array, w: Array) -> Array:
        return array_module(mask, x, w).where(mask, x, w)

    def grad_x(self, gy: Any, mask: Array) -> Any:
        return where(mask, gy, 0.0)

    def grad_w(self, gy: Any, mask: Array) -> Any:
        return where(mask, 0.0, gy)

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        for x, w in _pairs(rng):
            yield Where(), (rng.random(np.broadcast_shapes(x.shape, w.shape)) < 0.5, x, w)


def where(mask: Any, x: Any, w: Any) -> Any:
    """x where `mask` (a boolean array, or a tensor of one: a constant) is true, w elsewhere; all broadcast."""
    return Where()(mask, x, w)
