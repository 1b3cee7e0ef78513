"""bfloat16, which NumPy has not: the upper half of a float32, sign, eight bits of exponent and seven of fraction.

Rounding to nearest, ties to even, by integers: with u the 32 bits and b bit 16, the last that is kept, u + 0x7FFF + b has in its
upper half the rounded number. If the lower half is above 0x8000 the sum carries; below, it does not; at 0x8000 it carries where b is 1,
to the even neighbour. A carry out of the fraction raises the exponent, as it should; beyond the largest number it gives infinity. A NaN
with few bits would become infinity, or a number, so every NaN becomes the plain one, 0x7FC0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["rounded", "upper"]


def rounded(array: Any) -> Any:
    """float32 → float32 of the same shape, each value the nearest of bfloat16."""
    bits = np.array(array, "<f4", order="C", ndmin=1).view("<u4")
    nan = np.isnan(array)
    bits += (bits >> 16) & 1
    bits += 0x7FFF
    bits &= 0xFFFF0000
    bits[nan.reshape(bits.shape)] = 0x7FC00000
    return bits.view("<f4").reshape(np.shape(array))


def upper(array: Any) -> Any:
    """The bfloat16 bits of rounded float32 values, uint16."""
    return (np.asarray(array, "<f4", order="C").reshape(-1).view("<u4") >> 16).astype("<u2").reshape(np.shape(array))
