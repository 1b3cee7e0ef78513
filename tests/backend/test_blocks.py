"""Element-wise work in blocks: every element once, whatever the strides, dtypes and shapes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minivgg.backend.blocks import empty_like, flat, in_blocks

LARGE = (24, 64, 32, 48)  # more elements than a block has


def numbers(*shape: int) -> Any:
    """1, 2, 3, … as float32."""
    return np.arange(1, np.prod(shape, dtype=int) + 1, dtype=np.float32).reshape(shape)


LAYOUTS: dict[str, Callable[[], Any]] = {
    "C order": lambda: numbers(*LARGE),
    "Fortran order": lambda: np.asfortranarray(numbers(*LARGE)),
    "channels last": lambda: numbers(24, 32, 48, 64).transpose(0, 3, 1, 2),
    "every other row": lambda: numbers(48, 64, 32, 48)[::2],
    "the middle": lambda: numbers(24, 64, 34, 50)[:, :, 1:-1, 1:-1],
    "backwards": lambda: numbers(*LARGE)[:, ::-1],
    "repeated": lambda: np.broadcast_to(numbers(1, 64, 1, 48), LARGE),
}


@pytest.mark.parametrize("first", LAYOUTS)
@pytest.mark.parametrize("second", LAYOUTS)
def test_every_element_is_a_part_of_one_call(first: str, second: str) -> None:
    """Each place is counted once and gets its own sum, for each pair of layouts, a mask of bytes beside floats."""
    x, y = LAYOUTS[first](), LAYOUTS[second]()
    mask = empty_like(x).astype(bool, order="K")
    mask[...] = x % 3 == 0
    out, count = empty_like(x), np.zeros_like(x)  # zeros_like keeps strides where it can

    def block(a: Any, b: Any, m: Any, target: Any, times: Any) -> None:
        assert a.shape == b.shape == m.shape == target.shape
        np.add(a, b * m, out=target)
        times += 1

    in_blocks(block, x, y, mask, out, count)
    np.testing.assert_array_equal(out, x + y * (x % 3 == 0))
    assert (count == 1).all()


def test_arrays_that_lie_alike_are_cut() -> None:
    """Mixed dtypes are alike if their elements are in the same order: parts, in the order of memory, without a gap."""
    x = LAYOUTS["channels last"]()
    mask = (x > 5).astype(bool, order="K")
    seen: list[tuple[int, int]] = []
    in_blocks(lambda a, m: seen.append((int(a[0]), a.size)) or np.testing.assert_array_equal(m, a > 5), x, mask)
    assert len(seen) > 1 and sum(size for _, size in seen) == x.size
    starts = sorted(seen)
    assert all(start + size == after for (start, size), (after, _) in itertools.pairwise(starts))


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (1, 1, 5, 1)])
def test_small_and_empty_arrays_are_one_call(shape: tuple[int, ...]) -> None:
    """0-d arrays and arrays without elements, too; the function sees them as they are."""
    x, out = numbers(*shape) if shape else np.array(3.0, np.float32), np.zeros(shape, np.float32)
    calls: list[tuple[int, ...]] = []

    def block(a: Any, target: Any) -> None:
        calls.append(a.shape)
        np.multiply(a, 2, out=target)

    in_blocks(block, x, out)
    assert calls == [shape]
    np.testing.assert_array_equal(out, 2 * x)


def test_axes_of_size_one_may_have_any_stride() -> None:
    """NumPy says nothing about their strides: the values count."""
    x = np.lib.stride_tricks.as_strided(numbers(1 << 20), (1 << 20, 1), (4, 12345))
    out = np.empty((1 << 20, 1), np.float32)
    in_blocks(lambda a, target: np.negative(a, out=target), x, out)
    np.testing.assert_array_equal(out[:, 0], -numbers(1 << 20))


def test_an_error_in_a_block_arrives() -> None:
    """As from the function itself."""
    with pytest.raises(ZeroDivisionError):
        in_blocks(lambda a: 1 // 0, numbers(*LARGE))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_empty_like_keeps_the_order_of_axes(layout: str) -> None:
    """Shape and dtype are the same; it has no gaps; axes lie in memory in the same order, from the longest stride to the shortest."""
    x = LAYOUTS[layout]()
    y = empty_like(x)
    assert (y.shape, y.dtype) == (x.shape, x.dtype) and flat(y) is not None
    if layout in ("C order", "Fortran order", "channels last"):
        assert y.strides == x.strides
    if layout in ("every other row", "the middle"):
        assert y.flags.c_contiguous
    assert empty_like(np.zeros((), np.float64)).shape == () and empty_like(np.zeros((3, 0))).shape == (3, 0)


def test_flat_is_a_view_in_the_order_of_memory() -> None:
    """1, 2, 3, … as they lie; none for what has gaps, runs backwards or repeats."""
    for layout, make in LAYOUTS.items():
        x = make()
        vector = flat(x)
        if layout in ("C order", "Fortran order", "channels last"):
            assert vector is not None and np.shares_memory(vector, x)
            np.testing.assert_array_equal(vector, x.ravel(order="K"))
        else:
            assert vector is None
