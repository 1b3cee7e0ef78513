"""Arrays as other programs keep them, turned into this package's: filters (K, C, R, S), matrices (out, in), fc6's inputs by channel.

Nearly all of it is a change of strides, which costs nothing; only fc6's matrix is copied where its inputs change their order.

The inputs of fc6 are the last map (C, s, s), flattened. Input number (c·s + i)·s + j here is (i·s + j)·C + c where a map is kept place by
place (i row, j column), so W_here[o, c, i, j] = W_there[o, i, j, c].

A batch norm divides by √(v + ε). This package's ε is 1e-5; of a network with another ε' the variance v + ε' − 1e-5 gives the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backend.arrays import Array

__all__ = ["Storage", "flipped"]

_EPS = 1e-5  # of nn.BatchNorm2d in models.MODELS

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Storage:
    """filters_last: filters are (R, S, C, K) and matrices (in, out); cells_first: the last map is flattened place by place."""

    filters_last: bool = False
    cells_first: bool = False
    eps: float = _EPS

    def shape(self, shape: Shape, layer: str, part: str) -> Shape:
        """The shape that an array of such a shape will have here; `part`: weight, bias, ….  One that is impossible stays."""
        if part != "weight" or len(shape) not in {2, 4}:
            return shape
        if self.filters_last:
            shape = (shape[3], shape[2], shape[0], shape[1]) if len(shape) == 4 else shape[::-1]
        return (shape[0], math.prod(shape[1:])) if layer.startswith("fc") else shape

    def turned(self, array: Array, layer: str, part: str, channels: int) -> tuple[Array, str]:
        """The array as it is kept here, and what was done, "" for nothing. `channels`: of the last map, which fc6 sees.

        The array's shape is one for which `shape` gave the expected one.
        """
        done = []
        if part == "running_var" and self.eps != _EPS:
            array = (array.astype(np.float64) + (self.eps - _EPS)).astype(array.dtype)
            done.append(f"ε {self.eps:g} → {_EPS:g}")
        if part != "weight" or array.ndim == 1:
            return array, ", ".join(done)
        filters = array.ndim == 4
        if self.filters_last:
            array = array.transpose((3, 2, 0, 1)) if filters else array.T
            done.append("HWIO → OIHW" if filters else "transposed")
        if layer.startswith("fc") and filters:
            array = array.reshape((array.shape[0], -1))
            done.append("as a matrix")
        elif layer == "fc6" and self.cells_first and array.shape[1] != channels:
            array = _by_channel(array, channels)
            done.append("HWC → CHW")
        return array, ", ".join(done)


def flipped(filters: Array) -> Array:
    """Filters (K, C, R, S) for the colours in the opposite order, under other strides."""
    return filters[:, ::-1]


def _by_channel(matrix: Any, channels: int) -> Array:
    """(out, s·s·C) → (out, C·s·s)."""
    outputs, inputs = matrix.shape
    side = math.isqrt(inputs // channels)
    return matrix.reshape((outputs, side, side, channels)).transpose((0, 3, 1, 2)).reshape((outputs, inputs))
