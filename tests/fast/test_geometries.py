"""Every kernel of the overlay, on drawn calls: the op's own results and gradients, within the bound that the kernel states."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

import minivgg as mv
from minivgg import ops
from minivgg.autograd.core import Op, Tensor, grad
from minivgg.fast import kernels, overlay  # noqa: F401  importing the list fills the table
from minivgg.testing.strategies import store
from minivgg.testing.strategies.storage import LAYOUTS

from .drawn_calls import RECIPES
from .watching import watch

SERVED_OPS = list(dict.fromkeys(key[0] for key in overlay.table if key[2] == "numpy"))
BEFORE_THE_RECTIFIER = {
    ops.Conv2dRelu: lambda op, arrays: ops.Conv2d(*op.fields())(*arrays),
    ops.BatchNormRelu: lambda op, arrays: ops.BatchNorm(op.eps)(*arrays),
}


def bound(op: type[Op], phase: str) -> float:
    """What the op's kernels state for a phase: the largest, 0 if there is none."""
    return max((k.bound for k in overlay.table.get((op, phase, "numpy"), ())), default=0.0)


def as_floats(arrays: Any, dtype: Any) -> list[Any]:
    """The floating-point arrays among `arrays` in that dtype, the others as they are."""
    return [x.astype(dtype) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x for x in arrays]


def computed(op: Op, operands: Any, wanted: int) -> tuple[list[Any], list[Any]]:
    """([result, what the call saved], [gradients by the operands whose bit is set and which have a rule]); gy is the last operand."""
    *arrays, gy = operands
    rules = [hasattr(op, f"grad_{name}") and x is not None for name, x in zip(op.operands, arrays, strict=True)]
    wanted = wanted if any(rule and wanted >> i & 1 for i, rule in enumerate(rules)) else 7
    inputs = [
        Tensor(x, requires_grad=True) if rule and wanted >> i & 1 else x for i, (x, rule) in enumerate(zip(arrays, rules, strict=True))
    ]
    y, call = op.run(*inputs)
    state = [value for _, value in sorted(vars(call).items()) if isinstance(value, np.ndarray)]
    return [y.data, *state], grad(y, [x for x in inputs if isinstance(x, Tensor)], gy)


def cotangent(op: Op, arrays: Any, seed: int) -> Any:
    """Numbers of three decimals; 0 where a rectifier's operand is so near its kink that rounding decides."""
    with mv.reference(), np.errstate(all="ignore"):
        y = op(*arrays)
        before = BEFORE_THE_RECTIFIER[type(op)](op, arrays) if type(op) in BEFORE_THE_RECTIFIER else None
    gy = np.random.default_rng(seed).uniform(-2, 2, y.shape).round(3)
    return gy if before is None else gy * (np.abs(before) > 1e-3 * max(1.0, np.abs(before).max(initial=0.0)))


def agree(found: Any, expected: Any, limit: float) -> None:
    """Same shapes; the same numbers, NaN where NaN is, or equal to `limit` of the largest, or of 1."""
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape and a.dtype.kind == b.dtype.kind
        if limit == 0.0 or a.dtype.kind != "f":
            np.testing.assert_array_equal(a, b)
        else:
            assert np.abs(a - b).max(initial=0.0) <= limit * max(np.abs(b).max(initial=0.0), 1.0)


def test_every_kernel_is_drawn() -> None:
    """There is a recipe for each op that has a kernel, and for no other."""
    assert set(SERVED_OPS) == set(RECIPES)


@pytest.mark.parametrize("cls", SERVED_OPS, ids=lambda cls: cls.__name__)
def test_kernels_equal_their_op(cls: type[Op]) -> None:
    """Results, saved state and any subset of the gradients, operands and cotangent stored in any way: in float32 within
    the kernel's bound, which where it is 0 means the same numbers, in float64 to 1e-12; and kernels did serve."""
    total: Counter[Any] = Counter()

    limits = bound(cls, "forward"), bound(cls, "backward") or bound(cls, "forward")

    @settings(max_examples=760)
    @given(RECIPES[cls], st.lists(st.sampled_from(LAYOUTS), min_size=4, max_size=4), st.integers(1, 7), st.integers(0, 99))
    def drawn(call: Any, layouts: list[str], wanted: int, seed: int) -> None:
        op, arrays = call
        note(f"{op!r}, shapes {[getattr(x, 'shape', None) for x in arrays]}")
        gy = cotangent(op, arrays, seed)
        for dtype in (np.float32, np.float64):
            plain = as_floats([*arrays, gy], dtype)
            stored = [store(x, layout) if isinstance(x, np.ndarray) else x for x, layout in zip(plain, layouts, strict=False)]
            with watch() as (served, _):
                found = computed(op, stored, wanted)
            total.update(served)
            for x, copy in zip(stored, plain, strict=True):
                np.testing.assert_array_equal(x, copy)
            with mv.reference():
                same = computed(op, plain, wanted)
                wide = computed(op, as_floats(plain, np.float64), wanted) if dtype == np.float32 and any(limits) else same
            for part, limit, equal, near in zip(found, limits, same, wide, strict=True):
                agree(part, near if limit else equal, min(limit, 1e-12) if dtype == np.float64 else limit)

    with np.errstate(invalid="ignore"):  # 0·∞
        drawn()
    phases = {phase for op, phase, library in overlay.table if op is cls and library == "numpy"}
    assert all(total[cls.__name__, phase] >= 2 * 500 for phase in phases), total  # in both dtypes
