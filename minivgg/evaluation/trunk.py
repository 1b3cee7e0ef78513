"""A network up to one of its layers, for images of any size: what features are made with.

Layers have two kinds of names. A path, such as features.20 or classifier.3, means what that module gives. A name of the paper, such as
conv5_3 or fc7, means what comes behind the layer's batch norm and ReLU, as in Caffe.
"""

from __future__ import annotations

import copy

from .. import models, nn
from ..errors import ConfigError, nearest

__all__ = ["layers_of", "trunk"]


def trunk(network: models.Dense, model: str, head: str, layer: str = "") -> models.Dense:
    """A dense network of the same weights, not copies, that ends with `layer`: images (N, C, H, W) → its map (N, D, h, w).

    "": the penultimate layer, what the last layer with weights is given: behind the ReLU of fc7, or behind the last pooling for
    head="linear". `model` and `head` are the network's, as in a configuration. Raises ConfigError, with the nearest name, for a layer
    that is unknown.
    """
    layers = [*network.features, *_classifier(network)]
    known = {path: k for k, path in enumerate(layers_of(network))}
    for name, paths in models.blocks(model, head).items():
        last = known[paths[-1]]
        followed = last + 1 < len(layers) and isinstance(layers[last + 1], nn.ReLU)
        known[name] = last + 1 if followed else last
    if layer and layer not in known:
        raise ConfigError(f'the network has no layer "{layer}": {nearest(layer, known)}')
    end = known[layer] + 1 if layer else max(k for k, each in enumerate(layers) if isinstance(each, nn.Conv2d))
    count = len(network.features)
    found = copy.copy(network)
    found.features, found.classifier = nn.Sequential(*layers[: min(end, count)]), nn.Sequential(*layers[count:end])
    return found


def layers_of(network: models.Dense) -> list[str]:
    """The paths of its layers, in order: features.0 …, and classifier.0 …, or classifier."""
    single = isinstance(network.classifier, nn.Conv2d)
    behind = ["classifier"] if single else [f"classifier.{k}" for k in range(len(_classifier(network)))]
    return [*(f"features.{k}" for k in range(len(network.features))), *behind]


def _classifier(network: models.Dense) -> list[nn.Module]:
    found = network.classifier
    return list(found) if isinstance(found, nn.Sequential) else [found]
