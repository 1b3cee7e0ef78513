"""Random networks and model configurations: they build, their loss is finite, their gradients hold, they shrink and print."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import find, given, settings

from minivgg import models
from minivgg.testing import check_gradients
from minivgg.testing.strategies import Network, networks, vgg_configurations


def names(network: Network) -> list[str]:
    """The layers' classes."""
    return [layer.name for layer in network.layers]


@settings(max_examples=40)
@given(networks())
def test_networks_build_and_their_batch_fits(network: Network) -> None:
    """A finite loss in float64, a gradient for every parameter, and the same loss each time: no state has changed."""
    model = network.build()
    loss = network.loss(model)
    assert loss.dtype == np.float64 and np.isfinite(loss.item()) and len(network.targets) == len(network.images) >= 2
    assert network.loss(model).item() == loss.item() == network.loss(network.build()).item()
    loss.backward()
    assert all(p.grad is not None and p.grad.shape == p.shape for p in model.parameters())


@settings(max_examples=15)
@given(networks(max_blocks=2))
def test_gradients_of_drawn_networks_agree_with_finite_differences(network: Network) -> None:
    """Images and all parameters, through the network as a function of them."""
    check_gradients(network, network.images, *network.parameters(), order=1, coordinates=6, directions=1).raise_if_failed()


def test_the_function_of_parameters_uses_them() -> None:
    """With the first weight doubled the loss is another; with all as they are it is the model's."""
    network = find(networks(), lambda n: "Conv2d" in names(n))
    parameters = network.parameters()
    plain = network.loss(network.build()).item()
    assert float(np.asarray(getattr(network(network.images, *parameters), "data", None))) == plain
    assert float(network(network.images, 2.0 * parameters[0]).data) != plain


KINDS: dict[str, Callable[[Network], bool]] = {
    "no body": lambda n: "Conv2d" not in names(n),
    "batch norm": lambda n: "BatchNorm2d" in names(n),
    "pooling": lambda n: "MaxPool2d" in names(n),
    "dropout": lambda n: "Dropout" in names(n),
    "lrn": lambda n: "LocalResponseNorm" in names(n),
    "cells": lambda n: "AdaptiveAvgPool2d" in names(n),
    "two linear layers": lambda n: names(n).count("Linear") == 2,
    "groups": lambda n: any(layer.arguments.get("groups", 1) > 1 for layer in n.layers),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_layer_occurs_and_shrinks_to_a_small_network(kind: str) -> None:
    """Hypothesis finds it, and gets down to six layers or fewer on images of few pixels."""
    network = find(networks(), KINDS[kind], settings=settings(max_examples=2000))
    assert len(network.layers) <= 6 and network.images.size <= 16


@settings(max_examples=30)
@given(networks())
def test_code_builds_the_network_and_its_loss(network: Network) -> None:
    """Running what is printed gives exactly the network's loss, and its gradients."""
    found: dict[str, Any] = {}
    exec(network.code(), found)
    model = network.build()
    network.loss(model).backward()
    assert found["loss"].item() == network.loss(model).item()
    for p, q in zip(found["model"].parameters(), model.parameters(), strict=True):
        assert np.array_equal(p.grad, q.grad)
    assert repr(network) == network.code()


@settings(max_examples=30)
@given(vgg_configurations())
def test_vgg_configurations_build(configuration: dict[str, Any]) -> None:
    """The model accepts images of its size and gives its number of logits."""
    model = models.build(**configuration).eval()
    side = configuration["image_size"]
    y = model(np.zeros((1, configuration["in_channels"], side, side), np.float32))
    assert y.shape == (1, configuration["num_classes"])


@pytest.mark.parametrize("name", models.MODELS)
def test_every_model_occurs(name: str) -> None:
    """All eleven names are drawn."""
    assert find(vgg_configurations(), lambda c: c["name"] == name)["num_classes"] == 1
