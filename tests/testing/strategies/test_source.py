"""Values as source: evaluating what is printed gives the value again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minivgg import ops
from minivgg.autograd.core import Tensor
from minivgg.testing.strategies.source import source

ARRAYS = [
    np.array(0.125),
    np.array([[1.5, -2.0]]),
    np.zeros((2, 0, 3)),
    np.array([], dtype=np.uint8),
    np.array([[1, 2]], dtype=np.uint8),
    np.array([True, False]),
    np.zeros(0, bool),
    np.array([0.1], dtype=np.float32),
    np.array([3, -4]),
]


@pytest.mark.parametrize("x", ARRAYS, ids=lambda x: f"{x.dtype}{x.shape}")
def test_arrays_keep_dtype_shape_and_values(x: Any) -> None:
    """0-d, empty, boolean and integer arrays, too."""
    y = eval(source(x), {"np": np})
    assert y.dtype == x.dtype and y.shape == x.shape and np.array_equal(x, y)


def test_containers_slices_and_ellipsis_are_written_as_python_writes_them() -> None:
    """Nested values, one-element tuples, and arrays inside of them."""
    value = {"a": [(1,), None, ..., slice(None, None, -1)], "b": (1.5, "x", True)}
    assert eval(source(value)) == value
    assert source((np.array([1, 2]), ...)) == "(np.array([1, 2], dtype=np.int64), ...)"


def test_ops_and_tensors_are_constructor_calls() -> None:
    """An op with an array among its fields, and a tensor that requires a gradient."""
    assert source(ops.Index((np.array([0, 2]),))) == "Index(key=(np.array([0, 2], dtype=np.int64),))"
    assert source(Tensor(np.array([1.0]), requires_grad=True)) == "Tensor(np.array([1.0]), requires_grad=True)"
