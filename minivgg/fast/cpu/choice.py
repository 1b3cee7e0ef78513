"""Which algorithm convolves: a fixed model of costs, so that the same shapes always give the same bits.

    im2col       columns of R·S·C numbers, one matrix product; every geometry
    taps         tap by tap, only pixels that are there; every geometry, good for images of a few pixels
    winograd4    F(4×4, 3×3): 2.25 products for an output in place of 9; kernels of 3×3, stride 1, dilation 1, float32
    winograd2    F(2×2, 3×3): 4 products for an output

An algorithm's cost is a sum of products (multiply-adds of matrix products, at the rate of BLAS on one core) and of numbers that
are moved or transformed besides. The prices were measured on one core (Zen 4); their ratios, which is all that a choice
needs, hold on others well enough. In float64 only the direct ones are considered: there someone checks gradients.

`conv_algorithm("winograd")` forces the choice within a block: "im2col", "winograd" (the cheaper of the two), or "auto". "implicit" is
there on cards only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np

from ...errors import ConfigError, nearest
from ..problem import Problem
from . import taps

__all__ = ["ALGORITHMS", "choose", "conv_algorithm", "costs", "refusal", "setting"]

ALGORITHMS = ("im2col", "taps", "winograd4", "winograd2")
_SETTINGS = ("auto", "im2col", "winograd", "implicit")

# Nanoseconds on one core.
_MULTIPLY_ADD = 0.021  # in a matrix product
_COLUMN = 0.25  # to copy a number into columns
_TAP = 0.4  # to copy a pixel's number to a tap's rows, and add what comes of it
_GATHER = {4: 25.0, 2: 12.0}  # a channel of an input tile, transformed
_SCATTER = {4: 19.0, 2: 9.0}  # a channel of a tile of products, transformed back
_FILTER = {4: 10.0, 2: 5.0}  # a pair of channels of a filter, transformed

_setting = [os.environ.get("MINIVGG_CONV_ALGORITHM") or "auto"]


@contextmanager
def conv_algorithm(name: str) -> Iterator[None]:
    """Let convolutions in this block, in all threads, use "im2col", "winograd", "implicit" or what is cheapest ("auto", the default).

    With "winograd" a convolution that is not 3×3 with stride 1 and dilation 1 raises ConfigError; float64 is served, too; on a card half
    precision and padding beyond 2 are not. "implicit", on cards only, serves the same shapes with any padding, but not float64; on the CPU
    it raises ConfigError. The block should hold forward and backward pass. MINIVGG_CONV_ALGORITHM sets it for a process. Raises
    ConfigError for another name.
    """
    before, _setting[0] = _setting[0], _checked(name)
    try:
        yield
    finally:
        _setting[0] = before


def _checked(name: str, what: str = "conv_algorithm") -> str:
    if name not in _SETTINGS:
        raise ConfigError(f'{what} must be "auto", "im2col", "winograd" or "implicit", but is {name!r}: {nearest(str(name), _SETTINGS)}')
    return name


def setting() -> str:
    """What is asked for: "auto", "im2col", "winograd" or "implicit". Raises ConfigError if the environment names another."""
    return _checked(_setting[0], "MINIVGG_CONV_ALGORITHM")


def refusal(problem: Problem) -> str | None:
    """Why an algorithm for 3×3 filters with stride 1 can't serve a convolution, or None if it can."""
    g = problem.geometry
    for what, value, wanted in (("kernel", g.kernel, 3), ("stride", g.stride, 1), ("dilation", g.dilation, 1)):
        if value != (wanted, wanted):
            return f"its {what} is {value[0]}×{value[1]}, not {wanted}×{wanted}"
    return None


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
