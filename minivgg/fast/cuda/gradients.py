"""What is asked of all gradients together, in one pass over them."""

from __future__ import annotations

from collections.abc import Sequence

from ...backend.arrays import Array, array_module
from ...backend.substitutes import substitute
from .flat import gapless
from .program import FLOATS, Program, stored_type
from .table import tables

__all__ = ["all_finite", "norm"]

_PROGRAM = Program("gradients.cu", STORED=FLOATS)


@substitute("all finite", "cupy")
def all_finite(gradients: Sequence[Array]) -> Array:
    """Whether no number is NaN or infinite, a 0-d boolean array."""
    xp = array_module(gradients[0])
    finite = xp.ones((), bool)
    for stored, rows in _rows(gradients).items():
        for table, blocks in tables(rows):
            _PROGRAM.launch("all_finite", blocks, 256, table, finite, xp=xp, STORED=stored)
    return finite


@substitute("norm", "cupy")
def norm(gradients: Sequence[Array]) -> Array:
    """√(Σ g²), a 0-d array of the first one's dtype, summed in float64 in an order that the sizes alone decide."""
    xp = array_module(gradients[0])
    partial = []
    for stored, rows in _rows(gradients).items():
        for table, blocks in tables(rows):
            partial.append(xp.empty(min(blocks, 1024), "float64"))
            _PROGRAM.launch("squares", len(partial[-1]), 256, table, partial[-1], STORED=stored)
    total = xp.concatenate(partial).sum() if partial else xp.zeros((), "float64")
    return (total**0.5).astype(gradients[0].dtype)


def _rows(gradients: Sequence[Array]) -> dict[str, list[tuple[Array]]]:
    """The arrays by number type, without gaps."""
    rows: dict[str, list[tuple[Array]]] = {}
    for g in gradients:
        if g.size:
            rows.setdefault(stored_type(g), []).append((g if gapless(g) else array_module(g).ascontiguousarray(g),))
    return rows
