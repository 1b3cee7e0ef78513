"""All planted rules: importing this module fills the catalogue, family by family."""

from __future__ import annotations

from . import company, convolution, elementwise, fusions, losses, normalisation, pooling, products, reductions, shaping, state  # noqa: F401
from .planting import CATALOGUE

__all__ = ["CATALOGUE"]
