"""What a text in the configuration may be: scales, rates, colours, counts of classes. Each rule gives True for a sound one."""

from __future__ import annotations

import math
import re

__all__ = ["head_factor", "is_classes", "is_head_rate", "is_names", "is_normalise", "is_scale", "is_scales", "normalise_numbers"]


def is_scale(v: str) -> bool:
    """ "", "256" or "256-512"."""
    match = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", v)
    return not v or (match is not None and 1 <= int(match[1]) <= int(match[2] or match[1]))


def is_scales(v: str) -> bool:
    """ "", or scales with commas between them."""
    return not v or all(scale and is_scale(scale) for scale in v.split(","))


def is_classes(v: str) -> bool:
    """ "auto", or a whole number of two or more."""
    return v == "auto" or (re.fullmatch(r"[0-9]{1,7}", v) is not None and int(v) >= 2)


def is_names(v: str) -> bool:
    """ "", or names with commas between them, each once at least."""
    return not v or all(name.strip() for name in v.split(","))


def is_head_rate(v: str) -> bool:
    """A factor such as "10x", or a rate such as "0.01"."""
    return _number(v.removesuffix("x")) > 0


def head_factor(v: str, lr: float) -> float:
    """The rate of the head over that of the other layers: "10x" is 10, "0.01" is 0.01 / lr."""
    return _number(v[:-1]) if v.endswith("x") else _number(v) / lr


def is_normalise(v: str) -> bool:
    """ "std", "mean", or as many means as deviations, all finite, the latter above 0."""
    if v in {"std", "mean"}:
        return True
    mean, std = normalise_numbers(v)
    return len(mean) == len(std) and all(map(math.isfinite, mean)) and all(value > 0 for value in std)


def normalise_numbers(v: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The means and deviations of "0.485,0.456,0.406/0.229,0.224,0.225", in units of 0..1; NaN for what is no number."""
    mean, _, std = v.partition("/")
    return tuple(map(_number, mean.split(","))), tuple(map(_number, std.split(",")))


def _number(text: str) -> float:
    """A finite number, or NaN, which is not above 0 either."""
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan
