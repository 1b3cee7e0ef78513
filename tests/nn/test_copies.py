"""Copies, moves and loads of whole models."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import minivgg as mv
from minivgg import models, nn, ops, optim
from minivgg.errors import CheckpointError, ConfigError, GraphError, ShapeError


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))], ids=["deepcopy", "pickle"])
def test_a_copied_model_trains_itself(duplicate):
    """backward through the copy leaves its gradients on the copy's parameters, none on the original's."""
    model = models.vgg11_bn(num_classes=3, image_size=32, width=1 / 16, head="linear")
    other = duplicate(model)
    ops.cross_entropy(other(mv.Tensor(np.ones((2, 3, 32, 32), "float32"))), np.array([0, 1])).backward()
    assert all(p.grad is not None for p in other.parameters())
    assert all(p.grad is None for p in model.parameters())


def test_a_recorded_tensor_cannot_be_copied():
    """A graph is not copied in silence: GraphError names detach()."""
    with pytest.raises(GraphError, match="detach"):
        copy.deepcopy(mv.Tensor(1.0, requires_grad=True) * 2)


def test_hooks_cannot_change_shape_dtype_or_kind():
    """A hook's result of another shape is refused; of another dtype it is converted; with create_graph it is a tensor."""
    x = mv.Tensor(np.ones(2, "float32"), requires_grad=True)
    remove = x.register_hook(lambda g: np.ones((3, 2), "float32"))
    with pytest.raises(ShapeError, match=r"\(3, 2\).*\(2,\)"):
        mv.grad((x * x).sum(), [x])
    remove()
    x.register_hook(lambda g: np.array([5.0, 6.0]))
    (plain,) = mv.grad((x * x).sum(), [x])
    (recorded,) = mv.grad((x * x).sum(), [x], create_graph=True)
    assert plain.dtype == np.float32 and isinstance(recorded, mv.Tensor)
    assert plain.tolist() == recorded.data.tolist() == [5.0, 6.0]


def test_a_load_of_the_wrong_kind_changes_nothing():
    """Text for one parameter, or a fraction for a counter: refused before anything is written."""
    layer = nn.Linear(2, 1)
    before = {name: array.copy() for name, array in layer.state_dict().items()}
    with pytest.raises(CheckpointError, match="bias is <U1"):
        layer.load_state_dict({"weight": np.ones((1, 2)), "bias": np.array(["a"])})
    assert all(np.array_equal(before[name], array) for name, array in layer.state_dict().items())
    norm = nn.BatchNorm2d(1)
    with pytest.raises(CheckpointError, match="num_batches_tracked"):
        norm.load_state_dict({**norm.state_dict(), "num_batches_tracked": np.array(2.7)})


@pytest.mark.parametrize("dtype", ["int64", "flot64", "float16"])
def test_a_model_has_float32_or_float64(dtype):
    """Any other dtype is a ConfigError, and no parameter has changed."""
    layer = nn.Linear(2, 1)
    with pytest.raises(ConfigError, match="float32"):
        layer.to(dtype=dtype)
    assert layer.weight.dtype == np.float32 and layer.weight.requires_grad


def test_the_velocity_follows_a_moved_model():
    """After model.to(dtype=…) the optimiser goes on with its velocity in the new dtype."""
    layer = nn.Linear(2, 1)
    sgd = optim.SGD(layer.named_parameters(), lr=0.1)
    for dtype in ("float32", "float64"):
        layer.to(dtype=dtype)
        layer(mv.Tensor(np.ones((1, 2), dtype))).sum().backward()
        sgd.step()
    assert all(v.dtype == np.float64 for v in sgd.state_dict().values())


def test_state_dict_follows_training():
    """The arrays that state_dict() gave out are the live ones, running statistics included."""
    norm = nn.BatchNorm2d(2)
    state = norm.state_dict()
    norm(mv.Tensor(np.arange(16, dtype="float32").reshape(2, 2, 2, 2)))
    assert state["running_mean"].any() and state["num_batches_tracked"] == 1
    assert state["running_mean"] is norm.running_mean.data


def test_tensors_are_not_taken_for_numpy_arrays():
    """NumPy functions refuse a tensor with a remedy; numbers and truth come from its one element."""
    with pytest.raises(TypeError, match=r"minivgg\.ops"):
        np.concatenate([mv.Tensor([1.0])])
    assert (float(mv.Tensor(2.5)), bool(mv.Tensor([0.0])), f"{mv.Tensor(2.5):.2f}") == (2.5, False, "2.50")
    with pytest.raises(TypeError, match="ambiguous"):
        bool(mv.Tensor([1.0, 2.0]))
