"""The same numbers, however operands lie in memory (`check_layouts`) and wherever they live (`check_backend`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..autograd.core import grad
from ..autograd.tensor import Tensor
from ..backend.arrays import to_numpy
from ..backend.device import Device
from ..backend.random import stream
from ..errors import ConfigError, nearest
from . import pretend as pretend_gpu
from .memory import layouts
from .outcome import Comparison, Outcome
from .overlay_switch import checking, title, with_and_without_kernels
from .problem import Function, joined
from .refusals import prepare, subject_of
from .report import GradientReport, Section

__all__ = ["check_backend", "check_layouts"]

_BOUND = 1e-12


def check_layouts(f: Callable[..., Any], *inputs: Any, seed: int = 0) -> GradientReport:
    """Compare values and gradients when all operands are stored in C order with those in Fortran order, channels-last, with
    gaps, with negative strides, at an offset, and read-only; the same of the cotangent, but for
    read-only; and broadcast views (a stride of 0), of operands and cotangent, with their copies. To 1e-12.

    Integer and boolean arrays among the inputs change their layout, too. Raises what `check_gradients` raises for bad inputs.
    """
    function = prepare(f, inputs, None)[0]
    sections = []
    with checking():
        for kernels, note in with_and_without_kernels(lambda: _derivatives(function, function.inputs, seed, 1)):
            outcome = Outcome()
            expected = _derivatives(function, function.inputs, seed, 1)
            for name, stored in _stored(function.inputs):
                _compare(outcome, name, function.names, expected, _derivatives(function, stored, seed, 1))
            views = [np.broadcast_to(x[:1], x.shape) if i in function.free and x.ndim and len(x) > 1 else x
                     for i, x in enumerate(function.inputs)]  # fmt: skip
            copies = [x.copy() if isinstance(x, np.ndarray) else x for x in views]
            for name, gy in layouts(stream(seed, "derivatives").standard_normal(expected[0].shape)):
                if gy.flags.writeable:  # a rule that writes into gy is for the repeated sweeps to find
                    found = _derivatives(function, function.inputs, seed, 1, gy=gy)
                    _compare(outcome, f"cotangent, {name}", function.names, expected, found)
            copied, viewed = (_derivatives(function, xs, seed, 1) for xs in (copies, views))
            if all(np.isfinite(a).all() for a in copied):  # equal rows may lie outside the domain
                _compare(outcome, "broadcast", function.names, copied, viewed)
            ones = np.ones(expected[0].shape)
            view = np.lib.stride_tricks.as_strided(np.ones(1), ones.shape, (0,) * ones.ndim)
            copied, viewed = (_derivatives(function, function.inputs, seed, 1, gy=gy) for gy in (ones, view))
            _compare(outcome, "cotangent, broadcast", function.names, copied, viewed)
            sections.append(Section(f"layouts, {title(kernels)}", outcome, kernels, note))
    return GradientReport(subject_of(f), tuple(sections))


def check_backend(f: Callable[..., Any], *inputs: Any, backend: str = "pretend", seed: int = 0) -> GradientReport:
    """Compare values, first and second derivatives on NumPy with those on `backend`: "pretend", the strict pretend GPU, on
    which f may not make the host wait either, or "cupy".

    To 1e-12 on the pretend GPU, whose arithmetic is NumPy's, 1e-9 on CuPy. Constants that f holds must be made with
    `array_module(x)`. Raises DeviceError if f mixes arrays of two libraries, or if there is no usable GPU; ConfigError for
    another backend.
    """
    if backend not in ("pretend", "cupy"):
        raise ConfigError(f'backend "{backend}" is unknown: {nearest(backend, ["pretend", "cupy"])}')
    function = prepare(f, inputs, None)[0]
    move = pretend_gpu.pretend if backend == "pretend" else Device("cuda").asarray
    outcome = Outcome()
    with checking():
        expected = _derivatives(function, function.inputs, seed, 2)
        plain = [x.data if isinstance(x, Tensor) else x for x in function.inputs]
        moved = [move(x) if isinstance(x, np.ndarray) else x for x in plain]
        before = pretend_gpu.synchronisations
        found = _derivatives(function, moved, seed, 2, move)
        waits = pretend_gpu.synchronisations - before
        _compare(outcome, backend, function.names, expected, [to_numpy(a) for a in found], _BOUND if backend == "pretend" else 1e-9)
    outcome.comparisons.append(Comparison("times that the host waited", 0.0, float(waits), 0.0))
    return GradientReport(subject_of(f), (Section(f"NumPy against {backend}", outcome),))


def _stored(inputs: Sequence[Any]) -> Iterator[tuple[str, list[Any]]]:
    """All arrays among the inputs in one layout at a time."""
    variants = [dict(layouts(x)) if isinstance(x, np.ndarray) else {} for x in inputs]
    for name in dict.fromkeys(name for variant in variants for name in variant):
        yield name, [variant.get(name, x) for variant, x in zip(variants, inputs, strict=True)]


def _derivatives(
    function: Function, inputs: Sequence[Any], seed: int, order: int, move: Callable[[Any], Any] = lambda a: a, gy: Any = None
) -> list[Any]:
    """[value, gradients …, second derivatives along random vectors …] (several results joined), on the inputs' own device. The
    cotangent gy is random, unless given."""
    again = Function(function.f, inputs, function.free, function.all_names)
    xs = [Tensor(inputs[i], requires_grad=True) for i in function.free]
    y = joined(again(xs))
    rng = stream(seed, "derivatives")
    drawn = move(rng.standard_normal(y.shape))
    gy = drawn if gy is None else gy
    with np.errstate(all="ignore"):
        found = [y.data, *grad(y, xs, gy)]
    if order == 2:
        cotangent = Tensor(gy, requires_grad=True)
        total = Tensor(move(np.zeros(())))
        for g in grad(y, xs, cotangent, create_graph=True):
            total = total + (g * move(rng.standard_normal(g.shape))).sum()
        found += grad(total, [*xs, cotangent]) if total.node is not None else []
    return found


def _compare(
    outcome: Outcome, name: str, names: Sequence[str], expected: Sequence[Any], found: Sequence[Any], bound: float = _BOUND
) -> None:
    places = ["value", *(f"gradient of {x}" for x in names), *(f"second derivative by {x}" for x in (*names, "cotangent"))]
    for place, a, b in zip(places, expected, found, strict=False):
        outcome.equal(f"{name}: {place}", a, b, bound)
