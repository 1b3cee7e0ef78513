"""What max and average pooling share: the windows, checked, and sample geometries."""

from __future__ import annotations

from typing import Any

from ..autograd.mode import where
from ..errors import ConfigError, ShapeError
from .windows import Geometry, geometry, pair

__all__ = ["examples", "pool_geometry"]


def pool_geometry(x: Any, size: Any, stride: Any, padding: Any, ceil_mode: bool) -> Geometry:
    """The windows of a pooling layer over x (N, C, H, W), checked: ShapeError or ConfigError with the remedy."""
    if x.ndim != 4:
        raise ShapeError(f"{where('pooling')} needs images (N, C, H, W), but got {x.shape}.")
    g = geometry(pair(size, "size", 1), size if stride is None else stride, padding, 1, ceil_mode)
    if g.padding[0] * 2 > g.kernel[0] or g.padding[1] * 2 > g.kernel[1]:
        raise ConfigError(
            f"{where('pooling')}: padding {g.padding} may be at most half of the window {g.kernel}; some windows would see padding only."
        )
    g.output(*x.shape[2:])
    return g


def examples() -> list[tuple[Geometry, tuple[int, ...]]]:
    """Geometries with image shapes that fit, for the ops' examples: VGG's 2×2, overlapping with padding, ceil mode."""
    plain = Geometry((2, 2), (2, 2))
    return [
        (plain, (2, 3, 4, 4)),
        (Geometry((3, 2), (2, 1), (1, 1)), (2, 2, 4, 3)),
        (Geometry((2, 2), (2, 2), ceil_mode=True), (1, 2, 5, 3)),
    ]
