"""Which algorithm convolves on the card: a table of rules, from the floors of memory and arithmetic, so that shapes and precision decide.

    winograd   strict float32, 3×3, stride 1, 16 channels or more on both sides: a quarter of the products, which are what takes
               long there (67 TFLOP/s; VGG-16 at 224 and batch 64: 32 ms where im2col has 88)
    implicit   on tensor cores, so in TF32 or half precision: columns that are never written, where columns would take longer than the
               products. Those are 2·R·S·C numbers written and read a window, for 2·R·S·C·K operations: at 4.3 TB/s columns take K₀/K
               times as long as the products, with K₀ = 420 in TF32 (450 TFLOP/s) and 370 in half precision (790). A kernel of our
               own at half of cuBLAS's rate is the faster one up to about K₀ filters; it is chosen up to 128, where a third of that
               rate is enough (VGG's conv1_1 to conv2_2), for images that fill its tiles. In any precision for images of up to 4
               channels, whose columns can't be moved in full lines and are read in the time that the products take
    im2col     everything else: all geometries, all types, float64, where someone checks gradients

No number here was measured: they are data sheets'. On a card `python -m benchmarks.gpu algorithms` measures every algorithm on every
layer of a VGG, and marks where another one than the chosen was faster. `conv_algorithm` and MINIVGG_CONV_ALGORITHM force one of the three.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ...backend import precision
from ...errors import ConfigError
from ..cpu.choice import refusal, setting
from ..problem import Problem
from . import columns, implicit, winograd

__all__ = ["ALGORITHMS", "choose", "explain"]

ALGORITHMS: dict[str, Any] = {"im2col": columns, "winograd": winograd, "implicit": implicit}

_NEEDS = {"winograd": " and padding up to 2, in float32 or float64", "implicit": " and images in float32 or half precision"}
_TYPES = {"winograd": ("float32", "float64"), "implicit": ("float32", "float16", "bfloat16")}
_WINOGRAD_CHANNELS = 16  # with fewer, transforms take longer than products
_NARROW = 128  # filters and channels
_FEW = 4  # channels


def choose(problem: Problem, dtype: Any) -> Any:
    """The room of the algorithm: `forward`, `image_gradient`, `weight_gradient`. Raises ConfigError if one is forced that can't serve."""
    return ALGORITHMS[explain(problem, dtype)[0]]


def explain(problem: Problem, dtype: Any) -> tuple[str, str]:
    """(the algorithm's name, why it is chosen), for this thread's precision. Raises ConfigError if one is forced that can't serve."""
    return _explain(problem, np.dtype(dtype).name, precision.current(), setting())


@lru_cache(maxsize=4096)
def _explain(problem: Problem, dtype: str, mode: str, forced: str) -> tuple[str, str]:
    if forced in _NEEDS and (why := _refusal(problem, dtype, forced)) is not None:
        raise ConfigError(
            f'conv_algorithm="{forced}" needs 3×3 kernels with stride 1, dilation 1{_NEEDS[forced]}, but {why}. '
            'Use "auto" for this network.'
        )
    if forced != "auto":
        return forced, "conv_algorithm asks for it"
    strict = mode != "tf32" and dtype == "float32"
    if strict and winograd.serves(problem, dtype) and min(problem.c, problem.k) >= _WINOGRAD_CHANNELS:
        return "winograd", "3×3, stride 1, strict float32: a quarter of the products"
    narrow = max(problem.c, problem.k) <= _NARROW and problem.geometry.size > 1
    if dtype != "float64" and ALGORITHMS["implicit"].serves(problem, dtype):
        if problem.c <= _FEW:
            return "implicit", f"columns of {problem.c} channels can't be moved in full lines"
        if narrow and not strict and ALGORITHMS["implicit"].fills(problem):
            return "implicit", f"columns would take longer than their products with {problem.k} filters"
    if dtype == "float64":
        return "im2col", "float64: no rounding beyond a sum's"
    return "im2col", "products take longer than columns, or nothing else serves"


def _refusal(problem: Problem, dtype: str, name: str) -> str | None:
    """Why Winograd's algorithm or the implicit product can't serve, or None if it can."""
    if (why := refusal(problem)) is not None or ALGORITHMS[name].serves(problem, dtype):
        return why
    if dtype not in _TYPES[name]:
        return f"the images are {dtype}"
    return f"its padding is {problem.geometry.padding}" if name == "winograd" else "one image or the filters have 2³¹ numbers or more"
