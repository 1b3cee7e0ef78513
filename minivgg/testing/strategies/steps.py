"""One step of a random graph: an op that is smooth at the values at hand and keeps them moderate.

The values are known while a graph is drawn, so what is legal is read off them: a logarithm needs positive ones, a
maximum needs a clear winner, a product must not grow beyond bounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from hypothesis import strategies as st

from ... import ops
from ...autograd.core import Op
from .axes import draw_axes
from .moving import draw_key, shapes_of_size
from .values import seeds

__all__ = ["draw_step"]

Array = Any  # numpy.ndarray
Made = tuple[Op, tuple[int, ...]]
LARGEST, WIDEST, CLEAR = 10.0, 48, 0.01  # magnitude and number of elements of a value, distance from a kink

_SMOOTH: dict[str, tuple[Callable[[], Op], Callable[[Array], bool]]] = {
    "tanh": (ops.Tanh, lambda x: True),
    "sigmoid": (ops.Sigmoid, lambda x: True),
    "negate": (ops.Negate, lambda x: True),
    "relu": (ops.Relu, lambda x: bool(np.abs(x).min() > CLEAR)),
    "exp": (ops.Exp, lambda x: bool(x.max() < 2.0)),
    "log": (ops.Log, lambda x: bool(x.min() > 0.2)),
    "sqrt": (ops.Sqrt, lambda x: bool(x.min() > 0.2)),
}
_ARITHMETIC: dict[str, Callable[[], Op]] = {"add": ops.Add, "multiply": ops.Multiply, "subtract": ops.Subtract, "divide": ops.Divide}
_REDUCTIONS: dict[str, Callable[[Any, bool], Op]] = {"sum": ops.Sum, "mean": ops.Mean, "logsumexp": ops.LogSumExp, "max": ops.Max}


def draw_step(draw: st.DrawFn, values: list[Array]) -> Made:
    """(op, numbers of its operands among `values`): one that fits the values drawn."""
    i, j = (len(values) - 1 - draw(st.integers(0, len(values) - 1)) for _ in range(2))
    x, w = values[i], values[j]
    rooms = [[kind for kind, (_, fits) in _SMOOTH.items() if fits(x)], list(_pairs(x, w)), list(_along_axes(x))]
    kind = draw(st.sampled_from(draw(st.sampled_from([room for room in rooms if room]))))
    if kind in _SMOOTH:
        return _SMOOTH[kind][0](), (i,)
    if kind in _ARITHMETIC:
        return _ARITHMETIC[kind](), (i, j)
    if kind == "matmul":
        return ops.Matmul(), (i, j)
    if kind == "concatenate":
        return ops.Concatenate(draw(st.sampled_from(_joints(x, w)))), (i, j)
    if kind in _REDUCTIONS:
        return _reduction(draw, kind, x), (i,)
    return _moved(draw, kind, x), (i,)


def _pairs(x: Array, w: Array) -> Iterator[str]:
    """The ops that these two operands allow."""
    if _broadcast(x, w):
        results = {"add": x + w, "subtract": x - w, "multiply": x * w}
        yield from (name for name, y in results.items() if np.abs(y).max() < LARGEST and y.size <= WIDEST)
        if np.abs(w).min() > 0.3 and np.abs(x / w).max() < LARGEST and np.size(x / w) <= WIDEST:
            yield "divide"
    matrices = x.ndim > 1 and w.ndim > 1 and x.shape[-1] == w.shape[-2]
    if matrices and _broadcast(x[..., 0, 0], w[..., 0, 0]) and np.abs(x @ w).max() < LARGEST and (x @ w).size <= WIDEST:
        yield "matmul"
    if _joints(x, w) and x.size + w.size <= WIDEST:
        yield "concatenate"


def _broadcast(x: Array, w: Array) -> bool:
    return all(1 in (a, b) or a == b for a, b in zip(x.shape[::-1], w.shape[::-1], strict=False))


def _joints(x: Array, w: Array) -> list[int]:
    """The axes along which the two can be concatenated."""
    if x.ndim != w.ndim:
        return []
    return [axis for axis in range(x.ndim) if x.shape[:axis] + x.shape[axis + 1 :] == w.shape[:axis] + w.shape[axis + 1 :]]


def _along_axes(x: Array) -> Iterator[str]:
    """The ops on one operand that has axes."""
    yield "reshape"
    if x.ndim:
        yield from ("mean", "logsumexp", "softmax", "log_softmax", "index", "transpose")
        if np.abs(x).sum() < LARGEST:
            yield "sum"
        if np.diff(np.sort(x, axis=None)).min(initial=1.0) > CLEAR:
            yield "max"
        if math.prod(side + 1 for side in x.shape) <= WIDEST:
            yield "pad"


def _reduction(draw: st.DrawFn, kind: str, x: Array) -> Op:
    return _REDUCTIONS[kind](draw_axes(draw, x.ndim), draw(st.booleans()))


def _moved(draw: st.DrawFn, kind: str, x: Array) -> Op:
    """A soft-max or a move."""
    if kind == "softmax":
        return ops.Softmax(draw(st.integers(0, x.ndim - 1)))
    if kind == "log_softmax":
        return ops.LogSoftmax(draw(st.integers(0, x.ndim - 1)))
    if kind == "index":
        return ops.Index(draw_key(draw, x.shape, draw(seeds())))
    if kind == "transpose":
        return ops.Transpose(tuple(draw(st.permutations(range(x.ndim)))))
    if kind == "pad":
        return ops.Pad(tuple((first := draw(st.integers(0, 1)), 1 - first) for _ in x.shape), 0.5)
    return ops.Reshape(draw(st.sampled_from(shapes_of_size(x.size, 3))))
