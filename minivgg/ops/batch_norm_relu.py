"""Batch normalisation and the rectifier behind it as one op, which keeps one array of activations where the two keep two."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.op import Op, op
from ..autograd.tensor import Tensor
from ..backend.arrays import Array, array_module
from .batch_norm import BatchNorm, check_arguments
from .relu import Relu

__all__ = ["BatchNormRelu", "batch_norm_relu", "zero_in_a_gap"]


@op
class BatchNormRelu(Op):
    """Normalise each channel over the batch, scale, shift, and cut off below zero.

    Shapes     x (N, C, …)  gamma, beta (C,)  →  y (N, C, …);  m = N·H·W elements per channel, at least two
    Formula    y = max(γ·x̂ + β, 0),  x̂ as in BatchNorm
    Gradients  The chain rule: g = gy where γ·x̂ + β > 0, else 0, and then batch norm's rules for g. The rectifier's mask is
               computed anew from x, so y is not kept: behind it pooling keeps its winners only. By this call's statistics
               and in the order of `forward`, so the bits of γ·x̂ + β, and with them the mask, are those of the forward pass.
               A kernel that rounds in another order must take its own mask.
    Kinks      ReLU'(0) = 0, as in Relu. The mask is constant around x, also while a graph of the gradient is recorded.
    State      `mean` and `variance` (C,) of this call, as in BatchNorm.
    See        BatchNorm, Relu.
    """

    eps: float
    joins = (BatchNorm, Relu)

    def forward(self, x: Array, gamma: Array, beta: Array) -> Array:
        y, call = BatchNorm(self.eps).run(x, gamma, beta)
        self.mean, self.variance = call.mean, call.variance
        return array_module(y).maximum(y, 0, out=y)

    def grad_x(self, gy: Any, x: Any, gamma: Any, beta: Any) -> Any:
        norm, g = self._through_relu(gy, x, gamma, beta)
        return norm.grad_x(g, x, gamma)

    def grad_gamma(self, gy: Any, x: Any, gamma: Any, beta: Any) -> Any:
        norm, g = self._through_relu(gy, x, gamma, beta)
        return norm.grad_gamma(g, x)

    def grad_beta(self, gy: Any, x: Any, gamma: Any, beta: Any) -> Any:
        norm, g = self._through_relu(gy, x, gamma, beta)
        return norm.grad_beta(g)

    def _through_relu(self, gy: Any, *operands: Any) -> tuple[BatchNorm, Any]:
        """Batch norm with the statistics of this call, and the gradient of its result."""
        norm = BatchNorm(self.eps)
        norm.mean, norm.variance = self.mean, self.variance
        normed = norm.again(*(v.data if isinstance(v, Tensor) else v for v in operands))
        return norm, Relu().grad_x(gy, normed)

    def decisions(self, y: Array) -> Array:
        return y > 0

    def definition(self, x: Any, gamma: Any, beta: Any) -> Any:
        return Relu()(BatchNorm(self.eps)(x, gamma, beta))

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        for norm, (x, gamma, _) in BatchNorm.examples(rng):
            yield BatchNormRelu(norm.eps), (x, gamma, zero_in_a_gap(norm(x, gamma, np.zeros_like(gamma))))


def zero_in_a_gap(values: Array) -> Array:
    """What to add to each channel of values (N, C, …), so that zero lies in the widest gap between them, or behind the last: (C,)."""
    rows = np.sort(np.moveaxis(values, 1, 0).reshape(values.shape[1], -1), axis=1)
    rows = np.concatenate([rows, rows[:, -1:] + 0.5], axis=1)
    below = np.diff(rows, axis=1).argmax(axis=1)
    return np.array([-(row[i] + row[i + 1]) / 2 for row, i in zip(rows, below, strict=True)])


def batch_norm_relu(x: Any, gamma: Any, beta: Any, *, eps: float = 1e-5) -> Any:
    """relu(batch_norm(x, gamma, beta)) for x (N, C, …), gamma and beta (C,), by the statistics of the batch.

    Returns x's shape and dtype. Raises ShapeError if sizes or dtypes do not fit, or if there is one value per channel,
    ConfigError if eps < 0.
    """
    check_arguments("batch_norm_relu", x, gamma, eps, True, beta=beta)
    return BatchNormRelu(eps)(x, gamma, beta)
