"""Configurations of the package's models, and random small networks of its layers with a batch that fits them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from ... import models, nn, ops
from ...autograd import mode
from ...autograd.tensor import Tensor
from ...backend.random import stream
from .layers import Layer, draw_body
from .samples import uniform
from .source import source
from .values import seeds

__all__ = ["Network", "fill", "networks", "vgg_configurations"]

Array = Any  # numpy.ndarray


def fill(model: nn.Module, seed: int) -> nn.Module:
    """Draw all parameters of `model` anew, biases too, with three decimals: from `seed` and their names alone. Returns model.

    Weights are uniform with the variance 1/fan-in, scales of batch norm between 0.5 and 1.5.
    """
    for name, parameter in model.named_parameters():
        shape = parameter.shape
        reach = math.sqrt(3.0 / math.prod(shape[1:])) if len(shape) > 1 else 0.5
        middle = 1.0 if len(shape) == 1 and name.endswith("weight") else 0.0
        parameter.data[...] = uniform(seed, name, shape, -reach, reach) + middle
        parameter.data = parameter.data  # counts as a write
    return model


@dataclass(frozen=True, eq=False)
class Network:
    """A small classifier of float64 with a batch: `layers` one after the other, `images` (N, C, H, W), `targets` (N,).

    `network.build()` makes the model, `network.loss(model)` its loss. `network(images, *parameters)` is the same loss as
    a function of tensors: `check_gradients(network, network.images, *network.parameters())` checks it.
    """

    layers: tuple[Layer, ...]
    images: Array
    targets: Array
    seed: int

    def build(self) -> nn.Sequential:
        """The model, in training, with parameters from `fill`."""
        model = nn.Sequential(*(layer.build() for layer in self.layers))
        fill(model.to(dtype="float64"), self.seed)
        return model

    def loss(self, model: nn.Module, images: Any = None) -> Any:
        """The mean cross-entropy of the batch, or of other images: always with the same dropout, with no change of state."""
        with mode.step(0), mode.frozen_state():
            return ops.cross_entropy(model(Tensor(self.images) if images is None else images), self.targets)

    def parameters(self) -> list[Array]:
        """The parameters' arrays, in the model's order."""
        return [parameter.data for parameter in self.build().parameters()]

    def __call__(self, images: Any, *parameters: Any) -> Any:
        """The loss of `images` with the first parameters replaced by `parameters`."""
        model = self.build()
        paths = [path.rpartition(".") for path, _ in model.named_parameters()]
        modules = dict(model.named_modules())
        for (path, _, name), parameter in zip(paths, parameters, strict=False):
            setattr(modules[path], name, parameter)
        return self.loss(model, images)

    @property
    def __name__(self) -> str:
        """What a gradient check calls the function."""
        return "network"

    def code(self) -> str:
        """A module that builds the model, computes its loss and goes back."""
        indented = "".join(f"    {layer.code()},\n" for layer in self.layers)
        return (
            "import numpy as np\n"
            "from minivgg import nn, ops\n"
            "from minivgg.autograd import mode\n"
            "from minivgg.testing.strategies import fill\n\n"
            f'model = nn.Sequential(\n{indented}).to(dtype="float64")\n'
            f"fill(model, {self.seed})\n"
            f"images = {source(self.images)}\n"
            f"targets = {source(self.targets)}\n"
            "with mode.step(0), mode.frozen_state():\n"
            "    loss = ops.cross_entropy(model(images), targets)\n"
            "loss.backward()\n"
        )

    def __repr__(self) -> str:
        """The code, to be pasted."""
        return self.code()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Hypothesis prints a failing network so, too."""
        printer.text(self.code())


@st.composite
def networks(draw: st.DrawFn, *, max_blocks: int = 4) -> Network:
    """Networks of up to `max_blocks` convolutions, each perhaps with batch norm, ReLU, LRN, dropout or pooling behind it,
    then pooling to cells or not, a flatten and one or two linear layers. The batch has two or three images.

    They shrink to a flatten and a linear layer on images of one pixel.
    """
    n, c, side = draw(st.integers(2, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 6))
    shape = (c, side, side + draw(st.integers(0, 1)))
    body, features = draw_body(draw, shape, max_blocks)
    classes = draw(st.integers(2, 4))
    head = [Layer("Linear", {"in_features": features, "out_features": classes})]
    if draw(st.booleans()):
        hidden = draw(st.integers(1, 4))
        head = [
            Layer("Linear", {"in_features": features, "out_features": hidden}),
            Layer("ReLU", {}),
            Layer("Linear", {"in_features": hidden, "out_features": classes}),
        ]
    seed = draw(seeds())
    targets = stream(seed, "strategies", "targets").integers(0, classes, n)
    return Network((*body, Layer("Flatten", {}), *head), uniform(seed, "images", (n, *shape)), targets, seed)


@st.composite
def vgg_configurations(draw: st.DrawFn, names: tuple[str, ...] = tuple(models.MODELS)) -> dict[str, Any]:
    """Keyword arguments of `minivgg.models.build`, the name among them: small widths, images of 32 to 64 pixels, both heads,
    every initialiser. They shrink to vgg11 with one class and one channel.
    """
    return {
        "name": draw(st.sampled_from(names)),
        "num_classes": draw(st.integers(1, 5)),
        "in_channels": draw(st.integers(1, 4)),
        "image_size": draw(st.sampled_from((32, 33, 48, 64))),
        "width": draw(st.sampled_from((1 / 64, 1 / 32, 1 / 16))),
        "head": draw(st.sampled_from(("linear", "paper"))),
        "init": draw(st.sampled_from(tuple(nn.init.INITIALISERS))),
        "seed": draw(seeds()),
    }
