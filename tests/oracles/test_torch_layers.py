"""Layers against PyTorch's: names and state, values, gradients by input and parameters, running statistics."""

from __future__ import annotations

import numpy as np
import pytest

import minivgg as mv
from minivgg import nn

torch = pytest.importorskip("torch", reason="PyTorch is not installed: run scripts/oracles")

IMAGES = (3, 4, 7, 6)
LAYERS = {
    "Conv2d": (nn.Conv2d(4, 6, 3, padding=1), torch.nn.Conv2d(4, 6, 3, padding=1), IMAGES),
    "Conv2d, all options": (
        nn.Conv2d(4, 6, (3, 2), 2, (2, 1), (1, 2), 2, bias=False),
        torch.nn.Conv2d(4, 6, (3, 2), 2, (2, 1), (1, 2), 2, bias=False),
        IMAGES,
    ),
    "Linear": (nn.Linear(5, 3), torch.nn.Linear(5, 3), (4, 5)),
    "Linear without bias": (nn.Linear(5, 3, bias=False), torch.nn.Linear(5, 3, bias=False), (4, 2, 5)),
    "BatchNorm2d": (nn.BatchNorm2d(4), torch.nn.BatchNorm2d(4), IMAGES),
    "ReLU": (nn.ReLU(), torch.nn.ReLU(), IMAGES),
    "Flatten": (nn.Flatten(), torch.nn.Flatten(), IMAGES),
    "MaxPool2d": (nn.MaxPool2d(2), torch.nn.MaxPool2d(2), IMAGES),
    "MaxPool2d, all options": (nn.MaxPool2d(3, 2, 1, ceil_mode=True), torch.nn.MaxPool2d(3, 2, 1, ceil_mode=True), IMAGES),
    "AdaptiveAvgPool2d": (nn.AdaptiveAvgPool2d((2, 3)), torch.nn.AdaptiveAvgPool2d((2, 3)), IMAGES),
    "LocalResponseNorm": (nn.LocalResponseNorm(3, 0.1, 0.75, 2.0, True), torch.nn.LocalResponseNorm(3, 0.1, 0.75, 2.0), IMAGES),
    "Dropout of nothing": (nn.Dropout(0.0), torch.nn.Dropout(0.0), IMAGES),
    "Sequential": (
        nn.Sequential(nn.Conv2d(4, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 2)),
        torch.nn.Sequential(
            torch.nn.Conv2d(4, 3, 3),
            torch.nn.BatchNorm2d(3),
            torch.nn.ReLU(),
            torch.nn.MaxPool2d(2),
            torch.nn.Flatten(),
            torch.nn.Linear(12, 2),
        ),
        IMAGES,
    ),
}
every_layer = pytest.mark.parametrize(("ours", "theirs", "shape"), LAYERS.values(), ids=LAYERS)


def copy_random_state(ours, theirs, rng):
    """Give torch's layer random float64 parameters and statistics, and ours the same by name."""
    theirs.to(torch.float64)
    for name, value in theirs.state_dict().items():
        if value.dtype == torch.float64:
            value.copy_(torch.tensor(rng.uniform(0.5, 2.0, value.shape) if "var" in name else rng.standard_normal(value.shape)))
    ours.to(dtype="float64").load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    ours.zero_grad()
    theirs.zero_grad()


@every_layer
def test_layers_have_torchs_names(ours, theirs, shape):
    """Parameters and buffers: names, order and shapes."""
    assert [(name, value.shape) for name, value in ours.state_dict().items()] == [
        (name, tuple(value.shape)) for name, value in theirs.state_dict().items()
    ]
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()]
    assert [name for name, _ in ours.named_modules()] == [name for name, _ in theirs.named_modules()]


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@every_layer
def test_layer(compare, rng, ours, theirs, shape, training):
    """Value, gradients accumulated by backward(), and the state afterwards."""
    copy_random_state(ours, theirs, rng)
    ours.train(training)
    theirs.train(training)
    x = rng.standard_normal(shape)
    a, b = mv.Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, z = ours(a), theirs(b)
    compare("forward", y, z)
    gy = rng.standard_normal(z.shape)
    y.backward(gy)
    z.backward(torch.tensor(gy))
    compare("gradient", a.grad, b.grad)
    compare("gradient", [p.grad for p in ours.parameters()], [p.grad for p in theirs.parameters()])
    for name, value in theirs.state_dict().items():
        compare("forward", ours.state_dict()[name].astype("float64"), value.to(torch.float64))


@pytest.mark.parametrize("momentum", [0.1, 0.7, 0.0, 1.0])
@pytest.mark.parametrize("shape", [(4, 3, 5, 2), (2, 3, 1, 1)], ids=str)
def test_running_statistics_after_several_batches(compare, rng, shape, momentum):
    """Their mixture uses the unbiased variance; evaluation then uses them."""
    ours, theirs = nn.BatchNorm2d(3, eps=1e-3, momentum=momentum), torch.nn.BatchNorm2d(3, eps=1e-3, momentum=momentum)
    copy_random_state(ours, theirs, rng)
    for _ in range(5):
        x = rng.standard_normal(shape) * 3 + 1
        compare("forward", ours(mv.Tensor(x)), theirs(torch.tensor(x)))
    compare("forward", ours.running_mean, theirs.running_mean)
    compare("forward", ours.running_var, theirs.running_var)
    assert ours.num_batches_tracked.item() == theirs.num_batches_tracked.item() == 5
    compare("forward", ours.eval()(mv.Tensor(x)), theirs.eval()(torch.tensor(x)))


def test_dropout_in_evaluation_does_nothing(compare, rng):
    """Both return the input."""
    x = rng.standard_normal((3, 4))
    compare("forward", nn.Dropout(0.5).eval()(mv.Tensor(x)), torch.nn.Dropout(0.5).eval()(torch.tensor(x)))


def test_parameters_used_twice_are_listed_once():
    """One layer under two names."""
    layer, twin = nn.Linear(2, 2), torch.nn.Linear(2, 2)
    ours, theirs = nn.Sequential(layer, layer), torch.nn.Sequential(twin, twin)
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()] == ["0.weight", "0.bias"]


def test_gradients_accumulate_over_two_batches(compare, rng):
    """A second backward() adds to `.grad`, as torch's does."""
    ours, theirs, shape = LAYERS["Sequential"]
    copy_random_state(ours, theirs, rng)
    for _ in range(2):
        x = rng.standard_normal(shape)
        gy = rng.standard_normal((shape[0], 2))
        ours.train()(mv.Tensor(x)).backward(gy)
        theirs.train()(torch.tensor(x)).backward(torch.tensor(gy))
    compare("gradient", [np.asarray(p.grad) for p in ours.parameters()], [p.grad for p in theirs.parameters()])
