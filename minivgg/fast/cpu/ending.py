"""What is done at a convolution's ends while a part of it is in the cache: the bias and the rectifier, forwards and backwards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...backend import memory
from ...backend.arrays import Array

__all__ = ["Ending", "Upstream"]


@dataclass(frozen=True)
class Ending:
    """What happens to a part of the result while it is in the cache: + bias, then the rectifier."""

    bias: Array | None = None
    relu: bool = False

    def add(self, part: Array) -> None:
        """Add the bias (K,) to a part (…, K) of the result, then rectify."""
        if self.bias is not None:
            part += self.bias
        self.rectify(part)

    def rectify(self, part: Array) -> None:
        """Set what is negative to zero, if the convolution ends with the rectifier."""
        if self.relu:
            np.maximum(part, 0, out=part)


@dataclass(frozen=True)
class Upstream:
    """The gradient that arrives, (N, P, Q, K); behind a rectifier it counts only where its result y is positive.

    It is masked part by part, when and where a part is needed: masked as a whole it would take as much memory again.
    """

    gy: Array
    y: Array | None = None

    def part(self, images: slice, rows: slice = slice(None)) -> Array:
        """The gradient of some images' rows: a view, or a masked copy."""
        gy = self.gy[images, rows]
        if self.y is None:
            return gy
        return np.multiply(gy, self.y[images, rows] > 0, out=memory.scratch(gy.shape, gy.dtype))
