"""Checks of constructor arguments: a value of the right kind comes back, anything else is a ConfigError that names it."""

from __future__ import annotations

import math
import numbers
from typing import Any

from ..errors import ConfigError

__all__ = ["integer", "number"]


def integer(name: str, value: Any, minimum: int) -> int:
    """`value` as an int of at least `minimum`; ConfigError otherwise."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < minimum:
        raise ConfigError(f"{name} must be an integer of at least {minimum}, but is {value!r}.")
    return int(value)


def number(name: str, value: Any) -> float:
    """`value` as a finite float; ConfigError otherwise."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise ConfigError(f"{name} must be a finite number, but is {value!r}.")
    return float(value)
