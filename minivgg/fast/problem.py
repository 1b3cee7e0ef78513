"""The shapes of a convolution as kernels see it, on a processor as on a card.

Images are (N, H, W, C), filters (R, S, C, K): tap by tap a matrix from channels to channels.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..ops.windows import Geometry

__all__ = ["Problem"]


@dataclass(frozen=True)
class Problem:
    """The shapes of one convolution, without groups: all that an algorithm may depend on."""

    n: int
    size: tuple[int, int]  # (H, W)
    c: int
    k: int
    geometry: Geometry

    @property
    def output(self) -> tuple[int, int]:
        """(P, Q)."""
        return self.geometry.output(*self.size)

    @property
    def multiply_adds(self) -> int:
        """Of the definition: N·P·Q·C·K·R·S."""
        p, q = self.output
        return self.n * p * q * self.c * self.k * self.geometry.size
