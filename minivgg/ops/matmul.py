"""Matrix products, single and batched."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.op import Op, op
from ..backend.arrays import Array, array_module
from ..errors import ShapeError

__all__ = ["Matmul", "matmul"]


def _swap(x: Any) -> Any:
    """x with its last two axes exchanged: each matrix transposed."""
    return x.transpose((*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


@op
class Matmul(Op):
    """Matrix product: y = x @ w.

    Shapes     x (…, M, K)  w (…, K, N)  →  y (…, M, N); leading axes broadcast
    Formula    y[m,n] = Σ_k x[m,k] · w[k,n]
    Gradients  ∂L/∂x[m,k] = Σ_n gy[m,n] · w[k,n]:  gx = gy @ wᵀ
               ∂L/∂w[k,n] = Σ_m x[m,k] · gy[m,n]:  gw = xᵀ @ gy
    Cost       M·K·N multiply-adds, the same again for each gradient.
    """

    linear = ("x", "w")

    def forward(self, x: Array, w: Array) -> Array:
        return array_module(x, w).matmul(x, w)

    def grad_x(self, gy: Any, w: Any) -> Any:
        return gy @ _swap(w)

    def grad_w(self, gy: Any, x: Any) -> Any:
        return _swap(x) @ gy

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        yield Matmul(), (rng.standard_normal((2, 3)), rng.standard_normal((3, 4)))
        yield Matmul(), (rng.standard_normal((2, 1, 2, 3)), rng.standard_normal((4, 3, 1)))


def matmul(x: Any, w: Any) -> Any:
    """x @ w by NumPy's rules: the last two axes are matrices, the others broadcast, a 1-D operand is a vector."""
    if x.ndim == 0 or w.ndim == 0 or x.shape[-1] != w.shape[0 if w.ndim == 1 else -2]:
        raise ShapeError(f"x @ w needs as many columns in x as rows in w, but the shapes are {x.shape} and {w.shape}.")
    rows = x.reshape((1, x.shape[0])) if x.ndim == 1 else x
    columns = w.reshape((w.shape[0], 1)) if w.ndim == 1 else w
    y = Matmul()(rows, columns)
    if w.ndim == 1:
        y = y.reshape(y.shape[:-1])
    if x.ndim == 1:
        y = y.reshape(y.shape[:-1] if w.ndim == 1 else (*y.shape[:-2], y.shape[-1]))
    return y
