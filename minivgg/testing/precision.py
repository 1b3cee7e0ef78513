"""`check_precision`: backward in float32 against backward in float64 of the same graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..autograd.core import grad
from ..autograd.tensor import Tensor
from ..backend.random import stream
from ..errors import ConfigError, NumericalError
from .kinks import first_difference, watch_kinks
from .outcome import Comparison, Outcome
from .overlay_switch import checking, title, with_and_without_kernels
from .problem import Function, joined
from .refusals import prepare, subject_of
from .report import GradientReport, Section

__all__ = ["check_precision"]

_TRIES = 8  # points near by, if float32 falls on the other side of a kink


def check_precision(f: Callable[..., Any], *inputs: Any, bound: float = 1e-5, seed: int = 0) -> GradientReport:
    """Compare value and gradients in float32 with those in float64, at the same point and for the same cotangent.

    Finite differences say nothing in float32: their own rounding is larger. Compared is |g32 − g64|₂ ≤ bound·|g64|₂ for the
    value and the gradient of each input (a gradient of size 0 is measured against a hundredth of all gradients together).
    Where float32 falls on the other side of a kink the point is moved by about 0.1 % and the kink noted. The inputs are
    float64, as for `check_gradients`. Raises ConfigError if f computes in float64 although its inputs are float32.
    """
    function, values = prepare(f, inputs, None)
    sections = []
    with checking():
        for kernels, note in with_and_without_kernels(lambda: _run(function, values, np.float64, seed)):
            outcome = Outcome()
            rng, at = stream(seed, "precision", "points"), values
            for _ in range(_TRIES):
                with np.errstate(all="ignore"):
                    at = [x.astype(np.float32).astype(np.float64) for x in at]  # a point that both precisions have
                (low, pattern32), (high, pattern64) = (_run(function, at, dtype, seed) for dtype in (np.float32, np.float64))
                if not all((np.abs(a) < np.finfo(np.float32).max).all() for a in high):
                    raise NumericalError("value or gradient leaves the range of float32 (1e-38 to 3e38): check at a smaller point.")
                crossed = first_difference(pattern64, pattern32)
                if crossed is None:
                    _compare(outcome, ["value", *(f"gradient of {name}" for name in function.names)], low, high, bound)
                    break
                outcome.kinks.append(f"kink at {crossed}, met by rounding to float32: a point near by took its place")
                at = [x * (1.0 + 1e-3 * rng.standard_normal(x.shape)) for x in values]
            sections.append(Section(f"float32 against float64, {title(kernels)}", outcome, kernels, note))
    return GradientReport(subject_of(f), tuple(sections))


def _run(function: Function, values: Sequence[Any], dtype: Any, seed: int) -> tuple[list[Any], Any]:
    """([value, gradients …] in float64 arrays, pattern) (several results joined), computed in `dtype`."""
    with np.errstate(all="ignore"):
        xs = [Tensor(x.astype(dtype), requires_grad=True) for x in values]
    with watch_kinks() as watch:
        y = joined(function(xs))
    if y.dtype != dtype:
        raise ConfigError(
            f"the function's result is {y.dtype} though its inputs are {np.dtype(dtype)}: it holds constants or parameters of that dtype. "
            "Pass them as inputs, or convert them with x.dtype."
        )
    gy = stream(seed, "precision", "cotangent").standard_normal(y.shape).astype(np.float32).astype(dtype)
    with np.errstate(all="ignore"):
        return [np.asarray(a, np.float64) for a in (y.data, *grad(y, xs, gy))], watch.pattern([y])


def _compare(outcome: Outcome, names: Sequence[str], low: Sequence[Any], high: Sequence[Any], bound: float) -> None:
    together = float(np.sqrt(sum(float((g * g).sum()) for g in high[1:])))
    for i, (name, a, b) in enumerate(zip(names, low, high, strict=True)):
        size = max(float(np.linalg.norm(b)), 0.01 * together if i else 0.0)
        difference = float(np.linalg.norm(a - b))
        where = f"{name}, relative L2 error {difference / size if size else 0.0:.1e}"
        outcome.comparisons.append(Comparison(where, float(np.linalg.norm(b)), float(np.linalg.norm(b)) + difference, bound * size))
