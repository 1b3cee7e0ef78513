"""Dropout, scaled in training so that evaluation needs nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.op import Op, op
from ..autograd.tensor import Tensor
from ..backend import layout
from ..backend.arrays import Array
from ..errors import ConfigError

__all__ = ["Dropout", "dropout"]


@op
class Dropout(Op):
    """Keep what the mask says, enlarged by 1/(1 − p), so that the expectation stays: y = x · mask / (1 − p).

    Shapes     x (…)  mask (…) of booleans, a constant  →  y (…)
    Gradients  Linear in x with a symmetric map: the same op on gy.
    See        Srivastava et al. 2014.
    """

    p: float
    linear = ("x",)

    def forward(self, x: Array, mask: Array) -> Array:
        y = x * mask
        y *= 1.0 / (1.0 - self.p)
        return y

    def grad_x(self, gy: Any, mask: Array) -> Any:
        return Dropout(self.p)(gy, mask)

    def definition(self, x: Any, mask: Array) -> Any:
        return x * mask * (1.0 / (1.0 - self.p))

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        for p, shape in [(0.5, (3, 4)), (0.1, (1, 2, 2, 3))]:
            yield Dropout(p), (rng.standard_normal(shape), rng.random(shape) >= p)


def dropout(x: Any, p: float = 0.5, *, rng: np.random.Generator) -> Any:
    """Set each element of x to zero with probability p and divide the others by 1 − p.

    The mask is drawn from `rng` (see `minivgg.backend.random.stream`) in logical order, the same on every device. p = 1 gives zeros.
    """
    if not 0.0 <= p <= 1.0:
        raise ConfigError(f"dropout: p must be a probability in [0, 1], but is {p}.")
    if p == 0.0:
        return x
    if p == 1.0:
        return x * 0.0
    data = x.data if isinstance(x, Tensor) else x
    return Dropout(float(p))(x, layout.mask_like(data, rng, p))
