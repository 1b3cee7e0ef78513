"""What is asked of kernels for cards: calls of ops and steps of training, small, of odd sizes, each several launches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minivgg import ops, optim
from minivgg.autograd.core import Tensor, grad
from minivgg.backend.random import stream
from minivgg.fast import overlay
from minivgg.fast.cuda import implicit, kernels, pieces  # noqa: F401  importing the list fills the table

from .witnesses import Case, Place

__all__ = [name for name in globals() if name.isupper()]

Run = Callable[[Place, np.random.Generator], list[Any]]
Draw = Callable[[np.random.Generator], tuple[Any, ...]]


def bound_of(op: Any) -> float:
    """The largest error that the op's kernels for cards state."""
    return max(k.bound for (cls, _, library), entries in overlay.table.items() if cls is type(op) and library == "cupy" for k in entries)


def derivatives(op: Any, draw: Draw) -> Run:
    """y and the gradients of all operands of floats, for a random cotangent."""

    def run(place: Place, rng: np.random.Generator) -> list[Any]:
        operands = [a if a is None else Tensor(place(a), requires_grad=a.dtype == np.float64) for a in draw(rng)]
        inputs = [a.data if a is not None and not a.requires_grad else a for a in operands]
        y = op(*inputs)
        return [y.data, *grad(y, [a for a in inputs if isinstance(a, Tensor)], place(rng.standard_normal(y.shape)))]

    return run


def case(op: Any, draw: Draw, **options: Any) -> Case:
    """Value and gradients of an op."""
    return Case(derivatives(op, draw), options.pop("bound", bound_of(op)), **options)


def several(*cases: Case) -> Case:
    """All of them, one after the other."""

    def run(place: Place, rng: np.random.Generator) -> list[Any]:
        return [a for one in cases for a in one.run(place, rng)]

    first = cases[0]
    return Case(run, first.bound, first.dtype, first.precision, first.algorithm, first.settings)


def images(rng: np.random.Generator, *shape: int) -> Any:
    """Unit variance."""
    return rng.standard_normal(shape)


def convolution(n: int, c: int, k: int, size: tuple[int, int], **options: Any) -> Case:
    """Conv2dRelu with a bias: y and all three gradients."""
    fields = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "kernel": (3, 3)}
    stride, padding, dilation, kernel = ({**fields, **options.pop("geometry", {})}[name] for name in fields)
    op = ops.Conv2dRelu(stride, padding, dilation, 1)
    return case(op, lambda rng: (images(rng, n, c, *size), images(rng, k, c, *kernel) / (3 * c**0.5), images(rng, k)), **options)


def with_nan(c: int, k: int, size: tuple[int, int], **options: Any) -> Case:
    """The value alone, one pixel NaN."""
    op = ops.Conv2dRelu((1, 1), (1, 1), (1, 1), 1)

    def run(place: Place, rng: np.random.Generator) -> list[Any]:
        x = images(rng, 1, c, *size)
        x[0, :, 1, 2] = np.nan
        return [op(place(x), place(images(rng, k, c, 3, 3)), place(images(rng, k)))]

    return Case(run, bound_of(op), **options)
