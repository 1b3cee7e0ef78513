"""Filters as a picture, and ReLUs that no image wakes, against layers run one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from minivgg.autograd import mode
from minivgg.autograd.core import Tensor
from minivgg.evaluation.inside import Silence, filters, silent_units, spread

from .answers import noise, predictor


@pytest.mark.parametrize(("name", "head"), [("vgg11", "paper"), ("vgg11_bn", "linear"), ("vgg11_lrn", "paper")])
def test_silent_units_are_those_of_layers_run_one_by_one(name: str, head: str) -> None:
    """Two planted dead channels are found, and every layer has the count that a loop over its outputs gives. No hook is left behind."""
    network = predictor(name=name, head=head)
    before = [module for _, module in network.model.named_modules()][2]  # the first convolution
    before.bias.data[[1, 3]] = -1e6
    if name == "vgg11_bn":  # takes the mean away: the planted ones are its own
        network.model.features[1].bias.data[[1, 3]] = -1e6
    found = silent_units(network, noise, list(range(20)))

    x = np.stack([np.pad(noise(k)[:, :, 0], 2) for k in range(20)])[:, None]  # (20, 1, 32, 32)
    y, expected = Tensor(((x / 255 - 0.5) / 0.25).astype(np.float32)), []
    names = iter(["conv1_1", "conv2_1", "conv3_1", "conv3_2", "conv4_1", "conv4_2", "conv5_1", "conv5_2", "fc6", "fc7"])
    head_layers = [] if head == "linear" else [(f"classifier.{i}", layer) for i, layer in enumerate(network.model.classifier)]
    with mode.no_grad():
        for path, layer in [(f"features.{i}", layer) for i, layer in enumerate(network.model.features)] + head_layers:
            y = layer(y if path.startswith("features") else y.reshape((20, -1)))
            if type(layer).__name__ == "ReLU":
                outputs = np.moveaxis(y.data, 1, 0).reshape(y.shape[1], -1)
                expected.append(Silence(next(names), path, sum(not (unit > 0).any() for unit in outputs), len(outputs)))
    assert found == expected
    assert found[0].silent >= 2 and found[0].units == 4 and found[0].share == found[0].silent / 4
    assert not any(vars(module).get("_hooks") for _, module in network.model.named_modules())


def test_images_of_several_sizes_are_watched_too() -> None:
    """Each of its own size, larger or smaller than those of training: rescaled and cut as an evaluation does."""

    def image(k: int) -> np.ndarray:
        return np.random.default_rng(k).integers(0, 256, (20 + 9 * k, 40, 1), dtype=np.uint8)

    assert len(silent_units(predictor(), image, [0, 1, 2])) == 10


def test_a_sample_is_spread_over_the_set() -> None:
    """First and last are in it, none twice, all if they are few."""
    assert spread(5, 256) == [0, 1, 2, 3, 4] and spread(1, 256) == [0]
    many = spread(50_000, 256)
    assert len(many) == 256 and (many[0], many[-1]) == (0, 49_999)
    assert {b - a for a, b in itertools.pairwise(many)} <= {196, 197}


@pytest.mark.parametrize("channels", [1, 3])
def test_each_filter_is_stretched_on_its_own(channels: int) -> None:
    """4 filters of 3×3, three in a row: every one from 0 to 255, its place and colours those of a loop; transparent elsewhere."""
    model = predictor(channels).model
    model.features[0].weight.data[2] = 0.25  # one without contrast is grey
    picture = filters(model)
    assert picture is not None and picture.shape == (7, 11, 4)
    w, seen = model.features[0].weight.data.astype(float), np.zeros((7, 11), bool)
    for k in range(4):
        top, left = 4 * (k // 3), 4 * (k % 3)
        for r in range(3):
            for s in range(3):
                for c in range(3):
                    low, high = w[k].min(), w[k].max()
                    shade = 0.5 if k == 2 else (w[k, c % channels, r, s] - low) / (high - low)
                    assert picture[top + r, left + s, c] == round(255 * shade)
                seen[top + r, left + s] = True
    assert np.array_equal(picture[:, :, 3], np.where(seen, 255, 0))


def test_filters_of_other_channels_are_no_picture() -> None:
    """Two or four channels are neither grey nor colours."""
    assert filters(predictor(2).model) is None
