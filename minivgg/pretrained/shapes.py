"""The shapes of a network's arrays, without the network: what a file must have, before anything as large is made.

And the way back: width, channels, classes and cells from the shapes that a file has.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from .. import models

__all__ = ["Sizes", "shapes_of", "sizes_of"]

_HIDDEN = 4096  # units of fc6 and fc7 at width 1

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Sizes:
    """What a VGG's shapes depend on; cells: of the map that fc6 sees, 7 for images of 224 pixels."""

    width: float
    in_channels: int
    num_classes: int
    cells: int

    def scaled(self, full: int) -> int:
        """So many channels of the paper, at this width."""
        return max(1, round(full * self.width))


def shapes_of(model: str, head: str, sizes: Sizes) -> dict[str, Shape]:
    """Name → shape of all arrays of models.build(model, …), by name as in state_dict(); head "" for those of the features."""
    found: dict[str, Shape] = {}
    channels = sizes.in_channels
    layers = models.blocks(model, head or "paper")
    for layer, (kernel, full) in _convolutions(model).items():
        convolution, *norms = layers[layer]
        found[f"{convolution}.weight"] = (sizes.scaled(full), channels, kernel, kernel)
        channels = sizes.scaled(full)
        found[f"{convolution}.bias"] = (channels,)
        for norm in norms:
            found.update({f"{norm}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")})
            found[f"{norm}.num_batches_tracked"] = ()
    if head == "linear":
        matrices = [(sizes.num_classes, channels)]
    else:
        hidden = sizes.scaled(_HIDDEN)
        matrices = [(hidden, channels * sizes.cells**2), (hidden, hidden), (sizes.num_classes, hidden)]
    for layer, matrix in zip((layer for layer in layers if head and layer.startswith("fc")), matrices, strict=False):
        found[f"{layers[layer][0]}.weight"] = matrix
        found[f"{layers[layer][0]}.bias"] = matrix[:1]
    return found


def sizes_of(model: str, head: str, found: Mapping[str, Shape]) -> Sizes:
    """The sizes that fit most of the shapes found, by name as in state_dict(). Whether all fit, `shapes_of` tells.

    n = round(full · width) holds for widths from (n − ½)/full to (n + ½)/full: where the first filters / 64 is not in all of these
    ranges, the middle of what they share is taken.
    """
    layers = models.blocks(model, head or "paper")
    counts = {}  # of each layer: (channels in the paper, channels found)
    for layer, (_, full) in _convolutions(model).items():
        counts[layer] = full, found.get(f"{layers[layer][0]}.weight", ())
    first, last = counts["conv1_1"][1], counts[list(counts)[-1]][1]
    fc6 = found.get(f"{layers['fc6'][0]}.weight", ()) if head == "paper" else ()
    fc8 = found.get(f"{layers['fc8'][0]}.weight", ()) if head else ()
    pairs = [(full, shape[0]) for full, shape in [*counts.values(), (_HIDDEN, fc6)] if shape]
    low = max(((n - 0.5) / full if n > 1 else 0.0 for full, n in pairs), default=0.0)
    high = min(((n + 0.5) / full for full, n in pairs), default=2.0)
    width = first[0] / 64 if first else 1.0
    if not low <= width <= high and low < high:
        width = (low + high) / 2
    cells = math.isqrt(fc6[1] // last[0]) if len(fc6) == 2 and last and last[0] else 1
    return Sizes(width, first[1] if len(first) == 4 else 3, fc8[0] if fc8 else 1, cells)


def _convolutions(model: str) -> dict[str, tuple[int, int]]:
    """Layer → (kernel size, filters at width 1), from the paper's table."""
    column = models.COLUMNS[models.NAMES[model.removesuffix("_bn")]]
    entries = [entry for entry in column.split() if entry not in {"|", "L"}]
    layers = [layer for layer in models.blocks(model) if layer.startswith("conv")]
    sizes = [(1, int(entry[4:])) if entry.startswith("1x1:") else (3, int(entry)) for entry in entries]
    return dict(zip(layers, sizes, strict=True))
