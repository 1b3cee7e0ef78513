"""Pieces of a batch: as many images at a time as a bounded workspace holds.

Columns and transformed tiles take several times the images' memory, so they are made for some images, used, and overwritten. Pieces depend
on shapes alone, and what is summed over them is summed in their order.
"""

from __future__ import annotations

__all__ = ["WORKSPACE", "pieces"]

WORKSPACE = 1 << 30  # bytes: enough rows for full waves of a card's multiprocessors in every layer of a VGG, little beside 80 GB


def pieces(n: int, image: int) -> list[slice]:
    """n images, of `image` bytes of workspace each, in the fewest pieces that fit; nearly equal, and of one image or more."""
    fit = max(WORKSPACE // max(image, 1), 1)
    size = -(-n // max(-(-n // fit), 1))
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]
