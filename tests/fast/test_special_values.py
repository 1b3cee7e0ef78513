"""Exact kernels where comparisons are delicate: NaN, infinities, zeros of both signs and ties give what the op gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minivgg as mv
from minivgg import ops
from minivgg.autograd.core import Op, Tensor, grad
from minivgg.fast import kernels, overlay
from minivgg.testing.strategies import poolings, shapes, store
from minivgg.testing.strategies.storage import LAYOUTS

VALUES = np.array([0.0, -0.0, 1.0, 1.0, -1.0, 2.0, np.inf, -np.inf, np.nan])
PLAIN = ops.Geometry((2, 2), (2, 2))


@st.composite
def delicate(draw: st.DrawFn, op: type[Op], dtype: Any) -> tuple[Op, tuple[Any, ...]]:
    """An op whose kernel is exact, and operands of VALUES, of a dtype and in any layout."""
    values = VALUES.astype(dtype)
    rng, layout = np.random.default_rng(draw(st.integers(0, 2**16))), draw(st.sampled_from(LAYOUTS))
    if op is ops.Relu or op is ops.Dropout:
        x = rng.choice(values, draw(shapes(empty=True)))
        mask = () if op is ops.Relu else (store(rng.random(x.shape) < 0.5, draw(st.sampled_from(LAYOUTS))),)
        return (ops.Relu() if op is ops.Relu else ops.Dropout(0.25)), (store(x, layout), *mask)
    n, c, h, w = draw(poolings()).x_shape
    shape = n, c, h + 1, w + 1
    if op is ops.MaxPool2d:
        return ops.MaxPool2d(PLAIN), (store(rng.choice(values, shape), layout),)
    winners = rng.integers(0, 4, (n, c, *PLAIN.output(*shape[2:]))).astype(np.uint8)
    return ops.PoolScatter(PLAIN, shape), (store(rng.standard_normal(winners.shape).astype(dtype), layout), winners)


def everything(op: Op, arrays: tuple[Any, ...]) -> list[Any]:
    """The result, what the call saved for its rules, and the gradient of the first operand."""
    x = Tensor(arrays[0], requires_grad=True)
    y, call = op.run(x, *arrays[1:])
    saved = [value for _, value in sorted(vars(call).items()) if isinstance(value, np.ndarray)]
    return [y.data, *saved, *grad(y, [x], np.cos(np.arange(y.size, dtype=y.dtype)).reshape(y.shape))]


def exact_ops() -> list[type[Op]]:
    """Those whose kernels all state a bound of 0."""
    ops_served = {key[0] for key in overlay.table if key[2] == "numpy"}
    return sorted(
        (op for op in ops_served if all(k.bound == 0.0 for key, ks in overlay.table.items() if key[0] is op for k in ks)), key=str
    )


def test_there_are_exact_kernels() -> None:
    """Those that compare, select and multiply, but do not sum."""
    assert set(exact_ops()) == {ops.Relu, ops.Dropout, ops.MaxPool2d, ops.PoolScatter}


@pytest.mark.parametrize("op", exact_ops(), ids=lambda op: op.__name__)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exact_kernels_give_the_same_numbers(op: type[Op], dtype: Any) -> None:
    """Element by element, NaN where the op has NaN, and pooling the same winners."""

    @settings(max_examples=500)
    @given(delicate(op, dtype))
    def drawn(call: tuple[Op, tuple[Any, ...]]) -> None:
        one, arrays = call
        assert kernels.find(one, "forward", arrays) is not None
        found = everything(one, arrays)
        with mv.reference():
            expected = everything(one, arrays)
        for a, b in zip(found, expected, strict=True):
            assert a.dtype == b.dtype and a.dtype in (dtype, np.uint8)
            np.testing.assert_array_equal(a, b)

    with np.errstate(invalid="ignore"):  # 0·∞
        drawn()
