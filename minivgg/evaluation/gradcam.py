"""Grad-CAM: where in an image a network finds what speaks for a class. Selvaraju et al. 2017, arXiv:1610.02391, §3.

Let A (K, h, w) be what a layer gives for an image, and s_c the score (the logit) of class c, a function of A through the layers that
follow. Each channel k has a weight, the mean of the score's derivatives by its cells, and the map is the weighted sum of the channels,
as far as it is positive:

    α_k = 1/Z · Σ_ij ∂s_c/∂A_kij,  Z = h·w            L_ij = max(0, Σ_k α_k·A_kij)

What lowers the score is of other classes, and is cut off. The map has the layer's h×w cells, so a late layer, whose channels stand for
parts of objects, is coarse, and an early one fine, but says little.

Global pooling. If the layers that follow are the mean over the cells and one linear layer,

    s_c = b_c + Σ_k w_ck · 1/Z · Σ_ij A_kij,   then   ∂s_c/∂A_kij = w_ck / Z,   so   α_k = w_ck / Z

and L = max(0, Σ_k w_ck·A_k) / Z. But for the constant Z and the cut this is the class activation map of Zhou et al. 2016,
arXiv:1512.04150, whose sum over the cells is the score itself without its bias: Σ_ij Σ_k α_k·A_kij = s_c − b_c. For other heads α is
the score's gradient, which is exact where the head is linear: between two kinks of its ReLUs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import models, nn
from ..autograd import mode
from ..autograd.core import Tensor, grad
from ..backend.arrays import Array, to_numpy
from ..backend.device import Device
from ..errors import ConfigError, ShapeError, nearest

__all__ = ["Evidence", "grad_cam", "maps_of"]

_FEW = 4  # cells of a map's side: with fewer a map tells no places


@dataclass(frozen=True)
class Evidence:
    """What Grad-CAM found for N images. All on the host.

    scores    float64 (N, classes): the model's logits
    classes   int64 (N,): the class explained of each image
    maps      float64 (N, h, w), none negative, in units of the score: a cell's share in the sum for a linear head
    layer     whose map was weighed: its name in the paper if it has one, else its module path
    """

    scores: Array
    classes: Array
    maps: Array
    layer: str


def grad_cam(model: nn.Module, images: Any, classes: int | Sequence[int] | None = None, layer: str = "") -> Evidence:
    """The maps of `images`, an array or tensor (N, C, H, W) that is prepared for the model, on its device.

    classes   that are explained: one for all, one for each, or None: each image's most probable one
    layer     a name of the paper, such as conv5_3, which means what comes behind its batch norm and ReLU; or a module's path, such as
              features.29. By default the last ReLU before the map is flattened or pooled as a whole whose map has at least 4×4 cells:
              conv5_3 in vgg16 for images of 224×224, conv4_3 for 32×32, where conv5_3 has 2×2.

    The model is a VGG or a chain of layers. It runs as in evaluation: without dropout, with running statistics; it is left as it was,
    with its modes and without gradients. Only what follows the layer is recorded and differentiated. Raises ConfigError for a layer
    that is unknown or gives no map, and for an unknown class; ShapeError if the model gives no scores (N, classes).
    """
    known = maps_of(model)
    if layer and layer not in known:
        raise ConfigError(f'the network has no layer "{layer}" that gives a map: {nearest(layer, known)}')
    x = images if isinstance(images, Tensor) else Tensor(images)
    path = known[layer] if layer else _last(model, x.shape)
    return _at(model, x, classes, path, layer or next((name for name in known if known[name] == path != name), path))


def maps_of(model: nn.Module) -> dict[str, str]:
    """Name → module path of each layer that gives a map (N, K, h, w): module paths and, of a VGG, the paper's names.

    Raises ConfigError for a model that is neither a VGG nor a chain of layers.
    """
    layers = _before_flattening(model)
    paths = [layer.name for layer in layers]
    known = {path: path for path in paths}
    title = getattr(model, "title", "")
    for name, own in models.blocks(title).items() if title in models.MODELS else ():
        if own[-1] in known:
            place = paths.index(own[-1])
            followed = place + 1 < len(layers) and layers[place + 1].kind == "relu"
            known[name] = paths[place + followed]
    return known


def _before_flattening(model: nn.Module) -> list[nn.Layer]:
    layers = models.layers(model)
    end = next((k for k, layer in enumerate(layers) if layer.kind in {"flatten", "linear"}), len(layers))
    return layers[:end]


def _last(model: nn.Module, shape: tuple[int, ...]) -> str:
    """The path of the last ReLU, or in a network without any of its last convolution, that still has a map to speak of."""
    layers = _before_flattening(model)
    end = next((k for k, layer in enumerate(layers) if layer.kind == "adaptive_avg_pool"), len(layers))
    backwards = [layer for layer in reversed(layers[:end]) if layer.kind in {"relu", "conv2d"}]
    kind = min((layer.kind for layer in backwards), default="", key=("relu", "conv2d").index)
    if not kind:
        raise ConfigError("the network has neither a ReLU nor a convolution, so there is no map to explain a class with.")
    sizes = {row.path: row.shape[2:] for row in nn.summary(model, (1, *shape[1:])).rows}
    return max((layer.name for layer in backwards if layer.kind == kind), key=lambda path: min(_FEW, *sizes[path]))


def _at(model: nn.Module, x: Tensor, wanted: int | Sequence[int] | None, path: str, name: str) -> Evidence:
    """Cut the network at one layer: up to there nothing is recorded, and its map becomes a leaf of the graph that follows."""
    leaves: list[Tensor] = []
    device = Device.of(x.data)
    with device.use(), _evaluating(model), mode.no_grad(), ExitStack() as stack:

        def cut(module: nn.Module, inputs: tuple[Any, ...], y: Tensor) -> Tensor:
            stack.enter_context(mode.enable_grad())
            leaves.append(Tensor(y.data, requires_grad=True))
            return leaves[-1]

        stack.callback(dict(model.named_modules())[path].register_forward_hook(cut))
        scores = model(x)
        if scores.ndim != 2:
            raise ShapeError(f"Grad-CAM explains scores (N, classes), but the network gives {scores.shape}.")
        chosen = _classes(to_numpy(scores.data), wanted)
        one = np.zeros(scores.shape, scores.dtype)
        one[np.arange(len(one)), chosen] = 1  # images do not touch one another, so one sweep serves them all
        (slopes,) = grad(scores, leaves[-1:], device.asarray(one))
    activations, slopes = (to_numpy(array).astype(np.float64) for array in (leaves[-1].data, slopes))  # (N, K, h, w)
    maps = np.einsum("nk,nkhw->nhw", slopes.mean((2, 3)), activations)
    return Evidence(to_numpy(scores.data).astype(np.float64), chosen, np.maximum(maps, 0.0), name)


def _classes(scores: Array, wanted: int | Sequence[int] | None) -> Array:
    count, known = scores.shape
    if wanted is None:
        return np.asarray(scores.astype(np.float64).argmax(1))
    chosen = np.broadcast_to(np.asarray(wanted), (count,)) if np.ndim(wanted) == 0 else np.asarray(wanted)
    if chosen.shape != (count,) or chosen.dtype.kind not in "iu" or not ((chosen >= 0) & (chosen < known)).all():
        raise ConfigError(f"classes must be one of 0..{known - 1}, or one for each of the {count} images, but is {wanted!r}.")
    return chosen.astype(np.int64)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation, and then in the modes that its modules had."""
    modes = [(module, module.training) for _, module in model.named_modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
