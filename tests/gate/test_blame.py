"""`blame` names the wrong rule of a miniature VGG, and the layers in which it shows; of right rules it names none."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

from minivgg import Tensor, models, ops
from minivgg.autograd import mode
from minivgg.testing import blame

from .catalogue import CATALOGUE
from .planting import in_place

# network: planted rules, each with a layer in which it must show ("": outside any layer)
PLANTED = {
    "vgg11": {
        "relu_lets_everything_through": "features.0",
        "fused_conv_gives_the_bias_everything": "features.0",
        "conv_turns_the_filter_once_more": "features.3",
        "conv_divides_by_the_batch": "features.0",
        "conv_sums_the_bias_over_one_image": "features.0",
        "max_pool_numbers_the_taps_down_the_columns": "features.2",
        "linear_divides_by_the_batch": "classifier.0",
        "linear_averages_the_bias": "classifier.0",
        "linear_cuts_w": "classifier.3",
        "dropout_forgets_the_mask": "classifier.2",
        "cross_entropy_divides_by_the_batch": "",
        "sum_cuts_gy": "",
    },
    "vgg11_bn": {
        "batch_norm_forgets_the_mean": "features.1",
        "batch_norm_multiplies_by_x": "features.1",
        "batch_norm_averages_the_shift": "features.1",
        "fused_norm_forgets_the_rectifier": "features.1",
    },
    "vgg11_lrn": {"lrn_forgets_its_neighbours": "features.2"},
}
CASES = [pytest.param(network, name, layer, id=f"{network}-{name}") for network, rules in PLANTED.items() for name, layer in rules.items()]


@functools.cache
def loss_of(network: str) -> Any:
    """A function that computes the loss of a random batch of two, in float64: one channel in the first layer, or four."""
    width = 4 / 64 if network == "vgg11_lrn" else 1 / 64
    model = models.build(network, num_classes=3, in_channels=1, image_size=32, width=width, head="paper")
    model.to(dtype="float64")
    images = np.random.default_rng(0).standard_normal((2, 1, 32, 32))

    def loss() -> Any:
        with mode.step(0):
            return ops.cross_entropy(model(Tensor(images, requires_grad=True)), np.array([2, 0]))

    return loss


@pytest.mark.parametrize(("network", "name", "layer"), CASES)
def test_blame_names_the_planted_rule(network: str, name: str, layer: str) -> None:
    """Exactly the planted rule is named, and the layer that was to be expected is among its calls."""
    (entry,) = [entry for entry in CATALOGUE if entry.name == name]
    with in_place(entry):
        report = blame(loss_of(network), order=2 if "cuts" in name else 1, coordinates=2, directions=1)
    assert list(report.culprits) == [entry.rule]
    assert layer in {suspect.layer for suspect in report.culprits[entry.rule]}


@pytest.mark.parametrize("network", sorted(PLANTED))
def test_blame_is_silent_about_right_rules(network: str) -> None:
    """The same networks without a planted bug: every op was checked, none is named."""
    report = blame(loss_of(network), coordinates=2, directions=1)
    assert not report.culprits
    assert report.ok, str(report)
