"""A list of layers, as a file of another program gives it, matched with the paper's columns.

A column is a sequence of 3×3 (or 1×1) convolutions, each with its ReLU, and 2×2 poolings; between a convolution and its ReLU there may be a
batch norm, or the scale and shift that is left of one. Behind them come nothing, or the paper's three fully connected layers, or global
pooling and one. Dropout changes nothing in evaluation and is passed over.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import models, nn
from ..backend.arrays import Array
from .conventions import Place

__all__ = ["Column", "match"]


@dataclass(frozen=True)
class Column:
    """A VGG found in a list of layers.

    head         "paper", "linear", or "" where no classifier of a VGG follows
    closed       whether the layers end with what was found
    places       of the arrays, by the names that they have in the file, <layer>.<part>
    norms        the layers that stand for batch norms
    cells_first  whether the last map is flattened place by place
    pooled       cells of the pooling behind the features, None if there is none
    """

    model: str
    head: str
    closed: bool
    places: Mapping[str, Place]
    norms: tuple[nn.Layer, ...]
    ceil_mode: bool
    cells_first: bool
    pooled: int | None


def match(layers: Sequence[nn.Layer], arrays: Mapping[str, Array]) -> Column | None:
    """The VGG that the layers begin with, None if they begin with none. `arrays`: by <layer's name>.<part>."""
    layers = [layer for layer in layers if layer.kind != "dropout"]
    tokens, groups, ceils, end = _features(layers, arrays)
    normalised = {len(group) for group in groups}
    model = next((name for name in models.NAMES if _tokens(name) == tokens), "")
    if not model or len(normalised) > 1 or len(ceils) > 1 or (normalised == {2} and model == "vgg11_lrn"):
        return None
    model += "_bn" * (normalised == {2})
    names = [layer for layer in models.blocks(model) if layer.startswith("conv")]
    found = dict(zip(names, groups, strict=True))
    head, fully, flatten, pooled = _head(layers[end:])
    found.update({name: [layer] for name, layer in zip(("fc6", "fc7", "fc8")[-len(fully) :] if fully else (), fully, strict=True)})
    places = {}
    for name, modules in models.blocks(model, head or "paper").items():
        for layer, module in zip(found.get(name, ()), modules, strict=False):
            parts = (
                ("weight", "bias", "running_mean", "running_var", "num_batches_tracked") if layer in found[name][1:] else ("weight", "bias")
            )
            places.update({f"{layer.name}.{part}": Place(f"{module}.{part}", name) for part in parts})
    norms = tuple(group[1] for group in groups if len(group) == 2)
    return Column(model, head, bool(head) or end == len(layers), places, norms, ceils == {True}, flatten, pooled)


def _tokens(model: str) -> list[str]:
    """3, 3, |, … of a network without batch norm."""
    entries = models.COLUMNS[models.NAMES[model]].split()
    return [entry if entry in {"|", "L"} else "1" if entry.startswith("1x1:") else "3" for entry in entries]


def _features(layers: Sequence[nn.Layer], arrays: Mapping[str, Array]) -> tuple[list[str], list[list[nn.Layer]], set[bool], int]:
    """(tokens, each convolution with its norm, the poolings' ceil_modes, how many layers that were), up to the fifth pooling."""
    tokens: list[str] = []
    groups: list[list[nn.Layer]] = []
    ceils: set[bool] = set()
    end = 0
    while end < len(layers) and tokens.count("|") < 5:
        layer = layers[end]
        if layer.kind == "conv2d" and (kernel := _kernel(layer, arrays)):
            taken = 2 if layers[end + 1 : end + 2] and layers[end + 1].kind in {"batch_norm", "affine"} else 1
            if [after.kind for after in layers[end + taken : end + taken + 1]] != ["relu"]:
                break
            tokens.append(kernel)
            groups.append(list(layers[end : end + taken]))
            end += taken + 1
        elif (
            layer.kind == "max_pool"
            and _pair(layer, "kernel_size") == _pair(layer, "stride", 2) == (2, 2)
            and not any(_pair(layer, "padding", 0))
        ):
            tokens.append("|")
            ceils.add(bool(layer.options.get("ceil_mode", False)))
            end += 1
        elif layer.kind == "lrn" and _is_the_papers(layer):
            tokens.append("L")
            end += 1
        else:
            break
    return tokens, groups, ceils, end


def _head(layers: Sequence[nn.Layer]) -> tuple[str, list[nn.Layer], bool, int | None]:
    """(head, its fully connected layers, whether it flattens place by place, the cells that it pools to)."""
    pooled: int | None = None
    if layers and layers[0].kind == "adaptive_avg_pool":
        height, width = _pair(layers[0], "output_size")
        if height != width:
            return "", [], False, None
        pooled, layers = height, layers[1:]
    kinds = [layer.kind for layer in layers]
    fully = [layer for layer in layers if layer.kind == "linear"]
    channels_last = bool(kinds) and bool(layers[0].options.get("channels_last", False))
    if kinds == ["flatten", "linear", "relu", "linear", "relu", "linear"]:
        return "paper", fully, channels_last, pooled
    if kinds == ["flatten", "linear"] and pooled == 1:
        return "linear", fully, channels_last, pooled
    return "", [], False, None


def _kernel(layer: nn.Layer, arrays: Mapping[str, Array]) -> str:
    """ "3" or "1", a convolution's kernel size, if it is one of the paper's; "" otherwise."""
    weight = arrays.get(f"{layer.name}.weight")
    if weight is None or weight.ndim != 4 or weight.shape[2:] not in {(3, 3), (1, 1)} or layer.options.get("groups", 1) != 1:
        return ""
    size = weight.shape[2]
    plain = _pair(layer, "stride", 1) == _pair(layer, "dilation", 1) == (1, 1) and _pair(layer, "padding", 0) == (size // 2,) * 2
    return str(size) if plain else ""


def _is_the_papers(layer: nn.Layer) -> bool:
    """Whether a normalisation has the paper's constants, to a float32's rounding, by either convention for α."""
    here, paper = (nn.LocalResponseNorm(**options).options for options in (layer.options, {}))
    alpha = here["alpha"] / (here["size"] if here["alpha_over_n"] else 1)
    found = (here["size"], alpha, here["beta"], here["k"])
    return all(math.isclose(a, b, rel_tol=1e-6) for a, b in zip(found, (paper[key] for key in ("size", "alpha", "beta", "k")), strict=True))


def _pair(layer: nn.Layer, key: str, default: Any = None) -> tuple[Any, Any]:
    value = layer.options.get(key)
    value = default if value is None else value
    return (value[0], value[1]) if isinstance(value, tuple | list) else (value, value)
