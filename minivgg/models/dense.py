"""A VGG as a fully convolutional network: it takes images of any size and gives a map of scores, a cell for each place it can look at.

Simonyan & Zisserman, arXiv:1409.1556, §3.2: the first fully connected layer becomes a convolution over the cells that it sees at once,
7×7 for images of 224×224, and the last two become 1×1 convolutions. Nothing is computed anew: a fully connected layer's weight
(K, C·R·S) has its inputs in the order of Flatten, channel, row, column, so it is a filter (K, C, R, S) under another shape.
"""

from __future__ import annotations

from typing import Any

from .. import nn
from ..backend.layout import as_kcrs, rsck
from ..errors import ConfigError, ShapeError
from .vgg import VGG

__all__ = ["Dense", "dense", "undense"]


class Dense(nn.Module):
    """A VGG whose classifier is convolutional: `dense(model)` makes it. Parameters have the VGG's names.

    Shapes  images (N, in_channels, H, W)  →  scores (N, num_classes, ⌊H/32⌋ − cells + 1, ⌊W/32⌋ − cells + 1),
            where `cells` is 7 for a model of 224×224 images, image_size // 32 in general, and 1 for head="linear"
    """

    def __init__(self, model: VGG) -> None:
        self.title, self.image_size = model.title, model.image_size
        self.in_channels, self.num_classes = model.in_channels, model.num_classes
        self.cells = model.avgpool.output_size[0]
        self.features = model.features
        self.training = model.training
        if isinstance(model.classifier, nn.Linear):
            self.classifier: nn.Module = _convolution(model.classifier, self.cells)
        else:
            layers, cells = [], self.cells
            for _, layer in model.classifier.named_children():
                if isinstance(layer, nn.Linear):
                    layer, cells = _convolution(layer, cells), 1
                layers.append(layer)
            self.classifier = nn.Sequential(*layers)
        self.classifier.train(model.training)

    def forward(self, x: Any) -> Any:
        """Images (N, in_channels, H, W) → scores (N, num_classes, h, w). Raises ShapeError for an image with too few cells."""
        least = 32 * self.cells
        if x.ndim != 4 or min(x.shape[2:]) < least:
            size = "×".join(map(str, x.shape[2:])) if x.ndim == 4 else f"of shape {x.shape}"
            raise ShapeError(
                f"a dense {self.title} looks at {self.cells}×{self.cells} cells of 32 pixels at once, so it needs images "
                f"(N, {self.in_channels}, H, W) of at least {least}×{least}; these are {size}. Rescale them."
            )
        return self.classifier(self.features(x))

    def describe(self) -> str:
        """The arguments that `repr` shows."""
        return f"{self.cells}×{self.cells} cells"


def dense(model: VGG) -> Dense:
    """`model` as a fully convolutional network, in evaluation or training as the model is.

    It has the model's own convolutions, batch norms and activations, not copies, and copies of its fully connected weights, bit for bit.
    For an image of image_size×image_size the paper's head gives a 1×1 map, the model's logits; with head="linear" the mean over
    the map is the model's logits, for images of any size. Raises ConfigError for a network that is no VGG.
    """
    if not isinstance(model, VGG):
        raise ConfigError(
            "only a VGG can be applied to images of other sizes, and this network is none. If it has a VGG's features, take them: "
            "minivgg convert IN OUT --only features."
        )
    return Dense(model)


def undense(network: Dense, model: VGG) -> VGG:
    """Copy the weights of `network` back into `model`, a VGG of the same configuration, bit for bit. Returns the model.

    Raises CheckpointError if they do not fit it; then nothing was changed.
    """
    shapes = {name: array.shape for name, array in model.state_dict().items()}
    state = {}
    for name, array in network.state_dict().items():
        shape = shapes.get(name, ())
        linear = array.ndim == 4 and len(shape) == 2 and array.shape[0] == shape[0] and array.size == shape[0] * shape[1]
        state[name] = array.reshape(shape) if linear else array  # (K, C, R, S) → (K, C·R·S)
    model.load_state_dict(state)
    return model


def _convolution(layer: nn.Linear, cells: int) -> nn.Conv2d:
    """The fully connected layer behind a map of cells×cells as a convolution with filters of that size."""
    outputs, inputs = layer.weight.shape
    filters = layer.weight.data.reshape((outputs, inputs // cells**2, cells, cells))
    stored = as_kcrs(rsck(filters).copy())  # as convolutions want to have it, once
    convolution = nn.Conv2d(inputs // cells**2, outputs, cells, bias=layer.bias is not None, init=lambda rng, shape: stored)
    convolution.weight.name, convolution.weight.requires_grad = layer.weight.name, layer.weight.requires_grad
    if layer.bias is not None:
        convolution.bias = nn.Parameter(layer.bias.data.copy(), layer.bias.requires_grad, name=layer.bias.name)
    return convolution
