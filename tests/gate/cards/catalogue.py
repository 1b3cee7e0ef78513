"""All bugs in kernels for cards: importing this module fills the catalogue."""

from __future__ import annotations

from . import columns, implicit, launches, losses, normalisation, rows, training  # noqa: F401
from .planting import CARD_KERNELS

__all__ = ["CARD_KERNELS"]
