"""Layers, losses, optimisers and what surrounds them, on a card: the numbers of the CPU in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minivgg as mv
from minivgg import models, nn, ops, optim
from minivgg.autograd import mode
from minivgg.autograd.core import Tensor, grad
from minivgg.backend.arrays import array_module, to_numpy
from minivgg.errors import DeviceError, NumericalError
from minivgg.testing import pretend

from .conftest import Card

IMAGES = np.random.default_rng(0).standard_normal((4, 4, 9, 9))
LABELS = np.array([0, 2, 1, 2])
LAYERS: dict[str, Callable[[], nn.Module]] = {
    "Conv2d": lambda: nn.Conv2d(4, 6, 3, padding=1),
    "Conv2d, strided and dilated": lambda: nn.Conv2d(4, 6, (3, 2), stride=2, padding=(1, 0), dilation=2, bias=False),
    "Conv2d, two groups": lambda: nn.Conv2d(4, 6, 3, groups=2),
    "Conv2d, 1×1": lambda: nn.Conv2d(4, 3, 1),
    "Linear": lambda: nn.Linear(9, 5),
    "Linear, no bias": lambda: nn.Linear(9, 5, bias=False),
    "BatchNorm2d": lambda: nn.BatchNorm2d(4),
    "LocalResponseNorm": lambda: nn.LocalResponseNorm(3, alpha=0.1),
    "MaxPool2d": lambda: nn.MaxPool2d(2),
    "MaxPool2d, overlapping": lambda: nn.MaxPool2d(3, 2, padding=1, ceil_mode=True),
    "AdaptiveAvgPool2d": lambda: nn.AdaptiveAvgPool2d((2, 3)),
    "ReLU": nn.ReLU,
    "Flatten": nn.Flatten,
    "Flatten, channels last": lambda: nn.Flatten(channels_last=True),
    "Affine": lambda: nn.Affine(4),
    "Dropout": lambda: nn.Dropout(0.3),
    "convolution and rectifier as one": lambda: nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.ReLU()),
    "batch norm and rectifier as one": lambda: nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5)),
    "Checkpoint": lambda: nn.Checkpoint(nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout())),
}


def results(make: Callable[[], nn.Module], device: str, training: bool) -> list[Any]:
    """y of two calls, the gradients by image and parameters of Σ y², and the state afterwards, in float64, as NumPy arrays."""
    layer = make().to(device, "float64").train(training)
    x = Tensor(IMAGES, requires_grad=True).to(device)
    waits = pretend.synchronisations
    y = layer(x)
    again = layer(x)
    (y * y).sum().backward()
    assert pretend.synchronisations == waits
    gradients = [x.grad, *(p.grad for p in layer.parameters())]
    return [to_numpy(a) for a in (y.data, again.data, *gradients, *layer.state_dict().values())]


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_gives_the_cpus_numbers(card: Card, name: str, training: bool) -> None:
    """Output, gradients, running statistics and dropout's masks, twice in a row; the host never waits."""
    expected = results(LAYERS[name], "cpu", training)
    found = results(LAYERS[name], "cuda", training)
    assert all(card.close(a, b, 1e-10) for a, b in zip(found, expected, strict=True))


def test_the_table_has_every_layer() -> None:
    """Each layer that nn exports is above, or is a loss, which has a table of its own."""
    known = {name.split(",")[0] for name in LAYERS} | {"CrossEntropyLoss", "Module", "Sequential"}
    modules = {name for name in nn.__all__ if isinstance(getattr(nn, name), type) and issubclass(getattr(nn, name), nn.Module)}
    assert modules <= known


