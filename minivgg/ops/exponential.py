"""Elementwise functions of one operand: exp, log, sqrt, tanh, sigmoid. Rules that can use the result keep only it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.op import Op, op
from ..backend.arrays import Array, array_module

__all__ = ["Exp", "Log", "Sigmoid", "Sqrt", "Tanh", "exp", "log", "sigmoid", "sqrt", "tanh"]


def _samples(rng: np.random.Generator, low: float, high: float) -> list[Array]:
    return [rng.uniform(low, high, shape) for shape in [(2, 3), (2, 1, 4), ()]]


@op
class Exp(Op):
    """y = eˣ.   Gradients  ∂y/∂x = y."""

    def forward(self, x: Array) -> Array:
        return array_module(x).exp(x)

    def grad_x(self, gy: Any, y: Any) -> Any:
        return gy * y

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        for x in _samples(rng, -2.0, 2.0):
            yield Exp(), (x,)


@op
class Log(Op):
    """y = ln x, for x > 0.   Gradients  ∂y/∂x = 1/x."""

    def forward(self, x: Array) -> Array:
        return array_module(x).log(x)

    def grad_x(self, gy: Any, x: Any) -> Any:
        return gy / x

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        for x in _samples(rng, 0.5, 2.0):
            yield Log(), (x,)


@op
class Sqrt(Op):
    """y = √x, for x > 0.   Gradients  y² = x gives 2y·∂y/∂x = 1: gx = gy / 2y."""

    def forward(self, x: Array) -> Array:
        return array_module(x).sqrt(x)

    def grad_x(self, gy: Any, y: Any) -> Any:
        return gy * 0.5 / y

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        for x in _samples(rng, 0.5, 2.0):
            yield Sqrt(), (x,)


@op
class Tanh(Op):
    """y = tanh x.   Gradients  ∂y/∂x = 1 − y²."""

    def forward(self, x: Array) -> Array:
        return array_module(x).tanh(x)

    def grad_x(self, gy: Any, y: Any) -> Any:
        return gy * (1.0 - y * y)

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        for x in _samples(rng, -2.0, 2.0):
            yield Tanh(), (x,)


@op
class Sigmoid(Op):
    """y = 1 / (1 + e⁻ˣ) = (1 + tanh(x/2)) / 2, a form that cannot overflow.   Gradients  ∂y/∂x = y(1 − y)."""

    def forward(self, x: Array) -> Array:
        return 0.5 * array_module(x).tanh(0.5 * x) + 0.5

    def grad_x(self, gy: Any, y: Any) -> Any:
        return gy * y * (1.0 - y)

    def definition(self, x: Any) -> Any:
        return 1.0 / (1.0 + exp(-x))

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        for x in _samples(rng, -2.0, 2.0):
            yield Sigmoid(), (x,)


def exp(x: Any) -> Any:
    """eˣ, element by element."""
    return Exp()(x)


def log(x: Any) -> Any:
    """Natural logarithm; x > 0."""
    return Log()(x)


def sqrt(x: Any) -> Any:
    """Square root; x ≥ 0 (no gradient at 0)."""
    return Sqrt()(x)


def tanh(x: Any) -> Any:
    """Hyperbolic tangent."""
    return Tanh()(x)


def sigmoid(x: Any) -> Any:
    """Logistic function 1 / (1 + e⁻ˣ)."""
    return Sigmoid()(x)
