"""What a hook returns goes on in the gradient's place: it must have the gradient's shape, and takes its dtype and kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minivgg as mv
from minivgg.errors import ShapeError


def leaf(values: Any, dtype: str = "float64") -> mv.Tensor:
    """A tensor that requires a gradient."""
    return mv.Tensor(np.asarray(values, dtype), requires_grad=True)


@pytest.mark.parametrize("shape", [(1,), (3,), (1, 2), ()], ids=str)
def test_a_hook_cannot_change_the_shape(shape: tuple[int, ...]) -> None:
    """Also a shape that would broadcast is refused, with both shapes in the message, and nothing reaches the leaf."""
    x = leaf([1.0, 2.0])
    h = x * 2.0
    h.register_hook(lambda g: np.ones(shape))
    with pytest.raises(ShapeError) as caught:
        h.sum().backward()
    assert f"a hook returned shape {shape} for the gradient of a tensor of shape (2,)" in str(caught.value)
    assert "they must be equal" in str(caught.value) and x.grad is None


def test_what_a_hook_returns_takes_the_tensors_dtype() -> None:
    """float64 out of a hook becomes float32 again on its way to a float32 leaf."""
    x = leaf([1.0, 2.0], "float32")
    x.register_hook(lambda g: g * np.array([0.5, 10.0]))
    (x * 3.0).sum().backward()
    assert x.grad.dtype == np.float32 and x.grad.tolist() == [1.5, 30.0]


def test_an_ordinary_sweep_unwraps_a_tensor_that_a_hook_returned() -> None:
    """.grad is an array, whether the hook computes with arrays or with tensors."""
    x = leaf([1.0, 2.0])
    x.register_hook(lambda g: mv.Tensor(g) * 10.0)
    (x * 3.0).sum().backward()
    assert isinstance(x.grad, np.ndarray) and x.grad.tolist() == [30.0, 30.0]


def test_a_recording_sweep_takes_an_array_from_a_hook_as_a_constant() -> None:
    """With create_graph the gradient is a tensor, although the hook cut it out of the graph: 2x is replaced by (5, 6)."""
    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    h = x * x
    h.register_hook(lambda g: np.array([5.0, 6.0]))
    (gx,) = mv.grad((h * w).sum(), x, create_graph=True)
    assert isinstance(gx, mv.Tensor) and gx.data.tolist() == [10.0, 24.0]  # (5, 6) · 2x
    gxx, gxw = mv.grad(gx.sum(), [x, w])
    assert gxx.tolist() == [10.0, 12.0] and gxw.tolist() == [0.0, 0.0]  # without the hook gxw were 2x


def test_a_recording_sweep_differentiates_through_a_hook() -> None:
    """With create_graph a hook that computes with tensors is part of the graph: (3x²)² has the derivative 36x³."""
    x = leaf([1.0, -2.0])
    x.register_hook(lambda g: g * g)
    (gx,) = mv.grad((x * x * x).sum(), x, create_graph=True)
    assert gx.data.tolist() == [9.0, 144.0]
    x.node.hooks.clear()
    assert mv.grad(gx.sum(), x)[0].tolist() == [36.0, -288.0]


def test_hooks_run_in_the_order_of_registration_each_on_the_result_of_the_last() -> None:
    """(1 + 1) · 10 = 20, not 1 · 10 + 1; a hook that removes itself does not cost the next one its turn."""
    x, removers = leaf([0.0]), []

    def once(g: Any) -> Any:
        removers.pop()()
        return g + 1.0

    removers.append(x.register_hook(once))
    x.register_hook(lambda g: g * 10.0)
    y = x.sum()
    assert mv.grad(y, x)[0].tolist() == [20.0]
    assert mv.grad(y, x)[0].tolist() == [10.0]
