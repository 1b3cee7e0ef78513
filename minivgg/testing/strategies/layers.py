"""Layers as data: drawn, built and printed; and the sizes that follow from one to the next."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from ... import nn
from ...ops.windows import Geometry
from .source import source

__all__ = ["Layer", "draw_body"]

Shape = tuple[int, ...]  # (C, H, W) of one image


@dataclass(frozen=True)
class Layer:
    """A class of `minivgg.nn` by name, with its keyword arguments."""

    name: str
    arguments: dict[str, Any]

    def build(self) -> nn.Module:
        """The layer."""
        made: nn.Module = getattr(nn, self.name)(**self.arguments)
        return made

    def code(self) -> str:
        """The expression that builds it."""
        return f"nn.{self.name}({', '.join(f'{key}={source(value)}' for key, value in self.arguments.items())})"


def draw_body(draw: st.DrawFn, shape: Shape, max_blocks: int) -> tuple[list[Layer], int]:
    """(layers, features that come out of them per image) for images of `shape`."""
    layers: list[Layer] = []
    for number in range(max_blocks):
        if not draw(st.integers(0, 2)):
            break
        convolution, shape = _convolution(draw, shape)
        layers.append(convolution)
        if draw(st.booleans()):  # a large eps: channels of a tiny batch can be nearly constant
            layers.append(Layer("BatchNorm2d", {"channels": shape[0], "eps": 0.1}))
        layers += [Layer("ReLU", {})] if draw(st.booleans()) else []
        more, shape = _rest_of_block(draw, shape, number)
        layers += more
    if draw(st.booleans()):
        cells = draw(st.integers(1, 2)), draw(st.integers(1, 2))
        layers.append(Layer("AdaptiveAvgPool2d", {"output_size": cells}))
        shape = (shape[0], *cells)
    return layers, math.prod(shape)


def _convolution(draw: st.DrawFn, shape: Shape) -> tuple[Layer, Shape]:
    """3×3 that keeps the size, 1×1, or a stride of 2."""
    channels, height, width = shape
    kernel, stride = draw(st.sampled_from(((3, 1), (1, 1), (3, 2))))
    groups = draw(st.sampled_from((1, channels)))
    out = groups * draw(st.integers(1, 2)) if groups > 1 else draw(st.integers(1, 4))
    g = Geometry((kernel, kernel), (stride, stride), (kernel // 2, kernel // 2))
    arguments = {"in_channels": channels, "out_channels": out, "kernel_size": kernel, "stride": stride, "padding": kernel // 2}
    bias = draw(st.sampled_from((True, False)))
    return Layer("Conv2d", {**arguments, "groups": groups, "bias": bias}), (out, *g.output(height, width))


def _rest_of_block(draw: st.DrawFn, shape: Shape, number: int) -> tuple[list[Layer], Shape]:
    """Nothing, pooling, local response normalisation or dropout."""
    kind = draw(st.sampled_from(("nothing", "pool", "overlapping pool", "lrn", "dropout")))
    if kind == "lrn":
        return [Layer("LocalResponseNorm", {"size": draw(st.integers(1, 5)), "alpha": 0.1})], shape
    if kind == "dropout":
        return [Layer("Dropout", {"p": 0.5, "seed": number})], shape
    if kind == "pool" and min(shape[1:]) >= 2:
        ceil_mode = draw(st.booleans())
        g = Geometry((2, 2), (2, 2), ceil_mode=ceil_mode)
        return [Layer("MaxPool2d", {"kernel_size": 2, "ceil_mode": ceil_mode})], (shape[0], *g.output(*shape[1:]))
    if kind == "overlapping pool":
        g = Geometry((3, 3), (2, 2), (1, 1))
        return [Layer("MaxPool2d", {"kernel_size": 3, "stride": 2, "padding": 1})], (shape[0], *g.output(*shape[1:]))
    return [], shape
