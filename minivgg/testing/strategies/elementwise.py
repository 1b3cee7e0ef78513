"""Arguments for the elementwise ops and for those that broadcasting is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from ... import ops
from ...autograd.core import BroadcastTo, Cast, Op, SumTo
from .samples import apart, booleans, uniform
from .values import draw_broadcastable, draw_shape, seeds

__all__ = ["TABLE", "Drawn", "Recipe"]

Drawn = tuple[Op, tuple[Any, ...]]
Recipe = Callable[[st.DrawFn, bool], Drawn]


def _unary(cls: Callable[[], Op], low: float = -2.0, high: float = 2.0) -> Recipe:
    def recipe(draw: st.DrawFn, empty: bool) -> Drawn:
        return cls(), (apart(draw(seeds()), "x", draw_shape(draw, empty=empty), low, high),)

    return recipe


def _binary(cls: Callable[[], Op], margin: float = 0.02) -> Recipe:
    """`margin`: how far the second operand stays from 0."""

    def recipe(draw: st.DrawFn, empty: bool) -> Drawn:
        x, w = draw_broadcastable(draw, 2, empty=empty)
        seed = draw(seeds())
        return cls(), (apart(seed, "x", x), apart(seed, "w", w, margin=margin))

    return recipe


def _power(draw: st.DrawFn, empty: bool) -> Drawn:
    """Positive bases with any exponents, or bases of both signs with a whole number."""
    x, p = draw_broadcastable(draw, 2, empty=empty)
    seed = draw(seeds())
    if draw(st.booleans()):
        return ops.Power(), (apart(seed, "x", x, margin=0.3), draw(st.integers(-2, 3)))
    return ops.Power(), (uniform(seed, "x", x, 0.5, 2.0), apart(seed, "p", p))


def _where(draw: st.DrawFn, empty: bool) -> Drawn:
    mask, x, w = draw_broadcastable(draw, 3, empty=empty)
    seed = draw(seeds())
    return ops.Where(), (booleans(seed, "mask", mask), apart(seed, "x", x), apart(seed, "w", w))


def _dropout(draw: st.DrawFn, empty: bool) -> Drawn:
    p, shape, seed = draw(st.sampled_from((0.5, 0.0, 0.1, 0.25, 0.9))), draw_shape(draw, empty=empty), draw(seeds())
    return ops.Dropout(p), (apart(seed, "x", shape), uniform(seed, "mask", shape, 0.0, 1.0) >= p)


def _broadcast_to(draw: st.DrawFn, empty: bool) -> Drawn:
    full, small = _full_and_small(draw, empty)
    return BroadcastTo(full), (apart(draw(seeds()), "x", small),)


def _sum_to(draw: st.DrawFn, empty: bool) -> Drawn:
    full, small = _full_and_small(draw, empty)
    return SumTo(small), (apart(draw(seeds()), "x", full),)


def _full_and_small(draw: st.DrawFn, empty: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
    full = draw_shape(draw, empty=empty)
    ones, cut = draw(st.integers(0, 2 ** len(full) - 1)), draw(st.integers(0, len(full)))
    return full, tuple(1 if ones >> i & 1 else side for i, side in enumerate(full))[cut:]


TABLE: dict[type[Op], Recipe] = {
    SumTo: _sum_to,
    BroadcastTo: _broadcast_to,
    Cast: _unary(lambda: Cast("float64")),
    ops.Exp: _unary(ops.Exp),
    ops.Log: _unary(ops.Log, 0.25, 3.0),
    ops.Sqrt: _unary(ops.Sqrt, 0.25, 3.0),
    ops.Tanh: _unary(ops.Tanh),
    ops.Sigmoid: _unary(ops.Sigmoid, -4.0, 4.0),
    ops.Relu: _unary(ops.Relu),
    ops.Negate: _unary(ops.Negate),
    ops.Add: _binary(ops.Add),
    ops.Subtract: _binary(ops.Subtract),
    ops.Multiply: _binary(ops.Multiply),
    ops.Divide: _binary(ops.Divide, margin=0.3),
    ops.Power: _power,
    ops.Where: _where,
    ops.Dropout: _dropout,
}
