"""Batch norm folded into the layer before it: in evaluation both are linear maps, and two linear maps are one."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any, TypeVar

from .. import ops
from ..errors import ConfigError
from .layers import BatchNorm2d, Conv2d, Linear
from .module import Module, Parameter
from .sequential import Sequential

__all__ = ["fold_batch_norm"]

_M = TypeVar("_M", bound=Module)


def fold_batch_norm(model: _M) -> _M:
    """A copy of `model` for evaluation, without the batch norms that directly follow a Conv2d or Linear in a Sequential.

    In evaluation batch norm is a scale and a shift of each channel, a = γ/√(σ² + ε) and β − a·μ, so that

        a·(w ⋆ x + b − μ) + β  =  (a·w) ⋆ x + (a·(b − μ) + β)

    The layer gets the weight a·w and the bias a·(b − μ) + β, both rounded once from float64, and the batch norm goes. All other
    layers keep their names: features.0, features.2, …. The outputs are those of the model in evaluation, but for rounding, relative
    to the largest, for a VGG: within 1e-12 in float64 and 1e-5 in float32, whose weights are rounded once more.

    Left as they are: a batch norm that follows anything else, a layer with forward hooks, or one that is at several places of
    the model. A subclass of Sequential must apply its layers in order. Raises ConfigError if any module is in training.
    """
    training = [path or type(model).__name__ for path, module in model.named_modules() if module.training]
    if training:
        raise ConfigError(
            f"fold_batch_norm needs a model in evaluation, but {len(training)} of its modules, {training[0]} the first, are in training, "
            "where batch norm is no fixed linear map. Call model.eval() before, and train the model itself, not the folded copy."
        )
    folded = copy.deepcopy(model)
    modules = [module for _, module in folded.named_modules()]
    places = {id(module): sum(module is other for other in modules) for module in modules}
    for sequence in [module for module in modules if isinstance(module, Sequential)]:
        children = list(sequence.named_children())
        for (_, layer), (name, norm) in pairwise(children):
            alone = all(places[id(module)] == 1 and not vars(module).get("_hooks") for module in (layer, norm))
            if isinstance(layer, Conv2d | Linear) and isinstance(norm, BatchNorm2d) and alone:
                _fold(layer, norm)
                delattr(sequence, name)
    return folded


def _fold(layer: Any, norm: BatchNorm2d) -> None:
    """Give `layer` the weight and the bias of itself followed by `norm`."""
    gamma, beta, mean, variance = (t.data.astype("float64") for t in (norm.weight, norm.bias, norm.running_mean, norm.running_var))
    weight, dtype = layer.weight, layer.weight.dtype
    scale = gamma / ops.sqrt(variance + norm.eps)
    bias = (0.0 if layer.bias is None else layer.bias.data) - mean
    wide = weight.data * scale.reshape((-1,) + (1,) * (weight.ndim - 1))
    name = layer.bias.name if layer.bias is not None else f"{weight.name.removesuffix('weight')}bias" if weight.name else ""
    layer.weight = Parameter(wide.astype(dtype), weight.requires_grad, name=weight.name)
    layer.bias = Parameter((scale * bias + beta).astype(dtype), weight.requires_grad, name=name)
