"""Calls that the overlay's kernels serve: those of the op's strategy, moved into the kernels' domain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from minivgg import ops
from minivgg.autograd.core import Op
from minivgg.testing.strategies import calls, poolings, seeds

__all__ = ["RECIPES"]

Drawn = tuple[Op, tuple[Any, ...]]
PLAIN = ops.Geometry((2, 2), (2, 2))


def mostly_full(op: type[Op]) -> st.SearchStrategy[Any]:
    """Calls of an op; now and then an operand has no elements, which the op itself must deal with."""
    full = calls(op)
    return full | full | full | full | calls(op, empty=True)


def images(x: Any) -> Any:
    """x (N, C, …) with four axes: further ones joined into the last, missing ones of length 1."""
    n, c, *rest = x.shape
    h, *wide = rest or (1,)
    return x.reshape(n, c, h, int(np.prod(wide)))


def first_as_images(op: type[Op], become: type[Op] | None = None) -> st.SearchStrategy[Drawn]:
    """Calls of an op whose first operand is a batch; as calls of `become`, which has the same fields and operands."""

    def moved(call: Any) -> Drawn:
        x, *rest = call.arrays
        return (call.op if become is None else become(**vars(call.op))), (images(x), *rest)

    return mostly_full(op).map(moved)


def one_group(op: type[Op], become: type[Op] | None = None) -> st.SearchStrategy[Drawn]:
    """A convolution's calls without groups: where there were some, with as many more channels."""

    def moved(call: Any) -> Drawn:
        fields, arrays = dict(vars(call.op)), list(call.arrays)
        groups, fields["groups"] = fields["groups"], 1
        if op is ops.Conv2dWeight:
            k, c, *taps = fields["shape"]
            fields["shape"] = (k, c * groups, *taps)
        else:
            arrays[1] = np.concatenate([arrays[1]] * groups, axis=1)
        return (become or op)(**fields), tuple(arrays)

    return mostly_full(op).map(moved)


def plain_pooling(make: Callable[[Any, Any], Drawn]) -> st.SearchStrategy[Drawn]:
    """2×2 pooling of images with ties, zeros, infinities and NaN among their numbers."""

    def drawn(case: Any, seed: int) -> Drawn:
        n, c, h, w = case.x_shape
        rng = np.random.default_rng(seed)
        kinds = [-np.inf, np.inf, np.nan] if seed % 2 else [0.5]
        return make(rng, rng.choice([-1.5, -1.0, 0.0, 1.0, *kinds], (n, c, h + 1, w + 1)))

    return st.builds(drawn, poolings() | poolings() | poolings(empty=True), seeds())


def scattered(rng: Any, x: Any) -> Drawn:
    """Any winners: those of every window may be different."""
    n, c, h, w = x.shape
    shape = (n, c, h // 2, w // 2)
    return ops.PoolScatter(PLAIN, x.shape), (rng.standard_normal(shape).round(3), rng.integers(0, 4, shape).astype(np.uint8))


def signed_zeros(op: type[Op]) -> st.SearchStrategy[Drawn]:
    """An element-wise op's calls, some of the numbers 0, −0, ∞ or NaN."""

    def moved(call: Any) -> Drawn:
        x, *rest = call.arrays
        special = np.resize([0.0, 1.0, -0.0, 2.0, np.inf, -1.0, np.nan], x.shape)
        return call.op, (np.where(np.resize([True, False, False], x.shape), special, x), *rest)

    return mostly_full(op).map(moved)


RECIPES: dict[type[Op], st.SearchStrategy[Drawn]] = {
    ops.Conv2d: one_group(ops.Conv2d),
    ops.Conv2dRelu: one_group(ops.Conv2d, ops.Conv2dRelu),
    ops.Conv2dInput: one_group(ops.Conv2dInput),
    ops.Conv2dWeight: one_group(ops.Conv2dWeight),
    ops.BatchNorm: first_as_images(ops.BatchNorm),
    ops.BatchNormRelu: first_as_images(ops.BatchNorm, ops.BatchNormRelu),
    ops.ChannelAffine: first_as_images(ops.ChannelAffine),
    ops.ChannelSum: first_as_images(ops.ChannelSum),
    ops.Linear: mostly_full(ops.Linear).map(lambda call: (call.op, call.arrays)),
    ops.MaxPool2d: plain_pooling(lambda rng, x: (ops.MaxPool2d(PLAIN), (x,))),
    ops.PoolScatter: plain_pooling(scattered),
    ops.Relu: signed_zeros(ops.Relu),
    ops.Dropout: signed_zeros(ops.Dropout),
}
