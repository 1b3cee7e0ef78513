"""Launches over many arrays at once: their addresses go along with the arguments, 120 rows a launch (see table.cuh)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ...backend.arrays import Array
from .program import grid

__all__ = ["tables"]

_MOST = 120  # rows, as in table.cuh
_TILE = 4096  # elements

Row = Sequence[Array | None]


def tables(rows: Sequence[Row]) -> Iterator[tuple[Any, int]]:
    """(table, blocks) for as few launches as it takes: the arrays' addresses and sizes, and how many blocks share out their tiles.

    The arrays of a row have one size; each is gapless, all of a row in one order, and must live until the launch.
    """
    columns = len(rows[0]) if rows else 0
    dtype = np.dtype([("address", "<u8", (columns, _MOST)), ("size", "<i8", (_MOST,)), ("rows", "<i8")])
    for start in range(0, len(rows), _MOST):
        part = rows[start : start + _MOST]
        table, sizes = np.zeros((), dtype), [row[0].size for row in part if row[0] is not None]
        table["address"][:, : len(part)] = [
            [0 if array is None else array.data.ptr for array in column] for column in zip(*part, strict=True)
        ]
        table["size"][: len(part)] = sizes
        table["rows"] = len(part)
        yield table, grid(sum(-(-size // _TILE) for size in sizes), block=1)
