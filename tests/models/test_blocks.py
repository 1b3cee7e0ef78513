"""The paper's names of layers, against tables written by hand from its Table 1 and torchvision's numbers of layers."""

from __future__ import annotations

import pytest

from minivgg import models
from minivgg.errors import ConfigError

# features.N of the convolutions, block by block, as in torchvision's vgg11, vgg16, vgg19 and vgg16_bn.
D = {
    "conv1_1": 0, "conv1_2": 2, "conv2_1": 5, "conv2_2": 7, "conv3_1": 10, "conv3_2": 12, "conv3_3": 14,
    "conv4_1": 17, "conv4_2": 19, "conv4_3": 21, "conv5_1": 24, "conv5_2": 26, "conv5_3": 28,
}  # fmt: skip
TABLES = {
    "vgg11": {"conv1_1": 0, "conv2_1": 3, "conv3_1": 6, "conv3_2": 8, "conv4_1": 11, "conv4_2": 13, "conv5_1": 16, "conv5_2": 18},
    "vgg11_lrn": {"conv1_1": 0, "conv2_1": 4, "conv3_1": 7, "conv3_2": 9, "conv4_1": 12, "conv4_2": 14, "conv5_1": 17, "conv5_2": 19},
    "vgg16": D,
    "vgg16_1x1": D,
    "vgg19": {
        "conv1_1": 0, "conv1_2": 2, "conv2_1": 5, "conv2_2": 7, "conv3_1": 10, "conv3_2": 12, "conv3_3": 14, "conv3_4": 16,
        "conv4_1": 19, "conv4_2": 21, "conv4_3": 23, "conv4_4": 25, "conv5_1": 28, "conv5_2": 30, "conv5_3": 32, "conv5_4": 34,
    },
}  # fmt: skip
FULLY = {"fc6": ("classifier.0",), "fc7": ("classifier.3",), "fc8": ("classifier.6",)}


@pytest.mark.parametrize("name", TABLES)
def test_names_are_those_of_the_papers_table(name):
    """Every convolution at its place, in order, and the three fully connected layers behind them."""
    assert models.blocks(name) == {**{block: (f"features.{n}",) for block, n in TABLES[name].items()}, **FULLY}
    assert list(models.blocks(name))[: len(TABLES[name])] == list(TABLES[name])


def test_a_batch_norm_belongs_to_the_convolution_before_it():
    """vgg16_bn of torchvision: convolutions at features 0, 3, 7, 10, 14, …, each with its batch norm behind it."""
    found = models.blocks("vgg16_bn", "linear")
    assert [found[name] for name in ("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv5_3")] == [
        (f"features.{n}", f"features.{n + 1}") for n in (0, 3, 7, 10, 14, 40)
    ]
    assert found["fc8"] == ("classifier",) and "fc6" not in found


@pytest.mark.parametrize("head", ["paper", "linear"])
@pytest.mark.parametrize("name", models.MODELS)
def test_the_names_cover_every_array_of_the_model(name, head):
    """Each array of the state is in exactly one named layer."""
    state = models.build(name, width=1 / 64, image_size=32, head=head).state_dict()
    paths = [path for modules in models.blocks(name, head).values() for path in modules]
    assert sorted(key.rsplit(".", 1)[0] for key in state if key.endswith("weight")) == sorted(paths)
    assert {key.rsplit(".", 1)[0] for key in state} == {*paths}


def test_the_shallow_network_of_each():
    """A and A-LRN start from nothing but themselves; the rest from A, with batch norm if they have it."""
    assert {name: models.shallow(name) for name in models.MODELS} == {
        "vgg11": "vgg11", "vgg11_bn": "vgg11_bn", "vgg11_lrn": "vgg11_lrn", "vgg13": "vgg11", "vgg13_bn": "vgg11_bn",
        "vgg16": "vgg11", "vgg16_bn": "vgg11_bn", "vgg16_1x1": "vgg11", "vgg16_1x1_bn": "vgg11_bn",
        "vgg19": "vgg11", "vgg19_bn": "vgg11_bn",
    }  # fmt: skip


def test_shared_layers_have_equal_shapes_by_name_and_not_by_number():
    """The trap: A's third convolution and E's third do not fit each other; conv3_1 of both does."""
    a, e = (models.build(name, width=1 / 64, image_size=32).state_dict() for name in ("vgg11", "vgg19"))
    for block in models.STAGED:
        (ours,), (theirs,) = models.blocks("vgg19")[block], models.blocks("vgg11")[block]
        assert e[f"{ours}.weight"].shape == a[f"{theirs}.weight"].shape
    third = [[key for key in state if key.startswith("features") and key.endswith("weight")][2] for state in (a, e)]
    assert a[third[0]].shape != e[third[1]].shape


def test_unknown_models_are_refused():
    """The nearest name is in the message."""
    for function in (models.blocks, models.shallow):
        with pytest.raises(ConfigError, match="did you mean vgg16"):
            function("vgg166")
