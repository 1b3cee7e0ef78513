"""`matmul` of the pretend CuPy, products as cuBLAS rounds them; and `cupy._core._routines_linalg`: the switch for TF32, with CuPy 14.2's
names, numbers and way of reading CUPY_TF32.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from minivgg.testing import pretend

__all__ = ["Linalg", "matmul"]


class Linalg:
    """One switch for each dtype of the process. It is 0, undecided, until somebody asks or decides."""

    COMPUTE_TYPE_TBD, COMPUTE_TYPE_DEFAULT, COMPUTE_TYPE_TF32 = 0, 1, 7

    def __init__(self) -> None:
        self.chosen: dict[str, int] = {}

    def get_compute_type(self, dtype: Any) -> int:
        """What products of `dtype` are computed in. Products ask so, too: the first who asks reads the environment."""
        char = np.dtype(dtype).char
        if not self.chosen.get(char):
            tf32 = char == "f" and int(os.environ.get("CUPY_TF32", "0")) > 0
            self.set_compute_type(dtype, self.COMPUTE_TYPE_TF32 if tf32 else self.COMPUTE_TYPE_DEFAULT)
        return self.chosen[char]

    def set_compute_type(self, dtype: Any, compute_type: int) -> None:
        """Decide it."""
        assert compute_type in (self.COMPUTE_TYPE_TBD, self.COMPUTE_TYPE_DEFAULT, self.COMPUTE_TYPE_TF32)
        self.chosen[np.dtype(dtype).char] = compute_type


def matmul(a: pretend.Array, b: pretend.Array, out: pretend.Array | None = None) -> pretend.Array:
    """The product in the operands' common dtype; of half precision it is added up in float32 and rounded once, as cuBLAS does it.

    CuPy takes an `out` of another dtype or with gaps, too, but makes the product elsewhere and copies it: refused here.
    """
    if not isinstance(a, pretend.Array) or not isinstance(b, pretend.Array):
        raise TypeError(f"matmul needs two device arrays, but got {type(a).__name__} and {type(b).__name__}.")
    dtype = np.promote_types(a.dtype, b.dtype)
    wide = np.dtype(np.float32) if dtype.itemsize == 2 and dtype.kind not in "biu" else dtype
    product = np.matmul(a._values.astype(wide, copy=False), b._values.astype(wide, copy=False)).astype(dtype, copy=False)
    if out is None:
        return pretend.Array(np.asarray(product))
    if out.dtype != dtype or out.shape != product.shape or not out.flags.c_contiguous:
        raise ValueError(f"out must be contiguous, {dtype} and {product.shape}, but is {out.dtype} and {out.shape}.")
    out._values[...] = product
    return out
