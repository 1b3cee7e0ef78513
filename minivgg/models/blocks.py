"""The paper's names of layers: conv1_1 is the first convolution of the first block, fc6 to fc8 are the fully connected layers.

Networks of different depth are compared by these names, never by position: the third convolution of net A is conv3_1, that of net E
is conv2_1, and their shapes differ. "The first four convolutional layers" that deeper networks take over from net A (arXiv:1409.1556,
§3.1) fit in no other way than conv1_1, conv2_1, conv3_1 and conv3_2.
"""

from __future__ import annotations

import functools

from ..errors import ConfigError, nearest
from .vgg import COLUMNS, MODELS, NAMES

__all__ = ["STAGED", "blocks", "shallow"]

# What a deeper network of the paper takes over from net A.
STAGED = ("conv1_1", "conv2_1", "conv3_1", "conv3_2", "fc6", "fc7", "fc8")


def blocks(name: str, head: str = "paper") -> dict[str, tuple[str, ...]]:
    """For each layer with weights, from the image on, the paths of its modules in the model `name`.

    A batch norm belongs to the convolution before it: blocks("vgg11_bn")["conv1_1"] is ("features.0", "features.1"). With head "linear"
    the one fully connected layer is fc8, which gives the classes' scores. Raises ConfigError for an unknown name.
    """
    return dict(_blocks(name, head))


@functools.cache
def _blocks(name: str, head: str) -> dict[str, tuple[str, ...]]:
    column, normalised = _column(name)
    found: dict[str, tuple[str, ...]] = {}
    position, block, number = 0, 1, 0
    for entry in COLUMNS[column].split():
        if entry == "|":
            block, number, position = block + 1, 0, position + 1
        elif entry == "L":
            position += 1
        else:
            number += 1
            taken = 2 if normalised else 1
            found[f"conv{block}_{number}"] = tuple(f"features.{position + k}" for k in range(taken))
            position += taken + 1  # and the ReLU
    if head == "linear":
        return {**found, "fc8": ("classifier",)}
    return {**found, "fc6": ("classifier.0",), "fc7": ("classifier.3",), "fc8": ("classifier.6",)}


def shallow(name: str) -> str:
    """The network that `name` starts from in the paper: net A, with batch norm if `name` has it. A and A-LRN start from no other.

    Raises ConfigError for an unknown name.
    """
    column, normalised = _column(name)
    if column in {"A", "A-LRN"}:
        return name
    return "vgg11_bn" if normalised else "vgg11"


def _column(name: str) -> tuple[str, bool]:
    if name not in MODELS:
        raise ConfigError(f'unknown model "{name}": {nearest(name, MODELS)}')
    return NAMES[name.removesuffix("_bn")], name.endswith("_bn")
