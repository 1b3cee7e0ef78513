"""Every op, called in as many ways as Hypothesis draws: rules against finite differences, kernels against references.

`--gradient-profile soak` draws 10,000 calls for each op instead of 200, from the seed `--gradient-seed`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

import minivgg as mv
from minivgg.autograd.core import Op, Tensor, grad
from minivgg.fast import kernels  # noqa: F401  importing the list fills the table
from minivgg.testing.strategies import Call, calls

OWN = [cls for cls in Op.registry if cls.__module__.startswith("minivgg.")]
every_op = pytest.mark.parametrize("cls", OWN, ids=lambda cls: cls.__name__)


def value_and_gradients(call: Call) -> list[Any]:
    """The result, and the gradients of all float64 operands that have a rule, for a cotangent that is not constant."""
    op = call.op
    rules = [f"grad_{op.operands[0 if op.variadic else i]}" for i in range(len(call.arrays))]
    inputs = [
        Tensor(x, requires_grad=True) if getattr(x, "dtype", None) == np.float64 and hasattr(op, rule) else x
        for x, rule in zip(call.arrays, rules, strict=True)
    ]
    y = op(*inputs)
    gy = np.cos(np.arange(y.size)).reshape(y.shape)
    return [y.data, *grad(y, [x for x in inputs if isinstance(x, Tensor)], gy)]


@pytest.mark.parametrize("cls", [pytest.param(cls, id=cls.__name__, marks=pytest.mark.gradients(op=cls)) for cls in OWN])
def test_gradients_of_orders_one_and_two_agree_with_finite_differences(cls: type[Op]) -> None:
    """Whatever the fields, the shapes and the values in the op's domain, with kernels and without: the marker checks it."""


@every_op
@settings(max_examples=50)
@given(data=st.data())
def test_layouts_kernels_and_empty_operands_change_nothing(cls: type[Op], data: st.DataObject) -> None:
    """Operands in any storage, empty ones too, give the values and gradients of their plain copies without kernels."""
    call = data.draw(calls(cls, layouts=True, empty=True))
    note(repr(call))
    plain = Call(call.op, tuple(np.array(x, order="C") if isinstance(x, np.ndarray) else x for x in call.arrays))
    found = value_and_gradients(call)
    with mv.reference():
        expected = value_and_gradients(plain)
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        assert np.abs(a - b).max(initial=0.0) <= 1e-12 * max(np.abs(b).max(initial=0.0), 1.0)
