"""The eleven networks: the paper's counts, torchvision's names, shapes, heads, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import minivgg as mv
from minivgg import models, nn
from minivgg.errors import ConfigError, ShapeError

# (parameters without batch norm, with it, GMAC at 224×224 for one image), 1000 classes
TABLE = {
    "vgg11": (132_863_336, 132_868_840, "7.609"),
    "vgg11_lrn": (132_863_336, None, "7.609"),
    "vgg13": (133_047_848, 133_053_736, "11.308"),
    "vgg16_1x1": (133_638_952, 133_647_400, "11.771"),
    "vgg16": (138_357_544, 138_365_992, "15.470"),
    "vgg19": (143_667_240, 143_678_248, "19.632"),
}
COUNTS = {name: (count, gmac) for name, (count, _, gmac) in TABLE.items()}
COUNTS |= {f"{name}_bn": (count, gmac) for name, (_, count, gmac) in TABLE.items() if count}


def zeros(rng, shape):
    """Weights without drawing them, and without touching the memory."""
    return np.zeros(shape, "float32")


def thin(name, **options):
    """A model of a thirty-second of the width for images of 32×32."""
    return models.build(name, **{"num_classes": 4, "image_size": 32, "width": 1 / 32, **options})


def test_there_are_eleven():
    """Six columns of the table, five of them with batch norm; each is a function of the package."""
    assert sorted(models.MODELS) == sorted(COUNTS) and len(COUNTS) == 11
    assert all(getattr(models, name) is models.MODELS[name] and getattr(models, name).__name__ == name for name in COUNTS)


@pytest.mark.parametrize("name", COUNTS)
def test_full_size_parameters_and_multiply_adds_equal_the_table(name, monkeypatch):
    """Built at full size: the exact number of parameters, and GMAC at 224×224 to three decimals.

    The layers' arithmetic is left out (their outputs are zeros of the shape that the arithmetic would give), and the
    shapes of convolutions are the paper's: 3×3 with padding 1 and 1×1 keep the image's size.
    """
    monkeypatch.setattr(nn.Conv2d, "forward", lambda self, x: np.broadcast_to(np.float32(0), (x.shape[0], self.out_channels, *x.shape[2:])))
    monkeypatch.setattr(nn.Linear, "forward", lambda self, x: np.zeros((x.shape[0], self.out_features), "float32"))
    for layer in (nn.BatchNorm2d, nn.ReLU, nn.LocalResponseNorm):
        monkeypatch.setattr(layer, "forward", lambda self, x: x)
    monkeypatch.setattr(nn.MaxPool2d, "forward", lambda self, x: x[:, :, ::2, ::2])
    model = models.build(name, init=zeros)
    parameters, gmac = COUNTS[name]
    assert sum(parameter.size for parameter in model.parameters()) == parameters
    table = model.summary((1, 3, 224, 224))
    assert table.parameters == parameters and table.rows[-1].shape == (1, 1000)
    assert f"{table.multiply_adds / 1e9:.3f}" == gmac


@pytest.mark.parametrize("name", COUNTS)
def test_output_shapes_and_gradients_at_32(name):
    """Every network runs on 32×32 images in training and evaluation, and every parameter gets a finite gradient."""
    model = thin(name, head="linear")
    x = np.random.default_rng(0).standard_normal((3, 3, 32, 32)).astype("float32")
    y = model(x)
    assert y.shape == (3, 4) and y.dtype == np.float32 and model.eval()(x).shape == (3, 4)
    y.sum().backward()
    assert all(np.isfinite(parameter.grad).all() and parameter.grad.shape == parameter.shape for parameter in model.parameters())


def test_multiply_adds_of_a_real_run_agree_with_the_formula():
    """VGG-11 at full width really run on one 32×32 image: conv GMAC is 1/49 of that at 224, to the unit."""
    model = models.vgg11(num_classes=10, image_size=32, head="linear", init=zeros)
    table = model.summary((1, 3, 32, 32))
    sizes = [(3, 64, 32), (64, 128, 16), (128, 256, 8), (256, 256, 8), (256, 512, 4), (512, 512, 4), (512, 512, 2), (512, 512, 2)]
    assert table.multiply_adds == sum(c * k * 9 * s * s for c, k, s in sizes) + 5120


CONVOLUTIONS = {  # index of each convolution in torchvision's `features`
    "vgg11": (0, 3, 6, 8, 11, 13, 16, 18),
    "vgg16_bn": (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40),
}
CHANNELS = {"vgg11": (64, 128, 256, 256, 512, 512, 512, 512), "vgg16_bn": (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_names_and_shapes_are_torchvisions(name):
    """The state dict has torchvision's keys in torchvision's order with its shapes, counters included."""
    expected, before = [], 3
    for i, channels in zip(CONVOLUTIONS[name], CHANNELS[name], strict=True):
        expected += [(f"features.{i}.weight", (channels, before, 3, 3)), (f"features.{i}.bias", (channels,))]
        if name.endswith("_bn"):
            expected += [(f"features.{i + 1}.{part}", (channels,)) for part in ("weight", "bias", "running_mean", "running_var")]
            expected.append((f"features.{i + 1}.num_batches_tracked", ()))
        before = channels
    for i, shape in [(0, (4096, 25088)), (3, (4096, 4096)), (6, (1000, 4096))]:
        expected += [(f"classifier.{i}.weight", shape), (f"classifier.{i}.bias", shape[:1])]
    model = models.build(name, init=zeros)
    assert [(key, array.shape) for key, array in model.state_dict().items()] == expected
    if name.endswith("_bn"):
        assert model.state_dict()["features.1.num_batches_tracked"].dtype == np.int64


def test_the_layers_of_the_columns_are_the_papers():
    """C has three 1×1 convolutions without padding, A-LRN its normalisation behind the first ReLU, all have five pools."""
    kernels = [m.kernel_size[0] for m in thin("vgg16_1x1").features if isinstance(m, nn.Conv2d)]
    assert kernels == [3, 3, 3, 3, 3, 3, 1, 3, 3, 1, 3, 3, 1]
    assert [type(m).__name__ for m in thin("vgg11_lrn").features][:5] == ["Conv2d", "ReLU", "LocalResponseNorm", "MaxPool2d", "Conv2d"]
    depths = {"vgg11": 8, "vgg11_lrn": 8, "vgg13": 10, "vgg16_1x1": 13, "vgg16": 13, "vgg19": 16}
    for name in COUNTS:
        kinds = [type(m).__name__ for m in thin(name).features]
        assert kinds.count("MaxPool2d") == 5 and kinds.count("Conv2d") == depths[name.removesuffix("_bn")] == kinds.count("ReLU")
        assert kinds.count("BatchNorm2d") == (kinds.count("Conv2d") if name.endswith("_bn") else 0)
        assert all(
            (m.kernel_size == (3, 3) and m.padding == (1, 1)) or m.padding == (0, 0)
            for m in thin(name).features
            if isinstance(m, nn.Conv2d)
        )


@pytest.mark.parametrize(("image_size", "cells"), [(32, 1), (63, 1), (64, 2), (96, 3), (224, 7)])
def test_the_papers_head_pools_to_a_cell_per_32_pixels(image_size, cells):
    """(image_size // 32)² cells: 64 has 4, 224 has 49; the first FC layer takes 512·that at full width."""
    model = thin("vgg11", image_size=image_size)
    assert model.avgpool.output_size == (cells, cells) and model.classifier[0].in_features == 16 * cells**2
    assert [type(m).__name__ for m in model.classifier] == ["Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout", "Linear"]
    assert {m.p for m in model.classifier if isinstance(m, nn.Dropout)} == {0.5}
    assert model.classifier[0].out_features == model.classifier[3].in_features == 128 and model.classifier[6].out_features == 4


@pytest.mark.parametrize("size", [(32, 32), (40, 70), (64, 96), (33, 200)])
@pytest.mark.parametrize("head", ["paper", "linear"])
def test_images_of_other_sizes_pass_the_adaptive_pool(head, size):
    """A model for 64×64 takes any image of at least 32×32."""
    assert thin("vgg11", image_size=64, head=head)(np.zeros((2, 3, *size), "float32")).shape == (2, 4)


def test_the_linear_head_is_one_layer_behind_global_pooling():
    """Its logits are the mean over the last feature map times the weights."""
    model = thin("vgg11", head="linear").eval()
    x = np.random.default_rng(0).standard_normal((2, 3, 64, 64)).astype("float32")
    features = model.features(x).data
    expected = features.mean((2, 3)) @ model.classifier.weight.data.T + model.classifier.bias.data
    np.testing.assert_allclose(model(x).data, expected, rtol=1e-4, atol=1e-6)


def test_width_scales_channels_and_hidden_units():
    """Half the width has half the channels everywhere, but not fewer classes; no layer vanishes."""
    model = models.vgg11(num_classes=10, image_size=32, width=0.5, init=zeros)
    assert [m.out_channels for m in model.features if isinstance(m, nn.Conv2d)] == [32, 64, 128, 128, 256, 256, 256, 256]
    assert model.classifier[0].weight.shape == (2048, 256) and model.classifier[6].weight.shape == (10, 2048)
    assert thin("vgg11", width=1e-3).features[0].out_channels == 1


def test_grey_images_and_other_channels():
    """in_channels=1 makes the first filter one channel deep."""
    assert thin("vgg11", in_channels=1, head="linear")(np.zeros((1, 1, 32, 32), "float32")).shape == (1, 4)


def test_parameters_know_their_names():
    """For messages about them: each parameter carries its path."""
    assert all(parameter.name == name for name, parameter in thin("vgg11_bn").named_parameters())


IMAGE = np.zeros((2, 3, 32, 32), "float32")


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            IMAGE[:, :, :28, :28],
            r"^vgg11_bn halves the image five times, so it needs at least 32×32; the batch is 28×28\. "
            r"Pad it \(--image-size 32, data\.Pad\(2\)\) or rescale it\.$",
        ),
        (IMAGE[:, :, :31], r"the batch is 31×32.*Pad\(1\)"),
        (
            IMAGE[:, :1],
            r"^features\.0 expects 3 input channels, but the batch \(2, 1, 32, 32\) has 1 \(grey images\)\. "
            r"Build the model with in_channels=1, or load the images as RGB\.$",
        ),
        (IMAGE[0], r"shape \(3, 32, 32\).*\(N, C, H, W\)"),
        (
            IMAGE.astype("float64"),
            r"^features\.0: the batch is float64 and the filters are float32.*x\.to\(dtype='float32'\), or the model: model\.to\(dtype='float64'\)",  # noqa: E501
        ),
        (IMAGE.astype("uint8"), r"^features\.0: the batch is uint8"),
    ],
)
def test_batches_that_do_not_fit_are_refused(x, message):
    """Too small, grey, unbatched, of another dtype: the message does the algebra and names layer and remedy."""
    model = thin("vgg11_bn", head="linear")
    with pytest.raises(ShapeError, match=message):
        model(x)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("vgg12", {}, r'unknown model "vgg12": did you mean vgg1'),
        ("vgg16bn", {}, r"did you mean vgg16_bn\?"),
        ("vgg11", {"head": "fc"}, r"head must be \"paper\".*\"linear\".*'fc'"),
        ("vgg11", {"image_size": 28}, r"image_size must be at least 32.*28"),
        ("vgg11", {"width": 0.0}, r"width in \(0, 10000\].*0\.0"),
        ("vgg11", {"width": float("nan")}, r"width in \(0, 10000\].*nan"),
        ("vgg11", {"num_classes": 0}, r"num_classes must be a whole number in 1..1,048,576, but is 0"),
        ("vgg11", {"in_channels": "3"}, r"in_channels.*'3'"),
        ("vgg11", {"init": "xavier"}, r'unknown initialiser "xavier".*Valid: glorot, he, paper'),
    ],
)
def test_impossible_models_are_refused(name, options, message):
    """ConfigError names the argument, its value and what is valid."""
    with pytest.raises(ConfigError, match=message):
        models.build(name, **options)


def test_he_initialisation_keeps_the_signal():
    """At He's gain the logits of a deep net are neither dead nor exploding: deviation between 0.05 and 20 for E."""
    model = models.vgg19(num_classes=10, image_size=32, width=1 / 8, head="linear").eval()
    with mv.no_grad():
        logits = model(np.random.default_rng(0).standard_normal((4, 3, 32, 32)).astype("float32")).data
    assert 0.05 < logits.std() < 20


def test_the_papers_deviation_is_a_number_of_its_own():
    """init_std scales every weight of init "paper", to the bit where it is a power of two, and no other initialiser's."""
    for init, factor in (("paper", 2.0), ("he", 1.0)):
        usual, wider = (models.vgg11(width=1 / 16, image_size=32, init=init, init_std=std).state_dict() for std in (0.01, 0.02))
        assert all((wider[name] == factor * usual[name]).all() for name in usual if name.endswith("weight"))
