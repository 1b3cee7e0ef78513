"""The contract on a real card: `pytest -m gpu`. Skipped, with the reason printed, where there is none;
MINIVGG_REQUIRE_GPU=1 makes that a failure.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

import minivgg.ops  # noqa: F401  fills the registry
from minivgg.autograd.core import Op, Tensor, grad
from minivgg.backend.arrays import to_numpy
from minivgg.backend.device import Device
from minivgg.errors import DeviceError

CASES = [
    pytest.param(op, arrays, id=f"{cls.__name__}-{i}")
    for cls in Op.registry
    if cls.__module__.startswith("minivgg.")
    for i, (op, arrays) in enumerate(cls.examples(np.random.default_rng(0)))
]


@pytest.fixture(scope="module")
def card() -> Device:
    """The first GPU."""
    try:
        return Device("cuda")
    except DeviceError as error:
        if os.environ.get("MINIVGG_REQUIRE_GPU") == "1":
            pytest.fail(f"MINIVGG_REQUIRE_GPU=1, but {error}")
        pytest.skip(str(error))


def value_and_gradients(op: Op, arrays: Any) -> list[Any]:
    """y, and the gradients of Σ y²."""
    inputs = [Tensor(x, requires_grad=True) if getattr(getattr(x, "dtype", None), "kind", "") == "f" else x for x in arrays]
    y = op(*inputs)
    xs = [x for i, x in enumerate(inputs) if isinstance(x, Tensor) and hasattr(op, f"grad_{op.operands[0 if op.variadic else i]}")]
    return [y.data, *grad((y * y).sum(), xs)]


@pytest.mark.gpu
@pytest.mark.parametrize(("op", "arrays"), CASES)
def test_a_card_gives_what_numpy_gives(card: Device, op: Op, arrays: Any) -> None:
    """Values and gradients in float64 on CuPy equal NumPy's to 1e-10 of the largest."""
    moved = [card.asarray(x) if isinstance(x, np.ndarray) else x for x in arrays]
    for a, b in zip(value_and_gradients(op, moved), value_and_gradients(op, arrays), strict=True):
        assert np.abs(to_numpy(a) - b).max(initial=0.0) <= 1e-10 * max(float(np.abs(b).max(initial=0.0)), 1.0)
