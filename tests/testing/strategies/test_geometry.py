"""Convolutions and poolings: the legal ones run, the awkward ones occur, the illegal ones are refused with their message."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import find, given, settings

from minivgg import ops
from minivgg.testing.strategies import (
    ConvolutionCase,
    Illegal,
    PoolingCase,
    convolutions,
    illegal_convolutions,
    illegal_poolings,
    poolings,
)
from minivgg.testing.strategies import illegal as illegal_rooms


@settings(max_examples=200)
@given(convolutions(empty=True))
def test_legal_convolutions_run_and_have_the_stated_shape(case: ConvolutionCase) -> None:
    """conv2d accepts the case; its result has the case's y_shape."""
    x, w = np.ones(case.x_shape), np.ones(case.w_shape)
    b = np.ones(case.w_shape[0]) if case.bias else None
    y = ops.conv2d(x, w, b, stride=case.stride, padding=case.padding, dilation=case.dilation, groups=case.groups)
    assert y.shape == case.y_shape


@settings(max_examples=200)
@given(poolings(empty=True))
def test_legal_poolings_run_and_see_an_element_in_every_window(case: PoolingCase) -> None:
    """Both poolings accept the case; no maximum is the padding's −∞."""
    g, x = case.geometry, np.ones(case.x_shape)
    for pool in (ops.max_pool2d, ops.avg_pool2d):
        y = pool(x, g.kernel, stride=g.stride, padding=g.padding, ceil_mode=g.ceil_mode)
        assert y.shape == case.y_shape and np.isfinite(y).all()


AWKWARD: dict[str, Callable[[ConvolutionCase], bool]] = {
    "stride past the kernel": lambda c: c.stride[0] > c.w_shape[2],
    "1×1": lambda c: c.w_shape[2:] == (1, 1),
    "rectangular": lambda c: c.w_shape[2] != c.w_shape[3],
    "padding past the kernel": lambda c: c.padding[0] > c.w_shape[2],
    "dilation": lambda c: c.dilation[1] > 1 and c.w_shape[3] > 1,
    "one group per channel": lambda c: c.groups == c.x_shape[1] > 1,
    "groups of several channels": lambda c: c.groups > 1 and c.w_shape[1] > 1,
    "one pixel": lambda c: c.x_shape[2:] == (1, 1),
    "rows left over": lambda c: (c.x_shape[2] + 2 * c.padding[0] - c.w_shape[2]) % c.stride[0] > 0,
    "VGG's": lambda c: c.w_shape[2:] == (3, 3) and c.padding == (1, 1) == c.stride and min(c.x_shape[2:]) > 4,
    "no bias": lambda c: not c.bias,
}


@pytest.mark.parametrize("kind", AWKWARD)
def test_awkward_convolutions_occur(kind: str) -> None:
    """Each kind is found within 1,000 draws."""
    assert AWKWARD[kind](find(convolutions(), AWKWARD[kind], settings=settings(max_examples=1000)))


POOLS: dict[str, Callable[[PoolingCase], bool]] = {
    "VGG's": lambda c: c.geometry.kernel == (2, 2) == c.geometry.stride and c.geometry.padding == (0, 0),
    "overlapping": lambda c: c.geometry.stride[0] < c.geometry.kernel[0],
    "gaps": lambda c: c.geometry.stride[1] > c.geometry.kernel[1],
    "padding": lambda c: c.geometry.padding[0] > 0,
    "hanging window": lambda c: c.geometry.ceil_mode and c.y_shape[2] > (c.x_shape[2] - c.geometry.kernel[0]) // c.geometry.stride[0] + 1,
}


@pytest.mark.parametrize("kind", POOLS)
def test_awkward_poolings_occur(kind: str) -> None:
    """Each kind is found within 1,000 draws."""
    assert POOLS[kind](find(poolings(), POOLS[kind], settings=settings(max_examples=1000)))


@settings(max_examples=300)
@given(illegal_convolutions())
def test_illegal_convolutions_raise_what_they_say(illegal: Illegal) -> None:
    """The error's class and message are the stated ones."""
    with pytest.raises(illegal.error, match=illegal.match):
        illegal.call()


@settings(max_examples=200)
@given(illegal_poolings())
def test_illegal_poolings_raise_what_they_say(illegal: Illegal) -> None:
    """The error's class and message are the stated ones."""
    with pytest.raises(illegal.error, match=illegal.match):
        illegal.call()


@pytest.mark.parametrize("fault", sorted(illegal_rooms.FAULTS))
def test_every_fault_of_a_convolution_occurs(fault: str) -> None:
    """Hypothesis finds a call with it."""
    assert fault in repr(find(illegal_convolutions(), lambda illegal: illegal.what == f"{fault} in conv2d"))


@pytest.mark.parametrize("fault", sorted(illegal_rooms.POOL_FAULTS))
@pytest.mark.parametrize("pool", ["max_pool2d", "avg_pool2d"])
def test_every_fault_of_a_pooling_occurs(fault: str, pool: str) -> None:
    """Hypothesis finds a call with it, for both poolings."""
    assert fault in repr(find(illegal_poolings(), lambda illegal: illegal.what == f"{fault} in {pool}"))
