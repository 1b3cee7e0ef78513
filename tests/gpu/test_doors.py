"""Arrays on their way to a card and back."""

from __future__ import annotations

import numpy as np
import pytest

from minivgg.backend.arrays import to_numpy

from .conftest import Card


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (0, 3, 1, 2), (3, 2, 1, 0), (3, 2, 0, 1)])
def test_arrays_keep_their_order_in_memory(card: Card, axes: tuple[int, ...]) -> None:
    """C-ordered, channels-last, Fortran-ordered and filters' storage arrive as they are, without gaps; values come back."""
    x = np.arange(120, dtype=np.float32).reshape(2, 3, 4, 5).transpose(axes)
    moved = card.device.asarray(x)
    assert moved.strides == x.strides and np.array_equal(to_numpy(moved), x)
    gaps = np.arange(240, dtype=np.float32).reshape(2, 3, 4, 10)[..., ::-2].transpose(axes)
    moved = card.device.asarray(gaps)
    assert moved.strides == x.strides and np.array_equal(to_numpy(moved), gaps)


def test_what_is_on_a_card_is_its_own(card: Card) -> None:
    """A write into the host's array changes nothing on the card, and the other way round."""
    x = np.zeros((2, 3), np.float32)
    moved = card.device.asarray(x)
    x += 1
    back = to_numpy(moved)
    back += 2
    assert not to_numpy(moved).any() and card.device.asarray(moved) is not None
    assert card.device.asarray(np.float32(3)).shape == () and card.device.asarray([1, 2]).shape == (2,)
