"""What tells a wrong kernel for cards from a right one: the same four comparisons for all, none of which knows the bug.

values   The op on the pretend card, with kernels, equals its own formula and rules on NumPy in float64, within the bound that its
         kernels state; where that is 0, in the kernel's own type, to the bit.
orders   The bits are the same whether threads and blocks run upwards, downwards or scattered.
memory   Nothing is written before or behind an array. (What is read there is NaN, which `values` sees.)
launch   The launch comes to its end: all threads reach each barrier, operands of tensor cores are rounded.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest

import minivgg as mv
from minivgg.backend.precision import precision
from minivgg.testing.pretend import Array

from ...cuda.pretend_cupy import install
from ...cuda.pretend_cupy.raw_module import LAUNCHES, RawKernel, order

__all__ = ["ORDERS", "WITNESSES", "Case", "question"]

WITNESSES = ("values", "orders", "memory", "launch")
ORDERS = (0, 1, 2)
MARGIN = 4096  # bytes around each array
Place = Callable[[Any], Any]


@dataclass(frozen=True)
class Case:
    """`run(place, rng)` → arrays: draws operands, has `place` bring them to where they belong, and computes with them.

    `bound` is relative to the largest element of each result. `settings` are (module, attribute, value) for the card's run: such as
    a small workspace, so that small arrays have several pieces.
    """

    run: Callable[[Place, np.random.Generator], list[Any]]
    bound: float
    dtype: str = "float32"
    precision: str = "fp32"
    algorithm: str = "auto"
    settings: tuple[tuple[Any, str, Any], ...] = ()

    def on_card(self, seed: int) -> list[Any]:
        """The results of the kernels."""
        device = mv.Device("cuda")
        with pytest.MonkeyPatch.context() as patch, mv.conv_algorithm(self.algorithm), precision(self.precision):
            for setting in self.settings:
                patch.setattr(*setting)
            found = self.run(lambda a: device.asarray(self._drawn(a)), np.random.default_rng(seed))
        return [a.get() if hasattr(a, "get") else np.asarray(a) for a in found]

    def _drawn(self, a: Any) -> Any:
        return a.astype(self.dtype) if a.dtype == np.float64 else a.copy()

    def exact(self, seed: int) -> list[Any]:
        """The results of the formulas on NumPy, of the same numbers."""

        def place(a: Any) -> Any:
            drawn = self._drawn(a)
            return drawn.astype(np.float64) if self.bound and drawn.dtype == self.dtype else drawn

        with mv.reference(), np.errstate(all="ignore"):
            return [np.asarray(a) for a in self.run(place, np.random.default_rng(seed))]


_exact = cache(Case.exact)


def question(case: Case, seed: int = 0) -> tuple[list[str], set[str]]:
    """(the witnesses that reject what is in place, the functions that were launched). Raises RuntimeError if a source can't be compiled."""
    found, seen, launched = set(), set(), len(LAUNCHES)
    exact = _exact(case, seed)
    try:
        with install(), _surrounded() as outside:
            for order[0] in ORDERS:
                try:
                    results = case.on_card(seed)
                except RuntimeError as error:
                    if str(error).startswith("g++"):
                        raise
                    found.add("launch")
                    continue
                seen.add(tuple(a.tobytes() for a in results))
                if not all(map(_near, results, exact, [case.bound] * len(exact))):
                    found.add("values")
    finally:
        order[0] = 0
    found |= {"orders"} if len(seen) > 1 else set()
    found |= {"memory"} if outside else set()
    return [name for name in WITNESSES if name in found], set(LAUNCHES[launched:])


def _near(found: Any, exact: Any, bound: float) -> bool:
    assert found.shape == exact.shape
    if not bound:
        return bool(found.dtype == exact.dtype and np.array_equal(found, exact, equal_nan=True))
    finite = np.isfinite(exact)
    if not np.array_equal(found[~finite], exact[~finite], equal_nan=True):
        return False
    error, largest = np.abs(found[finite] - exact[finite]), np.abs(exact[finite])
    return bool((error <= bound * largest.max(initial=0.0)).all())


@contextmanager
def _surrounded() -> Iterator[list[str]]:
    """In this block each array of a launch lies between margins; gives the names of functions that wrote into them."""
    outside: list[str] = []
    plain = RawKernel.__call__

    def launch(kernel: Any, grid: Any, block: Any, arguments: tuple[Any, ...], **options: Any) -> None:
        with contextlib.ExitStack() as stack:
            copies: dict[tuple[int, int], _Surrounded] = {}
            for a in arguments:
                if isinstance(a, Array) and a.size:
                    place = (a.data.ptr, a.nbytes)
                    copies[place] = copies.get(place) or _Surrounded(a._values)
            for copy in copies.values():
                stack.callback(lambda copy=copy: outside.extend([kernel._name] * copy.leave()))
            moved = [copies[a.data.ptr, a.nbytes].like(a) if isinstance(a, Array) and a.size else a for a in arguments]
            plain(kernel, grid, block, tuple(moved), **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RawKernel, "__call__", launch)
        yield outside


class _Surrounded:
    """A copy of an array's bytes, at an address with the same remainder, between margins of bytes of 0xff: NaN in every type of float. In
    the last order margins of floats are numbers, for a NaN may be written where one was read and leave no trace."""

    def __init__(self, values: Any) -> None:
        self.values, self.size = values, values.nbytes
        self.fill = 0x41 if order[0] == ORDERS[-1] and values.dtype.kind == "f" else 0xFF
        self.memory = np.full(self.size + 2 * MARGIN + 64, self.fill, np.uint8)
        self.start = MARGIN + (values.ctypes.data - self.memory.ctypes.data - MARGIN) % 64
        ctypes.memmove(self.memory.ctypes.data + self.start, values.ctypes.data, self.size)

    def like(self, array: Any) -> Any:
        """The copy, seen as the array."""
        inner = self.memory[self.start : self.start + self.size].view(array.dtype).reshape(array.shape)
        moved = object.__new__(Array)
        moved.__dict__.update(array.__dict__, _values=inner)
        return moved

    def leave(self) -> bool:
        """Copy back; whether the margins were written to."""
        ctypes.memmove(self.values.ctypes.data, self.memory.ctypes.data + self.start, self.size)
        return any((margin != self.fill).any() for margin in (self.memory[: self.start], self.memory[self.start + self.size :]))