LOSSES = {
    "mean": {},
    "sum": {"reduction": "sum"},
    "none": {"reduction": "none"},
    "smoothed": {"label_smoothing": 0.1},
    "ignoring": {"ignore_index": 2},
    "weighted": {"weight": np.array([0.5, 1.0, 2.0])},
    "all at once": {"weight": np.array([0.5, 1.0, 2.0]), "ignore_index": 1, "label_smoothing": 0.2, "reduction": "sum"},
}


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_gives_the_cpus_numbers(card: Card, name: str) -> None:
    """Cross-entropy of (N, C) and of (N, C, H, W), with its gradient; the host waits for nothing."""
    for shape in ((4, 3), (2, 3, 2, 3)):
        logits = np.random.default_rng(1).standard_normal(shape)
        targets = np.arange(logits.size // 3).reshape(shape[0], *shape[2:]) % 3
        found = []
        for device in (mv.Device("cpu"), card.device):
            loss = nn.CrossEntropyLoss(**LOSSES[name]).to(str(device))
            x, t = Tensor(device.asarray(logits), requires_grad=True), device.asarray(targets)
            waits = pretend.synchronisations
            y = loss(x, t)
            y.sum().backward()
            assert pretend.synchronisations == waits
            found.append([to_numpy(y.data), to_numpy(x.grad)])
        assert all(card.close(a, b, 1e-12) for a, b in zip(found[1], found[0], strict=True))


def test_a_label_that_is_no_class_makes_the_loss_nan(card: Card) -> None:
    """On a card it cannot be refused without waiting for it: the loss is NaN, which training notices."""
    logits = Tensor(card.device.asarray(np.zeros((2, 3))))
    assert np.isnan(ops.cross_entropy(logits, card.device.asarray(np.array([0, 3]))).item())


def vgg(device: str, **options: Any) -> Any:
    """A small network with everything in it, in float64."""
    built = models.build("vgg11_bn", num_classes=3, in_channels=4, image_size=32, width=1 / 32, **{"head": "paper", **options})
    return built.to(device, "float64")


def train(model: Any, sgd: optim.SGD, steps: range, clip: float = 0.0, schedule: Any = None) -> list[float]:
    """The losses of some steps on random images, keyed by their number."""
    losses = []
    for step in steps:
        rng = np.random.default_rng(step)
        device = mv.Device.of(model.parameters()[0].data)
        x, labels = device.asarray(rng.standard_normal((4, 4, 32, 32))), device.asarray(rng.integers(0, 3, 4))
        sgd.zero_grad()
        with mode.step(step):
            loss = ops.cross_entropy(model(Tensor(x)), labels, label_smoothing=0.1)
        loss.backward()
        if clip:
            optim.clip_grad_norm(sgd.parameters(), clip)
        if schedule is not None:
            sgd.lr = schedule.lr(step)
        sgd.step()
        losses.append(loss.item())
    return losses


def decayed(model: Any) -> Any:
    """Two groups."""
    return optim.without_decay(model.named_parameters(), 0.01)


OPTIMISERS: dict[str, tuple[Callable[[Any], optim.SGD], dict[str, Any]]] = {
    "torch": (lambda m: optim.SGD(m.named_parameters(), 0.01), {}),
    "torch, Nesterov": (lambda m: optim.SGD(m.named_parameters(), 0.01, nesterov=True), {"clip": 0.5}),
    "paper": (lambda m: optim.SGD(m.named_parameters(), 0.01, form="paper"), {"schedule": optim.Cosine(0.02, 4, 1)}),
    "paper, Nesterov": (lambda m: optim.SGD(decayed(m), 0.01, nesterov=True, form="paper"), {"schedule": optim.OneCycle(0.02, 4, 1)}),
    "plain": (lambda m: optim.SGD(m.named_parameters(), 0.01, momentum=0.0, weight_decay=0.0), {"clip": 0.1}),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_every_optimiser_trains_as_on_the_cpu(card: Card, name: str) -> None:
    """Three steps of a VGG with batch norm and dropout: losses and all states equal the CPU's to 1e-7."""
    make, options = OPTIMISERS[name]
    found: dict[str, Any] = {}
    for device in ("cpu", "cuda"):
        model = vgg(device)
        sgd = make(model)
        losses = train(model, sgd, range(3), **options)
        found[device] = losses, {**model.state_dict(), **sgd.state_dict()}
    assert found["cuda"][0] == pytest.approx(found["cpu"][0], rel=1e-9)
    for key, array in found["cpu"][1].items():
        assert card.close(found["cuda"][1][key], array, 1e-7), key


def test_a_model_moves_there_and_back(card: Card) -> None:
    """A step on the CPU, one on the card, one on the CPU: the losses of three on the CPU, the optimiser's state moves along."""
    expected = train(model := vgg("cpu"), optim.SGD(model.named_parameters(), 0.01), range(3))
    model = vgg("cpu")
    sgd = optim.SGD(model.named_parameters(), 0.01)
    losses = []
    for step, device in enumerate(("cpu", "cuda", "cpu")):
        model.to(device)
        losses += train(model, sgd, range(step, step + 1))
        arrays = {**model.state_dict(), **sgd.state_dict()}.values()
        assert {str(mv.Device.of(a)) for a in arrays} == {str(mv.Device(device))}
    assert losses == pytest.approx(expected, rel=1e-9)


def test_states_go_from_device_to_device(card: Card) -> None:
    """state_dict of one is loaded by the other, model and optimiser, without changing a bit."""
    here, there = vgg("cpu"), vgg("cuda", seed=1)
    first, second = optim.SGD(here.named_parameters(), 0.01), optim.SGD(there.named_parameters(), 0.01)
    train(here, first, range(1))
    there.load_state_dict(here.state_dict())
    second.load_state_dict(first.state_dict())
    back = vgg("cpu", seed=2)
    back.load_state_dict(there.state_dict())
    third = optim.SGD(back.named_parameters(), 0.01)
    third.load_state_dict(second.state_dict())
    states = [{**model.state_dict(), **sgd.state_dict()}.values() for model, sgd in ((here, first), (there, second), (back, third))]
    for a, b, c in zip(*states, strict=True):
        assert np.array_equal(to_numpy(b), a) and np.array_equal(c, a) and array_module(b) is card.device.xp


def test_recomputation_and_folding_change_nothing(card: Card) -> None:
    """recompute=True gives the loss and gradients of False; folded batch norm gives the outputs of evaluation."""
    losses = [train(m := vgg("cuda", recompute=recompute), optim.SGD(m.named_parameters(), 0.01), range(2)) for recompute in (False, True)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-10)
    model = vgg("cuda", head="linear").eval()
    x = Tensor(card.device.asarray(np.random.default_rng(0).standard_normal((2, 4, 32, 32))))
    with mv.no_grad():
        expected = to_numpy(model(x).data)
        assert card.close(nn.fold_batch_norm(model)(x).data, expected, 1e-10)


def test_functional_call_hooks_and_second_derivatives(card: Card) -> None:
    """A parameter stands in for another, a hook replaces an output, a gradient is differentiated: all on the card."""
    found = []
    for device in ("cpu", "cuda"):
        layer = nn.Sequential(nn.Conv2d(4, 2, 3), nn.BatchNorm2d(2), nn.ReLU()).to(device, "float64")
        remove = layer.register_forward_hook(lambda module, inputs, y: y * 2.0)
        x = Tensor(IMAGES).to(device)
        w = Tensor(np.random.default_rng(2).standard_normal((2, 4, 3, 3)), requires_grad=True).to(device)
        y = nn.functional_call(layer, {"0.weight": w}, x)
        (gw,) = grad((y * y * y).sum(), [w], create_graph=True)
        (ggw,) = grad((gw * gw).sum(), [w])
        remove()
        found.append([to_numpy(a) for a in (y.data, gw.data, ggw, layer(x).data)])
    assert all(card.close(a, b, 1e-9) for a, b in zip(found[1], found[0], strict=True))


def test_the_first_nan_is_named_on_a_card(card: Card) -> None:
    """check_finite names op and layer of a planted Inf, forwards; the message is the CPU's."""
    messages = []
    for device in ("cpu", "cuda"):
        layer = nn.Sequential(nn.Conv2d(4, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(98, 2)).to(device)
        layer.load_state_dict({**layer.state_dict(), "3.bias": np.array([np.inf, 0.0], np.float32)})
        with pytest.raises(NumericalError) as caught, mode.check_finite():
            layer(Tensor(IMAGES.astype(np.float32)).to(device))
        messages.append((str(caught.value), *caught.value.__notes__))
    assert messages[0] == messages[1] and "Linear" in messages[0][1]


def test_two_devices_do_not_mix(card: Card) -> None:
    """An image on the host and weights on the card: DeviceError, which says what to do."""
    with pytest.raises(DeviceError, match=r'to\("cuda"\)'):
        nn.Linear(9, 2).to("cuda")(Tensor(np.ones((1, 9), np.float32)))
