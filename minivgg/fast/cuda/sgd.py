"""The update of a group's parameters in one launch, or one for each 120 of them, where their arrays lie.

The parameters are not gathered into a buffer of their own: a table of addresses costs the same one launch and the same 20 bytes an
element, and leaves every array where the user knows it. It is read anew in each step, so that whatever happened to `p.data` in between
(loaded, moved, replaced, shared) is right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...backend.arrays import Array, array_module
from ...backend.substitutes import substitute
from .flat import alike, gapless, in_step
from .program import Program, stored_type
from .table import tables

__all__ = ["update"]

_PROGRAM = Program("sgd.cu", STORED=("float", "double"))

Entry = tuple[Array, Array, Array | None]  # w, g, v


@substitute("sgd", "cupy")
def update(entries: Sequence[Entry], group: Mapping[str, Any], torch: bool, guard: Any, scale: Any) -> list[Entry]:
    """One step of SGD in place, to the bits of the formula's NumPy code: the kernel rounds where that rounds. (But CuPy has its
    kernels compiled to take numbers under 1.2·10⁻³⁸ for zero.)

    Returns the entries that were left alone: mixed dtypes, w or v with gaps, v stored in another order than w, other cards, and
    what begins where an earlier w begins, since one launch updates all at once.
    A gradient that is stored in another order is copied into w's.
    """
    served: dict[str, list[Entry]] = {}
    left, seen = [], set()
    for w, g, v in entries:
        if _serves(w, g, v, entries[0][0]) and w.data.ptr not in seen:
            seen.add(w.data.ptr)
            served.setdefault(stored_type(w), []).append((w, g if in_step(w, g) else alike(w, g)[1], v))
        else:
            left.append((w, g, v))
    xp = array_module(entries[0][0])
    flags = None if guard is None else xp.asarray(guard, bool), None if scale is None else xp.asarray(scale, "float32")
    options = group["lr"], group["momentum"], group["weight_decay"], group["nesterov"], torch
    for stored, rows in served.items():
        for table, blocks in tables(rows):
            _PROGRAM.launch("sgd", blocks, 256, table, *flags, *options, xp=xp, STORED=stored)
    return left


def _serves(w: Array, g: Array, v: Array | None, first: Array) -> bool:
    if type(w) is not type(first) or w.device.id != first.device.id or w.dtype.name not in ("float32", "float64"):
        return False
    if w.dtype != g.dtype or w.shape != g.shape or not w.size or not gapless(w):
        return False
    return v is None or (v.dtype == w.dtype and in_step(w, v))
