"""Arrays on their way to a card and back."""

from __future__ import annotations

import numpy as np
import pytest

import minivgg as mv
from minivgg.backend.arrays import to_numpy
from minivgg.errors import ConfigError, DeviceError
from minivgg.testing import check_gradients

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


def test_arrays_of_two_devices_do_not_meet(card: Card) -> None:
    """A write into a tensor and a gradient to begin with, from the other side, are refused as operands are; nothing was written."""
    host, there = mv.Tensor(np.zeros(3, np.float32), requires_grad=True), mv.Tensor(np.ones(3, np.float32), requires_grad=True)
    there = there.to(card.device)
    for one, other in ((host, there), (there, host)):
        with pytest.raises(DeviceError, match="must live on one device"):
            one[:2] = other.data[:2]
        with pytest.raises(DeviceError, match="must live on one device"):
            (one * 2.0).backward(other.data)
    assert host.numpy().tolist() == [0.0] * 3 and there.numpy().tolist() == [1.0] * 3
    there[0] = np.float32(5)
    assert there.numpy().tolist() == [5.0, 1.0, 1.0]


def test_finite_differences_are_not_for_cards(card: Card) -> None:
    """check_gradients says so of a tensor on a card, rather than that it is no float64 array."""
    with pytest.raises(DeviceError, match="computed on the CPU, but x is on a card"):
        check_gradients(mv.ops.relu, mv.Tensor(np.linspace(-2, 2, 5)).to(card.device))


def test_an_unknown_dtype_is_named(card: Card) -> None:
    """On either side, with what there is."""
    for x in (mv.Tensor([1.0]), mv.Tensor([1.0]).to(card.device)):
        with pytest.raises(ConfigError, match="dtype='float17' is unknown"):
            x.to(dtype="float17")
