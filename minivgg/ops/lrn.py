"""Local response normalisation, used by configuration A-LRN of the paper."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.broadcasting import cast
from ..autograd.mode import where
from ..autograd.op import Op, op
from ..backend.arrays import Array, array_module, wide
from ..errors import ConfigError, ShapeError
from .shaping import concatenate

__all__ = ["ChannelWindowSum", "LocalResponseNorm", "local_response_norm"]


@op
class ChannelWindowSum(Op):
    """Sum over neighbouring channels: y[c] = Σ x[j] for c − before ≤ j ≤ c + after, as far as there are channels.

    Shapes     x (N, C, H, W)  →  y (N, C, H, W)
    Gradients  Linear. x[j] occurs in y[c] for j − after ≤ c ≤ j + before: the same op with the two exchanged.
    """

    before: int
    after: int
    linear = ("x",)

    def forward(self, x: Array) -> Array:
        y, channels = x.copy(order="K"), x.shape[1]  # "K": stored as x is
        for d in range(1, min(self.before, channels - 1) + 1):
            y[:, d:] += x[:, :-d]
        for d in range(1, min(self.after, channels - 1) + 1):
            y[:, :-d] += x[:, d:]
        return y

    def grad_x(self, gy: Any) -> Any:
        return ChannelWindowSum(self.after, self.before)(gy)

    def definition(self, x: Any) -> Any:
        c = x.shape[1]
        return concatenate([x[:, max(i - self.before, 0) : i + self.after + 1].sum(1, keepdims=True) for i in range(c)], 1)

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        yield ChannelWindowSum(2, 2), (rng.standard_normal((2, 6, 1, 2)),)
        yield ChannelWindowSum(2, 1), (rng.standard_normal((1, 2, 2, 1)),)
        yield ChannelWindowSum(2, 0), (rng.standard_normal((1, 5, 1, 1)),)


@op
class LocalResponseNorm(Op):
    """Divide each value by a power of the energy in its neighbouring channels.

    Shapes     x (N, C, H, W)  →  y (N, C, H, W)
    Formula    S = k + α·W(x²),  y = x·S^−β;  W sums `size` neighbouring channels, ⌊size/2⌋ before, the rest after
    Gradients  ∂y_c/∂x_j = δ_cj·S_c^−β − x_c·β·S_c^(−β−1)·α·2x_j for c whose window holds j; summed against gy:
               gx = gy·S^−β − 2αβ·x·Wᵀ(gy·x·S^(−β−1))
    See        Krizhevsky, Sutskever & Hinton 2012, §3.3.
    """

    size: int
    alpha: float
    beta: float
    k: float

    def window(self) -> ChannelWindowSum:
        """W."""
        return ChannelWindowSum(self.size // 2, (self.size - 1) // 2)

    def forward(self, x: Array) -> Array:
        values = x.astype(wide(x.dtype), copy=False)  # x² may be too large for half precision
        energy = self.k + self.alpha * self.window()(values * values)
        return (values * array_module(x).power(energy, -self.beta)).astype(x.dtype, copy=False)

    def grad_x(self, gy: Any, x: Any) -> Any:
        window = self.window()
        x, gy = (cast(v, wide(v.dtype)) for v in (x, gy))
        energy = self.k + self.alpha * window(x * x)
        transposed = ChannelWindowSum(window.after, window.before)
        spread = transposed(gy * x * energy ** (-self.beta - 1.0))
        return gy * energy**-self.beta - (2.0 * self.alpha * self.beta) * x * spread

    def definition(self, x: Any) -> Any:
        c, w = x.shape[1], self.window()
        sums = [(x[:, max(i - w.before, 0) : i + w.after + 1] ** 2).sum(1, keepdims=True) for i in range(c)]
        return x / (self.k + self.alpha * concatenate(sums, 1)) ** self.beta

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        yield LocalResponseNorm(5, 0.1, 0.75, 2.0), (rng.standard_normal((2, 6, 1, 2)),)
        yield LocalResponseNorm(4, 0.5, 0.5, 1.0), (rng.standard_normal((1, 2, 2, 1)),)
        yield LocalResponseNorm(4, 0.5, 0.75, 1.0), (rng.standard_normal((1, 5, 1, 1)),)


def local_response_norm(
    x: Any, *, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0, alpha_over_n: bool = False
) -> Any:
    """x / (k + α Σ x²)^β over `size` neighbouring channels of x (N, C, H, W). The defaults are the paper's.

    The paper's α multiplies the plain sum. torch and Caffe divide it by `size`: pass alpha_over_n=True for their
    convention, in which the paper's value is 5e-4 (and Caffe's k is 1 unless set).
    """
    if x.ndim != 4:
        raise ShapeError(f"{where('local_response_norm')} needs images (N, C, H, W), but got {x.shape}.")
    if size < 1:
        raise ConfigError(f"local_response_norm: size must be at least 1 channel, but is {size}.")
    return LocalResponseNorm(size, alpha / size if alpha_over_n else alpha, beta, k)(x)
