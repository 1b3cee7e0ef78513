"""How convolutions are computed if somebody asks for it: a setting for processor and card alike, which `choice` obeys on either."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import ConfigError, nearest
from .problem import Problem

__all__ = ["conv_algorithm", "refusal", "setting"]

_SETTINGS = ("auto", "im2col", "winograd", "implicit")

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
