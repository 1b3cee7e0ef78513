"""Batch normalisation, with statistics of the batch (training) or given ones (evaluation)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..autograd.mode import where
from ..autograd.op import Op, op
from ..autograd.tensor import Tensor
from ..backend.arrays import Array, array_module, wide
from ..errors import ConfigError, ShapeError
from .channel_sum import channel_sum
from .exponential import sqrt

__all__ = ["BatchNorm", "ChannelAffine", "batch_norm", "check_arguments", "check_batch"]


def _per_channel(v: Any, ndim: int) -> Any:
    """v (C,) as (1, C, 1, …), to broadcast against x (N, C, …)."""
    return v.reshape((1, v.shape[0]) + (1,) * (ndim - 2))


def _other_axes(ndim: int) -> tuple[int, ...]:
    return (0, *range(2, ndim))


@op
class BatchNorm(Op):
    """Normalise each channel by its own mean and variance over the batch, then scale and shift.

    Shapes     x (N, C, …)  gamma, beta (C,)  →  y (N, C, …);  m = N·H·W elements per channel, at least two
               gamma and beta have x's dtype; if that is half precision they are float32, and so is all that is computed but y
    Formula    μ = Σx / m,  σ² = Σ(x − μ)² / m  (biased),  x̂ = (x − μ) / √(σ² + ε),  y = γ·x̂ + β
    Gradients  gβ = Σ gy.  gγ = Σ gy·x̂.  For x, write ĝ = γ·gy and s = √(σ² + ε). x̂_i depends on x_j in three ways:
               directly, δ_ij/s; through μ, −1/(m·s); and through σ², where ∂σ²/∂x_j = 2(x_j − μ)/m and
               ∂x̂_i/∂σ² = −x̂_i/(2s²), together −x̂_i·x̂_j/(m·s). Summing ĝ_i over i:
               gx_j = (ĝ_j − Σĝ/m − x̂_j·Σ(ĝ·x̂)/m) / s
               So gx is orthogonal to 1 and, but for ε, to x̂: the two directions that y does not depend on.
    State      `mean` and `variance` (C,) of this call. While a graph of the gradient is recorded they are computed
               anew from x, since they depend on it.
    Cost       About five passes over x forwards and six backwards: memory traffic, hardly any arithmetic.
    See        Ioffe & Szegedy 2015, arXiv:1502.03167, §3, Algorithm 1.
    """

    eps: float
    linear = ("gamma beta",)

    def forward(self, x: Array, gamma: Array, beta: Array) -> Array:
        m = x.size // x.shape[1]
        self.mean = channel_sum(x) * (1.0 / m)
        centred = x - _per_channel(self.mean, x.ndim)
        self.variance = channel_sum(centred * centred) * (1.0 / m)
        return self._scaled(centred, gamma, beta).astype(x.dtype, copy=False)

    def again(self, x: Array, gamma: Array, beta: Array) -> Array:
        """y once more, by the statistics of this call: the bits that `forward` gave."""
        return self._scaled(x - _per_channel(self.mean, x.ndim), gamma, beta).astype(x.dtype, copy=False)

    def _scaled(self, centred: Array, gamma: Array, beta: Array) -> Array:
        centred *= _per_channel(gamma / array_module(centred).sqrt(self.variance + self.eps), centred.ndim)
        centred += _per_channel(beta, centred.ndim)
        return centred

    def normalised(self, x: Any) -> tuple[Any, Any]:
        """(x̂, 1/s): from the statistics of this call, or as a function of x while a graph is recorded."""
        mean: Any = self.mean
        variance: Any = self.variance
        if isinstance(x, Tensor):
            m = x.size // x.shape[1]
            mean = channel_sum(x) * (1.0 / m)
            centred = x - _per_channel(mean, x.ndim)
            variance = channel_sum(centred * centred) * (1.0 / m)
        inverse = _per_channel(1.0 / sqrt(variance + self.eps), x.ndim)
        return (x - _per_channel(mean, x.ndim)) * inverse, inverse

    def grad_x(self, gy: Any, x: Any, gamma: Any) -> Any:
        m = x.size // x.shape[1]
        normal, inverse = self.normalised(x)
        g = gy * _per_channel(gamma, x.ndim)
        along_one = _per_channel(channel_sum(g) * (1.0 / m), x.ndim)
        along_normal = _per_channel(channel_sum(g * normal) * (1.0 / m), x.ndim)
        return (g - along_one - normal * along_normal) * inverse

    def grad_gamma(self, gy: Any, x: Any) -> Any:
        return channel_sum(gy * self.normalised(x)[0])

    def grad_beta(self, gy: Any) -> Any:
        return channel_sum(gy)

    def definition(self, x: Any, gamma: Any, beta: Any) -> Any:
        axes = _other_axes(x.ndim)
        centred = x - x.mean(axes, keepdims=True)
        deviation = sqrt((centred * centred).mean(axes, keepdims=True) + self.eps)
        return _per_channel(gamma, x.ndim) * centred / deviation + _per_channel(beta, x.ndim)

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        for shape in [(3, 2, 2, 3), (2, 1, 1, 1), (4, 3)]:
            c = shape[1]
            yield (
                BatchNorm(1e-5 if len(shape) == 4 and c > 1 else 0.1),
                (rng.standard_normal(shape) * 2, rng.uniform(0.5, 2, c), rng.standard_normal(c)),
            )


@op
class ChannelAffine(Op):
    """A scale and a shift for each channel: y = a·x + b. Batch norm in evaluation is this map.

    Shapes     x (N, C, …)  a, b (C,)  →  y (N, C, …), rounded to x's dtype if a and b are float32 and x is in half precision
    Gradients  gx = a·gy,  ga = Σ gy·x,  gb = Σ gy: no statistics, so no terms for them.
    """

    linear = ("x", "a b")

    def forward(self, x: Array, a: Array, b: Array) -> Array:
        y = x * _per_channel(a, x.ndim)
        y += _per_channel(b, x.ndim)
        return y.astype(x.dtype, copy=False)

    def grad_x(self, gy: Any, a: Any) -> Any:
        return gy * _per_channel(a, gy.ndim)

    def grad_a(self, gy: Any, x: Any) -> Any:
        return channel_sum(gy * x)

    def grad_b(self, gy: Any) -> Any:
        return channel_sum(gy)

    def definition(self, x: Any, a: Any, b: Any) -> Any:
        return x * _per_channel(a, x.ndim) + _per_channel(b, x.ndim)

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        for shape in [(3, 2, 2, 3), (1, 3, 1, 1), (4, 3)]:
            yield ChannelAffine(), (rng.standard_normal(shape), rng.standard_normal(shape[1]), rng.standard_normal(shape[1]))


def batch_norm(x: Any, gamma: Any, beta: Any, *, mean: Any = None, var: Any = None, eps: float = 1e-5) -> Any:
    """Normalise each channel of x (N, C, …), then scale by gamma (C,) and shift by beta (C,).

    By the batch's statistics, or by the given `mean` and `var` (C,), as in evaluation. All have x's dtype; for x in half precision
    the others are float32, in which all is computed. Raises ShapeError if sizes
    do not fit, or if there is one value per channel, whose variance says nothing.
    """
    if (mean is None) != (var is None):
        raise ShapeError("batch_norm needs both mean and var (evaluation) or neither (statistics of the batch).")
    check_arguments("batch_norm", x, gamma, eps, mean is None, beta=beta, mean=mean, var=var)
    if mean is None:
        return BatchNorm(eps)(x, gamma, beta)
    scale = gamma / sqrt(var + eps)
    return ChannelAffine()(x, scale, beta - mean * scale)


def check_arguments(name: str, x: Any, gamma: Any, eps: float, training: bool, **others: Any) -> None:
    """Raise ShapeError or ConfigError unless the arguments of the function `name` fit; `others` are (C,) as gamma, or None."""
    check_batch(x, gamma, training, name)
    if not eps >= 0:
        raise ConfigError(f"{name} needs eps ≥ 0, but it is {eps}.")
    for other, v in others.items():
        if v is not None and (v.shape != gamma.shape or v.dtype != gamma.dtype):
            raise ShapeError(f"{name}: {other} is {v.dtype} {v.shape}, but must be as gamma, {gamma.dtype} {gamma.shape}.")


def check_batch(x: Any, gamma: Any, training: bool, name: str = "batch_norm") -> None:
    """Raise ShapeError unless x (N, C, …) fits gamma (C,) and, in training, has two values or more per channel."""
    name = where(name)
    if x.ndim < 2 or gamma.shape != (x.shape[1],):
        raise ShapeError(
            f"{name} has {gamma.shape[0] if gamma.ndim else 1} channels, so it needs a batch (N, {gamma.size}, …), but got {x.shape}."
        )
    if gamma.dtype not in (x.dtype, wide(x.dtype)):
        raise ShapeError(f"{name}: the batch is {x.dtype} and the parameters are {gamma.dtype}. Convert it: x.to(dtype='{gamma.dtype}').")
    m = math.prod(x.shape) // max(x.shape[1], 1)
    if training and m < 2:
        raise ShapeError(
            f"{name}: the batch {x.shape} has {m} value per channel, so its variance is 0 or undefined. "
            "Train with a batch of two or more images (drop the last incomplete batch), or call model.eval()."
        )
