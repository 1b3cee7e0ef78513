"""How good a trained network is, by the paper's protocols: views of an image, averaged scores, what they say about each class."""

from __future__ import annotations

__all__: list[str] = []
