"""Views of one size together: what a network can take at once, from a stream of views of any size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from ..backend.arrays import Array
from .views import View

__all__ = ["ViewBatch", "batches"]

_HELD = 1 << 25  # pixels of views that wait for others of their size: 100 MB of colour images


class ViewBatch(NamedTuple):
    """`images` uint8 (B, H, W, C); `indices` int64 (B,), the image that each view is of; `shares` float64 (B,); all `whole` or none."""

    images: Array
    indices: Array
    shares: Array
    whole: bool


def batches(stream: Iterable[tuple[int, View]], pixels: int) -> Iterator[ViewBatch]:
    """(image's number, view) after the other → batches of equal size, each of at most `pixels` pixels, or of a single view.

    Every view is in one batch. A batch comes as soon as it is full; those that stay small come at the end, or when too many
    views wait.
    """
    waiting: dict[tuple[bool, tuple[int, ...]], list[tuple[int, View]]] = {}
    held = 0
    for index, view in stream:
        key = (view.whole, view.image.shape)
        area = view.image.shape[0] * view.image.shape[1]
        group = waiting.setdefault(key, [])
        group.append((index, view))
        held += area
        if len(group) >= max(1, pixels // area):
            held -= area * len(group)
            yield _batch(waiting.pop(key))
        elif held > _HELD:
            key = max(waiting, key=lambda k: len(waiting[k]) * k[1][0] * k[1][1])
            held -= len(waiting[key]) * key[1][0] * key[1][1]
            yield _batch(waiting.pop(key))
    for group in waiting.values():
        yield _batch(group)


def _batch(group: list[tuple[int, View]]) -> ViewBatch:
    indices, members = zip(*group, strict=True)
    shares = np.array([view.share for view in members], np.float64)
    return ViewBatch(np.stack([view.image for view in members]), np.array(indices, np.int64), shares, members[0].whole)
