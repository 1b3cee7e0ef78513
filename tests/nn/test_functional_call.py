"""A module as a function of its parameters."""

from __future__ import annotations

import numpy as np
import pytest

from minivgg import nn, ops
from minivgg.autograd.core import Tensor, grad
from minivgg.errors import ConfigError, ShapeError

X = np.random.default_rng(0).standard_normal((2, 3))


def test_gradients_flow_to_the_tensors_that_were_passed() -> None:
    """y = x (2w)ᵀ + b: the gradient by w is twice that of the layer's own weight, which stays as it was."""
    layer = nn.Linear(3, 2).to(dtype="float64")
    own, value = layer.weight, layer.weight.data.copy()
    w = Tensor(value, requires_grad=True)
    y = nn.functional_call(layer, {"weight": w * 2.0}, X)
    (gw,) = grad(y.sum(), [w])
    assert np.allclose(y.data, X @ (2.0 * value).T) and np.allclose(gw, 2.0 * np.ones((2, 1)) * X.sum(0))
    assert layer.weight is own and np.array_equal(own.data, value)


def test_a_shared_parameter_is_replaced_everywhere() -> None:
    """Two layers with one weight: both use the tensor."""
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)).to(dtype="float64")
    model[1].weight = model[0].weight
    w = np.arange(9.0).reshape(3, 3)
    assert np.allclose(nn.functional_call(model, {"0.weight": Tensor(w)}, X).data, X @ w.T @ w.T)


def test_buffers_can_be_replaced_and_the_module_recovers_from_an_error() -> None:
    """Running statistics by name; after an exception inside, everything is in its place."""
    bn = nn.BatchNorm2d(2).to(dtype="float64").eval()
    x = np.ones((1, 2, 2, 2))
    y = nn.functional_call(bn, {"running_mean": Tensor(np.array([1.0, 0.0]))}, x)
    assert np.allclose(y[:, 0], 0.0) if isinstance(y, np.ndarray) else np.allclose(y.data[:, 0], 0.0)
    before = bn.running_mean
    with pytest.raises(ShapeError):
        nn.functional_call(bn, {"running_mean": Tensor(np.zeros(2))}, np.ones((1, 3, 2, 2)))
    assert bn.running_mean is before


def test_unknown_paths_and_other_shapes_are_refused() -> None:
    """With the nearest name, and both shapes."""
    layer = nn.Linear(3, 2)
    with pytest.raises(ConfigError, match='no parameter "weigth": did you mean weight'):
        nn.functional_call(layer, {"weigth": Tensor(np.ones((2, 3)))}, X)
    with pytest.raises(ShapeError, match=r"weight has shape \(2, 3\), but the tensor for it has \(3, 2\)"):
        nn.functional_call(layer, {"weight": Tensor(np.ones((3, 2)))}, X)


def test_second_derivatives_by_parameters() -> None:
    """∂²/∂w² of Σ(xw)² is 2·xᵀx."""
    layer = nn.Linear(3, 1, bias=False).to(dtype="float64")
    w = Tensor(np.ones((1, 3)), requires_grad=True)
    y = nn.functional_call(layer, {"weight": w}, X)
    (g,) = grad((y * y).sum(), [w], create_graph=True)
    rows = [grad(ops.index(g, (0, i)), [w])[0][0] for i in range(3)]
    assert np.allclose(rows, 2.0 * X.T @ X)
