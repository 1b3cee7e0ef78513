"""`cupy._core._routines_linalg` of the pretend CuPy: the switch for TF32, with CuPy 14.2's names, numbers and way of reading CUPY_TF32."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

__all__ = ["Linalg"]


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
