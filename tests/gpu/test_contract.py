"""What every op promises, on a card: for every op in the registry, from its own examples."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import minivgg as mv
import minivgg.ops
from minivgg.autograd.core import Op, Tensor, grad
from minivgg.backend.arrays import to_numpy
from minivgg.testing import check_backend

from .conftest import Card

CASES = [
    pytest.param(op, arrays, id=f"{cls.__name__}-{i}")
    for cls in Op.registry
    if cls.__module__.startswith("minivgg.")
    for i, (op, arrays) in enumerate(cls.examples(np.random.default_rng(0)))
]
every_example = pytest.mark.parametrize(("op", "arrays"), CASES)
both_ways = pytest.mark.parametrize("switch", [nullcontext, mv.reference], ids=["kernels", "reference"])


def value_and_gradients(op: Op, arrays: Any) -> list[Any]:
    """y, and the gradients of Σ y²."""
    inputs = [Tensor(x, requires_grad=True) if getattr(getattr(x, "dtype", None), "kind", "") == "f" else x for x in arrays]
    y = op(*inputs)
    xs = [x for i, x in enumerate(inputs) if isinstance(x, Tensor) and hasattr(op, f"grad_{op.operands[0 if op.variadic else i]}")]
    return [y.data, *grad((y * y).sum(), xs)]


@every_example
@both_ways
def test_a_card_gives_what_numpy_gives(card: Card, op: Op, arrays: Any, switch: Any) -> None:
    """Values, first and second derivatives in float64 equal NumPy's, to 1e-9; the host never waits, nothing is converted
    implicitly, no host array is mixed in (which the pretend card refuses)."""
    with switch():
        check_backend(op, *arrays, backend="cupy").raise_if_failed()


@every_example
@both_ways
def test_storage_does_not_matter_on_a_card(card: Card, op: Op, arrays: Any, switch: Any) -> None:
    """C-ordered, channels-last and strided operands give NumPy's values and gradients in float64, to 1e-10 of the largest."""
    with switch():
        expected = value_and_gradients(op, arrays)
        for layout in ("C", "channels-last", "gaps"):
            found = value_and_gradients(op, [card.stored(x, layout) for x in arrays])
            assert all(card.close(a, b, 1e-10) for a, b in zip(found, expected, strict=True)), layout


@every_example
def test_narrow_types_are_near_float64(card: Card, op: Op, arrays: Any) -> None:
    """float32 to 2e-5 and float16 to 2e-2 of the largest, against float64 of the same rounded operands; dtypes are those on NumPy."""
    for dtype, bound in ((np.float32, 2e-5), (np.float16, 2e-2)):
        rounded = [x.astype(dtype) if getattr(x, "dtype", None) == np.float64 else x for x in arrays]
        wide = [x.astype(np.float64) if getattr(x, "dtype", None) == dtype else x for x in rounded]
        found = value_and_gradients(op, [card.stored(x) for x in rounded])
        with mv.reference():
            dtypes = [a.dtype for a in value_and_gradients(op, rounded)]
        assert [a.dtype for a in found] == dtypes
        for a, b in zip(found, value_and_gradients(op, wide), strict=True):
            assert card.close(a, b, bound), f"{dtype.__name__}: {np.abs(to_numpy(a).astype(np.float64) - b).max():.1e}"
