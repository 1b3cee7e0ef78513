"""How a batch is cut for the cache: whole images, or some rows of one."""

from __future__ import annotations

from ...backend.threads import split

__all__ = ["LANES", "Band", "bands"]

LANES = 8  # weight gradients are summed in so many accumulators, each over its own images, and then these

Band = tuple[slice, slice]  # images, rows


def bands(images: slice, rows: int, row_bytes: int, size: int, least: int = 1) -> list[Band]:
    """Parts of about `size` bytes of some images with so many `rows` each: whole images, at least `least` of them, or, where one is
    too large and `least` is 1, some of its rows.
    """
    row_bytes = max(row_bytes, 1)
    if row_bytes * rows > size and least == 1:
        return [(slice(i, i + 1), part) for i in range(images.start, images.stop) for part in split(rows, size // row_bytes)]
    parts = split(images.stop - images.start, max(size // max(row_bytes * rows, 1), least))
    return [(slice(images.start + s.start, images.start + s.stop), slice(0, rows)) for s in parts]
