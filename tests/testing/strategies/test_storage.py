"""Arrays in drawn memory layouts: equal values, the strides that the name says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from minivgg.errors import ConfigError
from minivgg.testing.strategies import broadcast_arrays, shapes, store, stored
from minivgg.testing.strategies.storage import LAYOUTS

X = np.arange(120.0).reshape(2, 3, 4, 5)
STRIDES: dict[str, Callable[[Any], bool]] = {
    "C order": lambda x: bool(x.flags.c_contiguous),
    "Fortran order": lambda x: bool(x.flags.f_contiguous),
    "channels-last": lambda x: x.strides[1] == x.itemsize and bool(x.transpose(0, 2, 3, 1).flags.c_contiguous),
    "gaps": lambda x: x.strides[-1] == 2 * x.itemsize,
    "negative strides": lambda x: all(stride < 0 for stride in x.strides),
    "offset": lambda x: x.base is not None and not x.flags.c_contiguous and x.strides[-1] == x.itemsize,
    "read-only": lambda x: not x.flags.writeable,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_has_its_strides(layout: str) -> None:
    """The stored array equals the original and lies in memory as the name says."""
    y = store(X, layout)
    assert np.array_equal(y, X) and y.dtype == X.dtype
    assert STRIDES[layout](y)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_can_be_drawn(layout: str) -> None:
    """Hypothesis finds an array in each."""
    assert np.array_equal(find(stored(X), STRIDES[layout]), X)


@settings(max_examples=100)
@given(st.data(), shapes(empty=True), st.sampled_from(("float64", "float32", "uint8", "bool")))
def test_values_shape_and_dtype_are_kept_for_any_size(data: st.DataObject, shape: tuple[int, ...], dtype: str) -> None:
    """Also for size 0, size 1 and 0-d arrays; the original is not shared."""
    x = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    y = data.draw(stored(x))
    assert isinstance(y, np.ndarray) and y.shape == x.shape and y.dtype == x.dtype and np.array_equal(x, y)


@settings(max_examples=50)
@given(broadcast_arrays())
def test_broadcast_arrays_see_memory_several_times(x: Any) -> None:
    """A stride of an axis longer than one is 0, the view is read-only, and the elements there are equal."""
    repeated = [axis for axis, stride in enumerate(x.strides) if stride == 0 and x.shape[axis] > 1]
    assert repeated and not x.flags.writeable
    for axis in repeated:
        assert np.array_equal(np.take(x, 0, axis), np.take(x, 1, axis))


def test_an_unknown_layout_is_refused() -> None:
    """A ConfigError names the nearest one."""
    with pytest.raises(ConfigError, match='layout "gap" is unknown'):
        store(X, "gap")
