"""Grad-CAM: the closed form of a pooling head, finite differences for others, a model that is left as it was; and the colours of heat."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import minivgg as mv
from minivgg import models, nn
from minivgg.autograd import mode
from minivgg.backend.device import Device
from minivgg.errors import ConfigError, ShapeError
from minivgg.evaluation.gradcam import grad_cam, maps_of
from minivgg.evaluation.heat import colours, overlay
from minivgg.testing import pretend as gpu


def vgg(name: str = "vgg11", **options: Any) -> Any:
    """A small one in float64 with biases, in evaluation."""
    model = models.build(name, **{"num_classes": 4, "image_size": 64, "width": 1 / 32, **options}).to(dtype="float64").eval()
    rng = np.random.default_rng(0)
    for parameter in model.parameters():
        parameter.data += 0.05 * rng.standard_normal(parameter.shape)
    for _, buffer in model.named_buffers():
        if buffer.ndim:
            buffer.data += rng.uniform(0, 0.3, buffer.shape)
    return model


def noise(count: int = 3, channels: int = 3, size: int = 64) -> np.ndarray:
    """Images float64 (count, channels, size, size)."""
    return np.random.default_rng(1).standard_normal((count, channels, size, size))


def test_pooling_head_gives_class_activation_maps() -> None:
    """Of the map that global pooling takes the evidence is relu(Σ_k w_ck A_k)/Z, and the sum without the cut is the score without bias."""
    model = vgg(head="linear")
    found = grad_cam(model, noise(), layer="features.20")
    with mv.no_grad():
        a = model.features(mv.Tensor(noise())).data  # (3, 16, 2, 2)
    w, b = model.classifier.weight.data[found.classes], model.classifier.bias.data[found.classes]
    summed = (w[:, :, None, None] * a).sum(1) / 4
    assert np.abs(found.maps - np.maximum(summed, 0)).max() <= 1e-12 * found.maps.max()
    assert summed.sum((1, 2)) == pytest.approx(found.scores[range(3), found.classes] - b, rel=1e-12)


def by_differences(a: np.ndarray, rest: Callable[[mv.Tensor], mv.Tensor], classes: np.ndarray) -> np.ndarray:
    """The maps with α_k from raising the whole of channel k a little, and lowering it: (s(A + ε·1_k) − s(A − ε·1_k)) / (2ε·Z)."""
    step, alpha = 1e-6, np.zeros(a.shape[:2])
    with mv.no_grad():
        for k in range(a.shape[1]):
            moved = np.zeros((1, a.shape[1], 1, 1))
            moved[0, k] = step
            up, down = (rest(mv.Tensor(a + sign * moved)).data[range(len(a)), classes] for sign in (1, -1))
            alpha[:, k] = (up - down) / (2 * step * a.shape[2] * a.shape[3])
    return np.maximum((alpha[:, :, None, None] * a).sum(1), 0)


@pytest.mark.parametrize(("name", "layer", "end"), [("vgg11", "", 20), ("vgg11_bn", "conv4_2", 21), ("vgg11_bn", "features.12", 13)])
def test_paper_head_agrees_with_finite_differences(name: str, layer: str, end: int) -> None:
    """Behind the last ReLU, behind the batch norm and ReLU of an early convolution, and behind a batch norm alone."""
    model = vgg(name)

    def rest(x: mv.Tensor) -> mv.Tensor:
        for module in [*list(model.features)[end:], model.avgpool]:
            x = module(x)
        return model.classifier(x.reshape((x.shape[0], -1)))

    found = grad_cam(model, noise(), [1, 0, 3], layer)
    with mv.no_grad():
        a = model.features[:end](mv.Tensor(noise())).data
    expected = by_differences(a, rest, np.array([1, 0, 3]))
    assert expected.max() > 0 and np.abs(found.maps - expected).max() < 1e-6 * expected.max()
    assert found.layer == (layer or "conv5_2")


def chain() -> Any:
    """A network from a file, say: its layers' names, places before channels, a scale and shift in its head."""
    layers = [
        nn.Layer("conv2d", "eyes", {"padding": 1}), nn.Layer("relu", "lids"), nn.Layer("max_pool", "squint", {"kernel_size": 2}),
        nn.Layer("flatten", "line", {"channels_last": True}), nn.Layer("linear", "first"), nn.Layer("relu", "second"),
        nn.Layer("affine", "third"), nn.Layer("linear", "last"),
    ]  # fmt: skip
    shapes = {"eyes.weight": (5, 2, 3, 3), "eyes.bias": (5,), "first.weight": (7, 5 * 9), "first.bias": (7,)}
    shapes |= {"third.weight": (7,), "third.bias": (7,), "last.weight": (3, 7)}
    made, rng = nn.build_chain(layers, shapes).to(dtype="float64"), np.random.default_rng(2)
    made.load_state_dict({key: rng.standard_normal(array.shape) for key, array in made.state_dict().items()})
    return made


