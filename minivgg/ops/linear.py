"""The fully connected layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.mode import where
from ..autograd.op import Op, op
from ..backend.arrays import Array
from ..errors import ShapeError
from .channel_sum import channel_sum

__all__ = ["Linear", "linear"]


@op
class Linear(Op):
    """y = x wᵀ + b.

    Shapes     x (N, in)  w (out, in)  b (out,) or None  →  y (N, out)
    Gradients  gx[n,i] = Σ_o gy[n,o]·w[o,i] = gy w;  gw[o,i] = Σ_n gy[n,o]·x[n,i] = gyᵀ x;  gb = Σ_n gy[n]
    Cost       N·in·out multiply-adds, the same again for each gradient.
    """

    linear = ("x", "w b")

    def forward(self, x: Array, w: Array, b: Array | None) -> Array:
        y = (x @ w.T).astype(x.dtype, copy=False)  # NumPy's products of bfloat16 are float32
        if b is not None:
            y += b
        return y

    def grad_x(self, gy: Any, w: Any) -> Any:
        return gy @ w

    def grad_w(self, gy: Any, x: Any) -> Any:
        return gy.T @ x

    def grad_b(self, gy: Any) -> Any:
        return channel_sum(gy)

    def definition(self, x: Any, w: Any, b: Any) -> Any:
        y = (x.reshape((x.shape[0], 1, x.shape[1])) * w).sum(2)
        return y if b is None else y + b

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        normal = rng.standard_normal
        yield Linear(), (normal((2, 3)), normal((4, 3)), normal(4))
        yield Linear(), (normal((1, 2)), normal((1, 2)), None)


def linear(x: Any, w: Any, b: Any = None) -> Any:
    """x wᵀ + b, for x (…, in), w (out, in), b (out,) or None. Returns (…, out).

    Raises ShapeError with the remedy when x's width is not the layer's.
    """
    name = where("linear")
    if w.ndim != 2 or x.ndim == 0 or x.shape[-1] != w.shape[1]:
        wanted = w.shape[1] if w.ndim == 2 else "in"
        hint = ""
        if x.ndim == 4 and w.ndim == 2:
            hint = f" Flatten it first: {' · '.join(map(str, x.shape[1:]))} = {x.shape[1] * x.shape[2] * x.shape[3]} features."
        elif x.ndim == 2 and w.ndim == 2:
            hint = " The images' size or the number of channels before differs from what the layer was built for."
        raise ShapeError(
            f"{name} has {wanted} input features (w is {w.shape}), but the batch {x.shape} has {x.shape[-1] if x.ndim else 0}.{hint}"
        )
    if x.dtype != w.dtype:
        raise ShapeError(f"{name}: the batch is {x.dtype} and w is {w.dtype}. Convert one: x.to(dtype='{w.dtype}').")
    if b is not None and b.shape != (w.shape[0],):
        raise ShapeError(f"{name} has {w.shape[0]} outputs, so its bias must have shape ({w.shape[0]},), not {b.shape}.")
    if x.ndim == 2:
        return Linear()(x, w, b)
    rows = int(np.prod(x.shape[:-1]))
    return Linear()(x.reshape((rows, x.shape[-1])), w, b).reshape((*x.shape[:-1], w.shape[0]))
