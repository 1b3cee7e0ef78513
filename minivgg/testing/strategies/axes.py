"""Arguments for the ops that reduce or normalise along axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from ... import ops
from ...autograd.core import Op
from ...ops.batch_norm_relu import zero_in_a_gap
from .elementwise import Drawn, Recipe
from .samples import apart, uniform
from .values import draw_shape, seeds

__all__ = ["TABLE", "draw_axes"]

Shape = tuple[int, ...]


def draw_axes(draw: st.DrawFn, ndim: int) -> tuple[int, ...] | None:
    """None for all axes, or different ones in any order, some counted from the end."""
    if draw(st.booleans()):
        return None
    order = draw(st.permutations(range(ndim)))[: draw(st.integers(0, ndim))]
    return tuple(axis - ndim if draw(st.booleans()) else axis for axis in order)


def _reduction(cls: Callable[[Any, bool], Op], of_nothing: bool = False) -> Recipe:
    """`of_nothing`: whether the op has a value where there is no element to reduce."""

    def recipe(draw: st.DrawFn, empty: bool) -> Drawn:
        shape = draw_shape(draw, empty=empty)
        axes = draw_axes(draw, len(shape))
        if not of_nothing:  # the axes that stay may be empty, those that are reduced may not
            reduced = range(len(shape)) if axes is None else [axis % len(shape) for axis in axes]
            shape = tuple(max(side, 1) if i in reduced else side for i, side in enumerate(shape))
        return cls(axes, draw(st.booleans())), (apart(draw(seeds()), "x", shape),)

    return recipe


def _along(cls: Callable[[int], Op]) -> Recipe:
    def recipe(draw: st.DrawFn, empty: bool) -> Drawn:
        shape = draw_shape(draw, 1, empty=empty)
        axis = draw(st.integers(-len(shape), len(shape) - 1))
        shape = tuple(max(side, 1) if i == axis % len(shape) else side for i, side in enumerate(shape))
        return cls(axis), (apart(draw(seeds()), "x", shape),)

    return recipe


def _cross_entropy(draw: st.DrawFn, empty: bool) -> Drawn:
    """Targets as one class a row, as a mixture, or weighted with rows of zeros (ignored) among them."""
    n, classes = draw(st.integers(0 if empty else 1, 4)), draw(st.integers(1, 5))
    kind, seed = draw(st.sampled_from(("one class", "mixture", "weighted"))), draw(seeds())
    q = uniform(seed, "q", (n, classes), 0.0, 1.0)
    if kind != "mixture":
        q = np.eye(classes)[np.argmax(q, axis=1)] * (q[:, :1] > 0.3 if kind == "weighted" else 1.0)
    return ops.CrossEntropy(), (apart(seed, "x", (n, classes)), q)


def _channels(draw: st.DrawFn, empty: bool) -> Shape:
    shape = draw_shape(draw, 2, 5, empty=empty)
    return shape if shape[1] else (shape[0], 1, *shape[2:])


def _channel_sum(draw: st.DrawFn, empty: bool) -> Drawn:
    return ops.ChannelSum(), (apart(draw(seeds()), "x", _channels(draw, empty)),)


def _channel_affine(draw: st.DrawFn, empty: bool) -> Drawn:
    shape, seed = _channels(draw, empty), draw(seeds())
    return ops.ChannelAffine(), (apart(seed, "x", shape), uniform(seed, "a", shape[1:2]), uniform(seed, "b", shape[1:2]))


def _batch_norm(draw: st.DrawFn, empty: bool) -> tuple[ops.BatchNorm, tuple[Any, ...]]:
    """Two elements or more per channel; few of them could lie close together, so they come with a large eps."""
    n, c, *rest = draw_shape(draw, 2, 4, max_size=24)
    shape = (max(n, 2), c, *rest) if np.prod([n, *rest]) < 2 else (n, c, *rest)
    many = np.prod(shape) // c >= 6
    eps, seed = draw(st.sampled_from((0.1, 1e-3, 1e-5) if many else (0.1, 0.5))), draw(seeds())
    x = apart(seed, "x", shape, -3.0, 3.0, 0.1)
    return ops.BatchNorm(eps), (x, apart(seed, "gamma", (c,), margin=0.2), uniform(seed, "beta", (c,)))


def _batch_norm_relu(draw: st.DrawFn, empty: bool) -> Drawn:
    norm, (x, gamma, _) = _batch_norm(draw, empty)
    return ops.BatchNormRelu(norm.eps), (x, gamma, np.round(zero_in_a_gap(norm(x, gamma, np.zeros_like(gamma))), 3))


TABLE: dict[type[Op], Recipe] = {
    ops.Sum: _reduction(ops.Sum, of_nothing=True),
    ops.Mean: _reduction(ops.Mean),
    ops.Max: _reduction(ops.Max),
    ops.LogSumExp: _reduction(ops.LogSumExp),
    ops.Softmax: _along(ops.Softmax),
    ops.LogSoftmax: _along(ops.LogSoftmax),
    ops.CrossEntropy: _cross_entropy,
    ops.ChannelSum: _channel_sum,
    ops.ChannelAffine: _channel_affine,
    ops.BatchNorm: _batch_norm,
    ops.BatchNormRelu: _batch_norm_relu,
}