def test_a_chain_is_explained_at_its_last_relu_before_flattening() -> None:
    """Not at the ReLU of its head; the map's weights are those of finite differences, and other layers are found by their own names."""
    model, x = chain().eval(), noise(2, 2, 6)
    found = grad_cam(model, x, 2)
    with mv.no_grad():
        a = model.lids(model.eyes(mv.Tensor(x))).data
    expected = by_differences(a, model[2:], np.array([2, 2]))
    assert found.layer == "lids" and np.abs(found.maps - expected).max() < 1e-6 * expected.max()
    assert list(maps_of(model)) == ["eyes", "lids", "squint"]


def test_default_is_the_last_relu_whose_map_has_places() -> None:
    """conv5_3 at 64 pixels; at 32, where it has 2×2 cells, conv4_3; and never a fully connected layer made a convolution, of one cell."""
    assert grad_cam(vgg("vgg16"), noise(1)).layer == "conv5_3"
    assert grad_cam(vgg("vgg16"), noise(1, size=32)).layer == "conv4_3"
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.Conv2d(4, 8, 7), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)
    )
    assert grad_cam(model, noise(1, size=15).astype(np.float32)).layer == "1"


def test_names_are_the_papers_and_paths() -> None:
    """A name of the paper means what comes behind its batch norm and ReLU."""
    assert maps_of(vgg("vgg16"))["conv5_3"] == "features.29" and maps_of(vgg("vgg16_bn"))["conv5_3"] == "features.42"
    assert maps_of(vgg("vgg11_lrn"))["features.2"] == "features.2" and "fc6" not in maps_of(vgg())


def test_each_image_is_explained_on_its_own() -> None:
    """By default its most probable class; in a batch of three as alone; and grey images too."""
    model = vgg("vgg11_bn", in_channels=1)
    model.classifier[6].bias.data -= grad_cam(model, noise(channels=1)).scores.mean(0)
    model.train()
    together = grad_cam(model, noise(channels=1))
    assert np.array_equal(together.classes, together.scores.argmax(1)) and len(set(together.classes.tolist())) > 1
    with mv.no_grad():
        assert np.allclose(together.scores, model.eval()(mv.Tensor(noise(channels=1))).data, rtol=1e-12)
    for k in range(3):
        alone = grad_cam(model, noise(channels=1)[k : k + 1], int(together.classes[k]))
        assert np.allclose(alone.maps[0], together.maps[k], rtol=1e-10, atol=1e-12 * together.maps.max())


