"""Multiply-adds and bytes, against numbers worked by hand and against the engine's own layers."""

from __future__ import annotations

import pytest

from measuring.architecture import forward_multiply_adds, layers, training_multiply_adds
from measuring.cases import Case, cases
from measuring.job import Job
from minivgg import models

ARTICLE = Job("vgg16", 224, 8, head="paper", classes=1000)
BLOCKS = [  # VGG-16 by hand: channels in, channels out, height of the image
    (3, 64, 224), (64, 64, 224), (64, 128, 112), (128, 128, 112), (128, 256, 56), (256, 256, 56), (256, 256, 56),
    (256, 512, 28), (512, 512, 28), (512, 512, 28), (512, 512, 14), (512, 512, 14), (512, 512, 14),
]  # fmt: skip


def test_vgg16_has_15470_million_multiply_adds_for_one_image_of_224():
    """Thirteen convolutions with 15,346,630,656 and three linear layers with 123,633,664: 15.470 GMAC."""
    assert [(a.inputs, a.outputs, a.height) for a in layers(ARTICLE) if a.kind == "conv"] == BLOCKS
    convolutions = sum(9 * i * o * h * h for i, o, h in BLOCKS)
    assert convolutions == 15_346_630_656 and 25088 * 4096 + 4096 * 4096 + 4096 * 1000 == 123_633_664
    assert forward_multiply_adds(ARTICLE) == 15_346_630_656 + 123_633_664 == 15_470_264_320


def test_a_training_step_counts_three_passes_without_the_gradient_of_the_image():
    """3 · 15,470,264,320 less the first convolution's 86,704,128."""
    assert 9 * 3 * 64 * 224 * 224 == 86_704_128
    assert training_multiply_adds(ARTICLE) == 46_324_088_832


@pytest.mark.parametrize("head", ["linear", "paper"])
@pytest.mark.parametrize("name", sorted(models.MODELS))
def test_the_plan_is_the_engines_network(name, head):
    """Each name and shape of a weight, and the count of multiply-adds, are those of the model that minivgg builds."""
    job = Job(name, 64, 1, 0.1, head, 2, 7)
    model = models.build(name, num_classes=7, in_channels=2, image_size=64, width=0.1, head=head)
    shapes = {}
    for layer in layers(job):
        kernel = (layer.kernel, layer.kernel) if layer.kind == "conv" else ()
        if layer.kind in {"conv", "linear"}:
            shapes |= {f"{layer.name}.weight": (layer.outputs, layer.inputs, *kernel), f"{layer.name}.bias": (layer.outputs,)}
        elif layer.kind == "bn":
            shapes |= dict.fromkeys((f"{layer.name}.weight", f"{layer.name}.bias"), (layer.inputs,))
    assert list(shapes.items()) == [(n, p.shape) for n, p in model.named_parameters()]
    assert forward_multiply_adds(job) == model.summary((1, 2, 64, 64)).multiply_adds


def test_work_of_single_ops_by_hand():
    """Two images of 4×4: a convolution counts 2·N·C·K·9·H² once forwards and twice backwards, but once in front of the image."""
    assert Case("conv", "forward", (2, 3, 4, 5)).flops == 2 * 2 * 3 * 5 * 9 * 16 == 8640
    assert Case("conv", "backward", (2, 3, 4, 5)).flops == 8640
    assert Case("conv", "backward", (2, 4, 4, 5)).flops == 2 * 11520
    assert Case("linear", "forward", (2, 3, 5)).flops == 60 and Case("linear", "backward", (2, 3, 5)).flops == 120
    image = 2 * 3 * 4 * 4 * 4  # bytes
    assert Case("bn_relu", "forward", (2, 3, 4)).bytes == 2 * image and Case("bn_relu", "backward", (2, 3, 4)).bytes == 3 * image
    assert Case("pool", "forward", (2, 3, 4)).bytes == image + image // 4
    assert Case("sgd", "both", (10, 5)).bytes == 5 * 4 * 15 and Case("sgd", "both", (10, 5)).flops == 0


def test_cases_hold_each_shape_once_and_all_parameters():
    """VGG-16 at 32×32 has nine shapes of convolutions; SGD gets every parameter of the network."""
    found = list(cases(Job("vgg16_bn", 32, 128)))
    assert len([c for c in found if c.family == "conv" and c.phase == "forward"]) == 9
    assert len({*found}) == len(found)
    (sgd,) = (c for c in found if c.family == "sgd")
    model = models.vgg16_bn(num_classes=10, image_size=32, head="linear")
    assert list(sgd.shape) == [p.size for p in model.parameters()]
