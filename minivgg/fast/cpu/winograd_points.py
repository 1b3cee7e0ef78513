"""The matrices of Winograd's convolution, made from the points at which polynomials are evaluated.

A correlation y_k = Σ_j g_j·d_{k+j} of three taps with a = m + 2 inputs is the transpose of a product of two polynomials, of m and of 3
coefficients. The product is known if its values at a points are known, one of which is ∞: the leading coefficient. So

    y = Aᵀ [(G g) ⊙ (Bᵀ d)]      Aᵀ (m, a), G (a, 3): powers of the points;  Bᵀ (a, a): Lagrange's polynomials

Rounding. Numbers are added and subtracted that are larger than what remains of them, so errors grow. For independent inputs
and taps the squares of all terms of an output add up to κ times its variance in one dimension, κ² times in two, with

    κ = (1/3m) Σ_{k,i} A_ki² · |row i of Bᵀ|² · |row i of G|²

so that errors are about κ times direct convolution's. It is the same for the gradients, whose terms are the same products. κ is 1.7 for
F(2×2), and for F(4×4) it depends on the points: 10.8 for 0, ±1, ±2, the usual ones, and 4.8 for 0, ±5/8, ±3/2, which are
nearly the best there are, and whose powers and products are exact in binary. These are used: less than half the error.

See  Winograd 1980; Lavin & Gray 2015, arXiv:1509.09308; on points Barabasz et al. 2020, arXiv:1803.10986.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import prod
from typing import Any

import numpy as np

from ...backend.arrays import Array

__all__ = ["Matrices", "exact", "growth", "matrices"]

_POINTS = {2: ("0", "1", "-1"), 4: ("0", "5/8", "-5/8", "3/2", "-3/2")}  # and ∞

Rows = list[list[Fraction]]


@dataclass(frozen=True)
class Matrices:
    """Bᵀ (a, a), Aᵀ (m, a) and the filters' G ⊗ G (a², 9), its rows ordered as the places of tiles are: W's place first."""

    bt: Array
    at: Array
    gg: Array


def _polynomial(roots: list[Fraction], length: int) -> list[Fraction]:
    """The coefficients of Π (x − root), lowest power first."""
    c = [Fraction(1)]
    for root in roots:
        c = [low - root * high for low, high in zip([Fraction(0), *c], [*c, Fraction(0)], strict=True)]
    return c + [Fraction(0)] * (length - len(c))


def exact(m: int) -> tuple[Rows, Rows, Rows]:
    """Bᵀ, Aᵀ and G of F(m, 3), m = 2 or 4, as fractions.

    Row p of Bᵀ is Π_{q≠p} (x − q): Lagrange's polynomial but for its denominator Π_{q≠p} (p − q), which G takes at no cost.
    """
    points, zero, one = [Fraction(p) for p in _POINTS[m]], Fraction(0), Fraction(1)
    bt = [_polynomial([q for q in points if q != p], m + 2) for p in points] + [_polynomial(points, m + 2)]
    at = [[p**k for p in points] + [one if k == m - 1 else zero] for k in range(m)]
    g = [[p**j / prod(p - q for q in points if q != p) for j in range(3)] for p in points] + [[zero, zero, one]]
    return bt, at, g


def _floats(m: int) -> tuple[Array, ...]:
    return tuple(np.array([[float(v) for v in row] for row in matrix]) for matrix in exact(m))


@cache
def matrices(m: int, dtype: Any) -> Matrices:
    """Those of F(2×2, 3×3) or F(4×4, 3×3) in a dtype."""
    bt, at, g = _floats(m)
    gg = np.einsum("ir,js->jirs", g, g).reshape(-1, 9)
    return Matrices(*(np.ascontiguousarray(v, dtype) for v in (bt, at, gg)))


def growth(m: int) -> float:
    """κ: how many times direct convolution's error that of F(m×m, 3×3) is, about."""
    bt, at, g = _floats(m)
    return float((at**2 @ ((bt**2).sum(axis=1) * (g**2).sum(axis=1))).sum() / (3 * m))
