"""All planted rules and kernels: importing this module fills both catalogues, family by family."""

from __future__ import annotations

from . import (  # noqa: F401
    company,
    convolution,
    elementwise,
    fusions,
    layer_kernels,
    losses,
    normalisation,
    pooling,
    products,
    reductions,
    shaping,
    state,
)
from .kernels import KERNELS
from .planting import CATALOGUE

__all__ = ["CATALOGUE", "KERNELS"]
