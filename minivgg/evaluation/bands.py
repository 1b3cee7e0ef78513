"""An image that is too large to be in the dense network at once: in bands, each with enough of its surroundings, for the same scores.

A cell of the last feature map depends on its own 32×32 pixels and on those within `halo` pixels around them. A band is therefore cut
with so many cells more on both sides, at multiples of 32 pixels, so that pooling windows are the same; what zero padding at the cut
falsifies lies in those cells, which are dropped. At the image's own border the padding is the true one.
"""

from __future__ import annotations

import math
from typing import Any

from .. import nn, ops
from ..backend.limits import memory_limit
from ..errors import OutOfMemoryError
from ..models import Dense
from ..train import Predictor, readable

__all__ = ["bytes_per_pixel", "halo", "room", "scores"]

_CELL = 32  # pixels: five halvings
_WORKSPACES = 2.0  # a layer's kernels need up to as much again as its input and output


def halo(network: Dense) -> int:
    """How many pixels around a cell's own 32×32 decide what the last feature map has there: 90 for VGG-16."""
    pixels = 0
    for layer in reversed(list(network.features)):
        if isinstance(layer, nn.MaxPool2d):
            pixels *= 2
        elif isinstance(layer, nn.Conv2d):
            pixels += layer.kernel_size[0] // 2
    return pixels


def bytes_per_pixel(network: Dense) -> int:
    """Bytes that the features need for each pixel of an image at their peak, estimated: a layer's input, its output, and workspaces."""
    share, channels, peak = 1.0, network.in_channels, 0.0
    for layer in network.features:
        before = share * channels
        if isinstance(layer, nn.MaxPool2d):
            share /= 4
        elif isinstance(layer, nn.Conv2d):
            channels = layer.out_channels
        peak = max(peak, before + share * channels)
    return math.ceil(4 * _WORKSPACES * peak)


def room(predictor: Predictor, network: Dense, memory: int | None) -> tuple[int, int]:
    """(pixels that may go through the features of `network` at once, the most that there is memory for).

    `memory` in bytes, None for half of what is free where the predictor computes. No more go through than in a step of training.
    """
    if memory is None:
        used, total = (0, memory_limit().free) if predictor.device.kind == "cpu" else predictor.device.memory()
        memory = (total - used) // 2
    most = memory // bytes_per_pixel(network)
    return max(1, min(predictor.config.micro_batch * predictor.config.image_size**2, most)), most


def scores(network: Dense, x: Any, pixels: int, most: int | None = None) -> Any:
    """network(x) for images x (N, C, H, W), a Tensor, with about `pixels` pixels at once in the features: in bands along the longer side.

    A band has at least one cell besides its surroundings. Raises OutOfMemoryError if that makes more than `most` pixels.
    """
    count, _, height, width = x.shape
    if count * height * width <= pixels:
        return network(x)
    axis, across = (2, width) if height >= width else (3, height)
    length, margin = x.shape[axis], math.ceil(halo(network) / _CELL)
    cells, rest = divmod(length, _CELL)  # the rest belongs to no cell, and yet to the last ones' surroundings
    own = max(1, (pixels // (count * across) - rest) // _CELL - 2 * margin)
    longest = (own + 2 * margin) * _CELL + rest
    if longest >= length:
        own, longest = cells, length
    needed = count * across * longest
    if most is not None and needed > most:
        each = bytes_per_pixel(network)
        raise OutOfMemoryError(
            f"an image of {height}×{width} needs about {readable(needed * each)} in the dense {network.title} even in bands of "
            f"{longest} pixels, but only {readable(most * each)} may be used. Lower --scales, or raise --memory."
        )
    parts = []
    for first in range(0, cells, own):
        last = min(first + own, cells)
        start, end = max(0, first - margin), last + margin
        features = network.features(_cut(x, axis, _CELL * start, _CELL * end if end < cells else None))
        parts.append(_cut(features, axis, first - start, last - start))
    return network.classifier(parts[0] if len(parts) == 1 else ops.concatenate(parts, axis))


def _cut(x: Any, axis: int, start: int, end: int | None) -> Any:
    return x[:, :, start:end] if axis == 2 else x[:, :, :, start:end]
