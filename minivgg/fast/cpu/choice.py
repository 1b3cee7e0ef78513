"""Which algorithm convolves: a fixed model of costs, so that the same shapes always give the same bits.

    im2col       columns of R·S·C numbers, one matrix product; every geometry
    taps         tap by tap, only pixels that are there; every geometry, good for images of a few pixels
    winograd4    F(4×4, 3×3): 2.25 products for an output in place of 9; kernels of 3×3, stride 1, dilation 1, float32
    winograd2    F(2×2, 3×3): 4 products for an output

An algorithm's cost is a sum of products (multiply-adds of matrix products, at the rate of BLAS on one core) and of numbers that
are moved or transformed besides. The prices were measured on one core (Zen 4); their ratios, which is all that a choice
needs, hold on others well enough. In float64 only the direct ones are considered: there someone checks gradients.

`fast/algorithm.py` may force the choice: "winograd" is then the cheaper of the two, "implicit" is there on cards only.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ...errors import ConfigError
from ..algorithm import refusal, setting
from ..problem import Problem
from . import taps

__all__ = ["ALGORITHMS", "choose", "costs"]

ALGORITHMS = ("im2col", "taps", "winograd4", "winograd2")

# Nanoseconds on one core.
_MULTIPLY_ADD = 0.021  # in a matrix product
_COLUMN = 0.25  # to copy a number into columns
_TAP = 0.4  # to copy a pixel's number to a tap's rows, and add what comes of it
_GATHER = {4: 25.0, 2: 12.0}  # a channel of an input tile, transformed
_SCATTER = {4: 19.0, 2: 9.0}  # a channel of a tile of products, transformed back
_FILTER = {4: 10.0, 2: 5.0}  # a pair of channels of a filter, transformed


def costs(problem: Problem) -> dict[str, float]:
    """Nanoseconds on one core for a forward pass, by the model, for each algorithm that can serve."""
    n, c, k, (p, q), pair = problem.n, problem.c, problem.k, problem.output, problem.c * problem.k
    seen = n * taps.pairs(problem)
    found = {
        "im2col": problem.multiply_adds * _MULTIPLY_ADD
        + (n * p * q * problem.geometry.size * c * _COLUMN if problem.geometry.size > 1 else 0),
        "taps": seen * (pair * _MULTIPLY_ADD + (c + k) * _TAP),
    }
    if refusal(problem) is None:
        for m in (4, 2):
            tiles = n * -(-p // m) * -(-q // m)
            found[f"winograd{m}"] = tiles * ((m + 2) ** 2 * pair * _MULTIPLY_ADD + c * _GATHER[m] + k * _SCATTER[m]) + pair * _FILTER[m]
    return found


def choose(problem: Problem, dtype: Any) -> str:
    """The algorithm's name. Raises ConfigError if one is forced that can't serve the shape, or is not there on a CPU."""
    forced = setting()
    if forced == "implicit":
        raise ConfigError(
            'conv_algorithm="implicit" is there on cards only, and these arrays are on the CPU. Use "auto", "im2col" or "winograd" here.'
        )
    if forced == "winograd" and (why := refusal(problem)) is not None:
        raise ConfigError(
            f'conv_algorithm="winograd" needs 3×3 kernels with stride 1 and dilation 1, but {why}. Use "auto" for this network.'
        )
    return _choose(problem, forced, np.dtype(dtype) == np.float32)


@lru_cache(maxsize=4096)
def _choose(problem: Problem, setting: str, single: bool) -> str:
    allowed = {"im2col": ("im2col",), "winograd": ("winograd4", "winograd2"), "auto": ALGORITHMS if single else ALGORITHMS[:2]}[setting]
    price = costs(problem)
    return min((name for name in allowed if name in price), key=price.__getitem__)
