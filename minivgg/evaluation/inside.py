"""Inside a trained network: the filters of its first convolution, and the units that no image wakes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import models, nn
from ..autograd.core import Tensor
from ..backend.arrays import Array, to_numpy
from ..train import Predictor
from .sight import Sight
from .views import views

__all__ = ["Silence", "filters", "silent_units", "spread"]

_BATCH = 16  # images in one forward pass, at most
_MOST_FILTERS = 256


@dataclass(frozen=True)
class Silence:
    """Of the `units` channels (of a convolution) or units (of a fully connected layer) behind the ReLU `path`, `silent` are 0 at
    every place of every image of a sample. `layer` is the paper's name of what the ReLU follows, such as conv1_1."""

    layer: str
    path: str
    silent: int
    units: int

    @property
    def share(self) -> float:
        """silent / units, in 0..1."""
        return self.silent / self.units


def spread(n: int, most: int) -> list[int]:
    """At most `most` numbers of 0..n − 1, evenly spread, so that a set sorted by class gives images of every class."""
    return sorted({round(place) for place in np.linspace(0, n - 1, min(n, most)).tolist()})


def silent_units(predictor: Predictor, image: Callable[[int], Array], sample: list[int]) -> list[Silence]:
    """Run the images `sample` (image(k) uint8 (H, W, C)), seen as by the protocol "center", and watch every ReLU.

    A unit that is silent for all images may be dead: its gradient is 0 wherever its output is, so training no longer reaches
    it. With few images it may only be rare. The model's own layers run, one after the other, in evaluation mode.
    """
    sight, awake = Sight.of(predictor), dict[str, Any]()
    removals = []
    for path, module in predictor.model.named_modules():
        if isinstance(module, nn.ReLU):
            removals.append(module.register_forward_hook(_watch(awake, path)))
    try:
        size = min(_BATCH, predictor.config.micro_batch)
        for start in range(0, len(sample), size):
            seen = [view.image for k in sample[start : start + size] for view in views(image(k), sight, "center", [sight.middle], False)]
            predictor.scores(sight.normalised(np.stack(seen)))
    finally:
        for remove in removals:
            remove()
    names, counts = _names(predictor), {path: to_numpy(alive) for path, alive in awake.items()}
    return [Silence(names[path], path, int((~alive).sum()), len(alive)) for path, alive in counts.items()]


def _names(predictor: Predictor) -> dict[str, str]:
    """The path of each ReLU → the paper's name of the layer before it, whose last module is the ReLU's neighbour; in a chain of other
    layers its own path."""
    found = {path: path for path, module in predictor.model.named_modules() if isinstance(module, nn.ReLU)}
    if predictor.config.model not in models.MODELS:
        return found
    for layer, paths in models.blocks(predictor.config.model, predictor.config.head).items():
        parent, dot, number = paths[-1].rpartition(".")
        if dot:
            found[f"{parent}.{int(number) + 1}"] = layer
    return found


def _watch(awake: dict[str, Any], path: str) -> Callable[..., None]:
    def note(module: nn.Module, inputs: tuple[Any, ...], y: Tensor) -> None:
        positive = y.data > 0  # (N, C, H, W) or (N, U)
        alive = positive.any(axis=(0, *range(2, positive.ndim)))
        awake[path] = alive | awake[path] if path in awake else alive

    return note


def filters(model: nn.Module) -> Array | None:
    """The first convolution's filters as one picture, uint8 (H, W, 4), transparent between them; the first 256 of them.

    Each filter is stretched on its own, its least weight to 0 and its largest to 255: shapes can be compared, strengths
    cannot. None unless the network sees 3 channels (RGB) or 1 (grey).
    """
    first = next((module for _, module in model.named_modules() if isinstance(module, nn.Conv2d)), None)
    if first is None or first.weight.shape[1] not in {1, 3}:
        return None
    w = to_numpy(first.weight.data).astype(np.float64)[:_MOST_FILTERS].transpose(0, 2, 3, 1)  # (K, R, S, C)
    low, high = w.min(axis=(1, 2, 3), keepdims=True), w.max(axis=(1, 2, 3), keepdims=True)
    shades = np.where(high > low, (w - low) / np.where(high > low, high - low, 1), 0.5)
    count, height, width, _ = w.shape
    columns = math.ceil(math.sqrt(2 * count))  # twice as wide as high
    grid = np.zeros((math.ceil(count / columns), height + 1, columns, width + 1, 4), np.uint8)
    for k in range(count):
        grid[k // columns, :height, k % columns, :width, :3] = np.rint(255 * shades[k])  # grey goes to all three colours
        grid[k // columns, :height, k % columns, :width, 3] = 255
    return grid.reshape(grid.shape[0] * (height + 1), columns * (width + 1), 4)[:-1, :-1]
