"""The principal axes of a covariance, by Jacobi's rotations: sums, products, quotients, roots, on which all machines agree to the bit.

A library's eigensolver may give other last bits on another machine, and a sign is anyone's guess; then two machines would
prepare one data set's images differently.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["principal_axes"]

_SWEEPS = 20  # over all pairs; convergence is quadratic, and 3×3 takes five or six

Vector = tuple[float, ...]


def principal_axes(covariance: Sequence[Sequence[float]]) -> tuple[Vector, tuple[Vector, ...]]:
    """(eigenvalues, eigenvectors of length 1, one a row) of a symmetric positive matrix (C, C), the largest first, none below 0.

    Each pair p, q is turned by the angle that makes a[p][q] zero, again and again, until all are (Golub & Van Loan, §8.5). The
    first component of a vector that has at least half the largest magnitude is positive.
    """
    a = [list(map(float, row)) for row in covariance]
    count = len(a)
    vectors = [[float(i == j) for j in range(count)] for i in range(count)]
    pairs = [(p, q) for p in range(count) for q in range(p + 1, count)]
    for p, q in pairs * _SWEEPS:
        if a[p][q] == 0:
            continue
        ratio = (a[q][q] - a[p][p]) / (2 * a[p][q])
        tangent = math.copysign(1.0, ratio) / (abs(ratio) + math.sqrt(ratio * ratio + 1))
        cosine = 1 / math.sqrt(tangent * tangent + 1)
        sine = tangent * cosine
        for row in a:  # columns p and q, then rows p and q
            row[p], row[q] = cosine * row[p] - sine * row[q], sine * row[p] + cosine * row[q]
        for matrix in (a, vectors):
            upper = [cosine * x - sine * y for x, y in zip(matrix[p], matrix[q], strict=True)]
            matrix[q] = [sine * x + cosine * y for x, y in zip(matrix[p], matrix[q], strict=True)]
            matrix[p] = upper
        a[p][q] = a[q][p] = 0.0
    order = sorted(range(count), key=lambda i: -a[i][i])
    return tuple(max(a[i][i], 0.0) for i in order), tuple(_upright(vectors[i]) for i in order)


def _upright(vector: list[float]) -> Vector:
    largest = max(map(abs, vector))
    first = next(x for x in vector if abs(x) >= largest / 2)
    return tuple(math.copysign(1.0, first) * x for x in vector)
