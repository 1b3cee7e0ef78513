"""Every kernel in the overlay's table equals its op's own formula, over some hundred drawn geometries each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import minivgg as mv
from minivgg import ops
from minivgg.autograd import mode
from minivgg.autograd.core import Op, Tensor, grad
from minivgg.backend import blocks
from minivgg.fast import kernels, overlay  # noqa: F401  importing the list fills the table
from minivgg.fast.cpu import batch_norm, channel_sum, columns, linear, max_pool2d, taps
from minivgg.testing.strategies import Call, calls, store, stored
from minivgg.testing.strategies.storage import LAYOUTS

GEOMETRIES = 500
SERVED = {
    cls: sorted(phase for c, phase, library in overlay.table if c is cls and library == "numpy")
    for cls, _, found in overlay.table
    if found == "numpy"
}


@contextmanager
def pieces_of(size: int) -> Iterator[None]:
    """All kernels cut their work into pieces of so many bytes, elements or rows, so that small cases have several."""
    constants = [
        (batch_norm, "_BLOCK"), (channel_sum, "_BLOCK"), (max_pool2d, "_BLOCK"), (blocks, "_ELEMENTS"), (linear, "_PIECE"),
        (columns, "_TILE"), (taps, "_BLOCK"),
    ]  # fmt: skip
    with ExitStack() as stack:
        for module, name in constants:
            stack.enter_context(patch.object(module, name, size))
        yield


@contextmanager
def noted() -> Iterator[set[tuple[type[Op], str]]]:
    """Which (op, phase) a kernel served in the block."""
    found: set[tuple[type[Op], str]] = set()

    def watch(call: Op, phase: str, arrays: Any) -> Any:
        kernel = overlay.find(call, phase, arrays)
        if kernel is not None:
            found.add((type(call), phase))
        return kernel

    with patch.object(mode, "find_kernel", [watch]):
        yield found


@st.composite
def pool_calls(draw: st.DrawFn, cls: type[Op]) -> Call:
    """Pools of 2×2 with stride 2, which the kernels serve, over images of odd and even sizes, with ties."""
    g, shape = ops.Geometry((2, 2), (2, 2)), tuple(draw(st.integers(low, high)) for low, high in ((1, 3), (1, 4), (2, 9), (2, 9)))
    x = np.random.default_rng(draw(st.integers(0, 2**16))).integers(-3, 4, shape).astype(float)
    if cls is ops.MaxPool2d:
        return Call(ops.MaxPool2d(g), (draw(stored(x)),))
    y, call = ops.MaxPool2d(g).run(x)
    return Call(ops.PoolScatter(g, shape), (draw(stored(np.cos(y))), draw(stored(np.array(call.winners)))))


@st.composite
def image_calls(draw: st.DrawFn, cls: type[Op]) -> Call:
    """Ops with a constant for each channel, on images of a few pixels: 6 or more in a channel, none of them at a kink."""
    shape = tuple(draw(st.integers(low, high)) for low, high in ((1, 4), (1, 5), (2, 5), (3, 5)))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    x, a, b = rng.standard_normal(shape) * draw(st.sampled_from((0.5, 3.0))) + rng.standard_normal(), *rng.standard_normal((2, shape[1]))
    op = cls() if cls in (ops.ChannelSum, ops.ChannelAffine) else cls(draw(st.sampled_from((0.1, 1e-3, 1e-5))))  # type: ignore[call-arg]
    if cls is ops.BatchNormRelu:
        assume(np.abs(ops.BatchNorm(op.eps)(x, a, b)).min() > 1e-3)  # type: ignore[attr-defined]
    arrays = (x,) if cls is ops.ChannelSum else (x, a, b)
    return Call(op, tuple(draw(stored(v)) for v in arrays))


def drawn(cls: type[Op]) -> st.SearchStrategy[Call]:
    """Calls of an op that its kernels may serve, in any layout."""
    if cls in (ops.MaxPool2d, ops.PoolScatter):
        return pool_calls(cls)
    if cls in (ops.ChannelSum, ops.ChannelAffine, ops.BatchNorm, ops.BatchNormRelu):
        return image_calls(cls)
    return calls(cls, layouts=True, empty=cls in (ops.Relu, ops.Dropout))


def as_dtype(call: Call, dtype: Any) -> list[Any]:
    """The operands, those of float64 in another dtype and the same layouts."""
    names = call.layouts or ("C order",) * len(call.arrays)
    return [
        store(x.astype(dtype), name) if getattr(x, "dtype", None) == np.float64 and dtype != np.float64 else x
        for x, name in zip(call.arrays, names, strict=True)
    ]


def value_and_gradients(op: Op, arrays: list[Any], wanted: list[bool], layout: str) -> list[Any]:
    """y, and the gradients of the wanted operands for a cotangent in a layout of its own."""
    rules = [hasattr(op, f"grad_{op.operands[i]}") and arrays[i] is not None for i in range(len(arrays))]
    inputs = [Tensor(x, requires_grad=True) if rule and want else x for x, rule, want in zip(arrays, rules, wanted, strict=True)]
    y = op(*inputs)
    targets = [x for x in inputs if isinstance(x, Tensor)]
    if not targets:
        return [y]
    gy = np.cos(1.7 * np.arange(y.size)).reshape(y.shape).astype(y.dtype)
    return [y.data, *grad(y, targets, store(gy, layout))]


def close(a: Any, b: Any, bound: float) -> bool:
    """Same shape and dtype, and within `bound` of the largest magnitude."""
    same = a.shape == b.shape and a.dtype == b.dtype
    return same and bool(np.abs(a - b).max(initial=0.0) <= bound * max(float(np.abs(b).max(initial=0.0)), 1.0))


@pytest.mark.parametrize("cls", SERVED, ids=lambda cls: cls.__name__)
def test_a_kernel_equals_its_op_in_both_precisions(cls: type[Op]) -> None:
    """Values and any subset of the gradients, any layouts, whole or in small pieces, float32 within the stated bound and float64
    within 1e-12 of the largest element; operands stay as they were. Only calls that all the op's kernels served count."""
    served = dict.fromkeys(SERVED[cls], 0)
    bounds = {phase: max(k.bound for k in overlay.table[cls, phase, "numpy"]) for phase in SERVED[cls]}
    bound = {np.float32: max(bounds.values()), np.float64: 1e-12 if max(bounds.values()) else 0.0}

    @settings(max_examples=GEOMETRIES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        call = data.draw(drawn(cls))
        wanted = [data.draw(st.booleans()) for _ in call.arrays]
        if "backward" in served and not any(w and x is not None for w, x in zip(wanted, call.arrays, strict=True)):
            wanted[0] = True
        size, layout = data.draw(st.sampled_from((1, 40, 1 << 20))), data.draw(st.sampled_from(LAYOUTS))
        for dtype in (np.float32, np.float64):
            arrays = as_dtype(call, dtype)
            before = [None if x is None else np.array(x) for x in arrays]
            with noted() as kernels_used, pieces_of(size):
                found = value_and_gradients(call.op, arrays, wanted, layout)
            assume(all((cls, phase) in kernels_used for phase in served))
            with mv.reference():
                expected = value_and_gradients(call.op, arrays, wanted, layout)
            for phase in served:
                served[phase] += 1
            assert all(close(a, b, bound[dtype]) for a, b in zip(found, expected, strict=True))
            assert all(a is None or np.array_equal(a, b) for a, b in zip(before, arrays, strict=True))

    check()
    assert min(served.values()) >= 2 * GEOMETRIES  # once in each precision


def test_every_kernel_is_among_those_tested() -> None:
    """The table has kernels for NumPy, and the parametrised test above has each of their ops."""
    assert {cls for cls, _, library in overlay.table if library == "numpy"} == set(SERVED) and len(SERVED) > 5
