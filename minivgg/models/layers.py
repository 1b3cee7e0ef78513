"""A network as the list of its layers, from the image to the scores: what is written of it into files of other programs."""

from __future__ import annotations

from ..nn import Layer, Module, chain_of
from .dense import Dense
from .vgg import VGG

__all__ = ["layers"]


def layers(model: Module) -> list[Layer]:
    """The layers of a VGG, its dense form, or a chain, in order, under the names that their arrays have in `model.state_dict()`.

    Raises ConfigError for another module.
    """
    if isinstance(model, VGG):
        between = [*chain_of(model.avgpool, "avgpool"), Layer("flatten", "flatten", {"channels_last": False})]
        return [*chain_of(model.features, "features"), *between, *chain_of(model.classifier, "classifier")]
    if isinstance(model, Dense):
        return [*chain_of(model.features, "features"), *chain_of(model.classifier, "classifier")]
    return chain_of(model)