def test_the_model_is_left_as_it_was() -> None:
    """Parameters, statistics, gradients, modes, counters and hooks; frozen parameters and recomputation change nothing in the map."""
    model = vgg("vgg11_bn")
    expected = grad_cam(model, noise())
    model.train()
    model.features[4].training = False
    model.classifier[6].weight.grad = kept = np.ones(model.classifier[6].weight.shape)
    for parameter in model.parameters()[::2]:
        parameter.requires_grad = False
    before = {key: array.copy() for key, array in model.state_dict().items()}
    modes = [module.training for _, module in model.named_modules()]
    for _ in range(2):
        assert np.array_equal(grad_cam(model, noise()).maps, expected.maps)
    assert all(np.array_equal(array, before[key]) for key, array in model.state_dict().items())
    assert [module.training for _, module in model.named_modules()] == modes
    assert [p.requires_grad for p in model.parameters()] == [bool(k % 2) for k in range(len(model.parameters()))]
    assert model.classifier[6].weight.grad is kept and sum(p.grad is not None for p in model.parameters()) == 1
    assert not any(vars(module).get("_hooks") for _, module in model.named_modules()) and model.classifier[2].calls == 0
    again = vgg("vgg11_bn", recompute=True)
    assert np.array_equal(grad_cam(again, noise()).maps, expected.maps)


def test_nothing_is_recorded_before_the_layer() -> None:
    """Behind the last ReLU no convolution enters the graph, within no_grad() neither."""
    recorded: list[str] = []
    with mode.observe(lambda node, inputs, y: recorded.append(type(node.op).__name__)), mv.no_grad():
        grad_cam(vgg("vgg16"), noise(1), layer="conv5_3")
    assert recorded[0] == "MaxPool2d" and not any(name.startswith(("Conv", "BatchNorm")) for name in recorded)
    assert mode.state.recording


def test_a_card_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the pretend GPU, which refuses host arrays among its own: the host's maps."""
    monkeypatch.setattr(Device, "use", lambda self: nullcontext())
    model = vgg("vgg11_bn")
    expected = grad_cam(model, noise())
    for tensor in [*model.parameters(), *(buffer for _, buffer in model.named_buffers())]:
        tensor.data = gpu.pretend(tensor.data)
    found = grad_cam(model, gpu.pretend(noise()))
    assert isinstance(found.maps, np.ndarray) and np.allclose(found.maps, expected.maps, rtol=1e-9, atol=1e-12)


def test_what_cannot_be_explained_is_refused() -> None:
    """Layers that are unknown or give no map, with the nearest name; classes out of range; scores for places; other modules."""
    for layer, hint in (("conv6_1", "did you mean conv"), ("fc7", "Valid: avgpool"), ("classifier.0", "gives a map")):
        with pytest.raises(ConfigError, match=hint):
            grad_cam(vgg(), noise(), layer=layer)
    for classes in (4, -1, [0, 1], [0, 1, 4], 1.0):
        with pytest.raises(ConfigError, match=r"0\.\.3"):
            grad_cam(vgg(), noise(), classes)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="scores"):
        grad_cam(models.dense(vgg(image_size=32)), noise(), layer="features.1")
    with pytest.raises(ConfigError, match="no layer of a chain"):
        grad_cam(nn.Module(), noise())
    with pytest.raises(ConfigError, match="neither a ReLU nor a convolution"):
        grad_cam(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), noise(1, 3, 2))


def test_the_colours_get_lighter_evenly() -> None:
    """The lightness of CIELAB, computed back from sRGB, rises from 35 to 90 along a line, within 3."""
    rgb = colours() / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    y = linear @ (0.2126, 0.7152, 0.0722)
    lightness = 116 * np.cbrt(y) - 16
    assert np.abs(lightness - np.linspace(35, 90, 256)).max() < 3 and (np.diff(lightness) > -0.5).all()


def test_heat_lies_where_the_map_is() -> None:
    """Over its largest cell the last colour; where the map is 0 the image as it was, and of a map of zeros all of it; grey becomes RGB."""
    image = np.full((40, 40, 1), 100, np.uint8)
    cells = np.zeros((4, 4))
    cells[0, 0] = 1e-9
    found = overlay(image, cells)
    assert np.array_equal(found[0, 0], np.rint(0.4 * 100 + 0.6 * colours()[255])) and (found[16:] == 100).all()
    assert np.array_equal(overlay(image, np.zeros((4, 4))), image.repeat(3, 2))
