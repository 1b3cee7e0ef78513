"""The VGG networks: the paper's table, and a loop that builds from it.

Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", arXiv:1409.1556, Table 1.
Five blocks of 3×3 convolutions (stride 1, padding 1) and ReLUs, each closed by 2×2 max pooling, then three fully
connected layers. Batch norm is not the paper's; the _bn variants put it between each convolution and its ReLU.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from .. import nn
from ..backend.random import stream
from ..errors import ConfigError, ShapeError, nearest
from ..nn.init import Initialiser, fans

__all__ = ["COLUMNS", "MODELS", "NAMES", "VGG", "build"]

# Table 1, column by column. A number is a 3×3 convolution with so many filters, 1x1:n a 1×1 convolution, L local
# response normalisation, | the 2×2 max pooling that ends a block.
COLUMNS = {
    "A": "64 | 128 | 256 256 | 512 512 | 512 512 |",
    "A-LRN": "64 L | 128 | 256 256 | 512 512 | 512 512 |",
    "B": "64 64 | 128 128 | 256 256 | 512 512 | 512 512 |",
    "C": "64 64 | 128 128 | 256 256 1x1:256 | 512 512 1x1:512 | 512 512 1x1:512 |",
    "D": "64 64 | 128 128 | 256 256 256 | 512 512 512 | 512 512 512 |",
    "E": "64 64 | 128 128 | 256 256 256 256 | 512 512 512 512 | 512 512 512 512 |",
}
NAMES = {"vgg11": "A", "vgg11_lrn": "A-LRN", "vgg13": "B", "vgg16_1x1": "C", "vgg16": "D", "vgg19": "E"}

_HIDDEN = 4096  # units of the first two fully connected layers
_LARGEST = 1 << 20  # classes, channels or pixels: a slip of the keyboard should not ask for terabytes
_FULL_CELLS = 7  # a 224×224 image leaves 7×7 cells after five halvings


@dataclass(frozen=True)
class _Plan:
    """What all layers of one network share."""

    width: float
    init: str
    std: float
    seed: int
    ceil_mode: bool

    def channels(self, full: int) -> int:
        """`full` channels of the paper, scaled by the width."""
        return max(1, round(full * self.width))

    def weights(self, name: str, full_fan_in: int) -> dict[str, Any]:
        """Arguments that draw a layer's weights: from the stream of its name, by the chosen initialiser."""
        init: str | Initialiser = self.init
        if init == "paper":
            init = _gain_of_the_paper(self.std, full_fan_in)
        return {"init": init, "rng": stream(self.seed, "init", name)}


def _gain_of_the_paper(std: float, full_fan_in: int) -> Initialiser:
    """N(0, s²) with s = std·√(full fan-in / fan-in): `std`, the paper's 0.01, at full size, and its gain in miniature."""

    def draw(rng: Any, shape: tuple[int, ...]) -> Any:
        return nn.init.normal(std * math.sqrt(full_fan_in / fans(shape)[0]))(rng, shape)

    return draw


class _Blocks(nn.Sequential):
    """The layers under the same names, of which each block, up to its pooling, is run again in the backward pass."""

    def forward(self, x: Any) -> Any:
        start = 0
        for end, layer in enumerate(self, 1):
            if isinstance(layer, nn.MaxPool2d):
                x = nn.checkpoint(self[start:end], x)
                start = end
        return x


class VGG(nn.Module):
    """One of the paper's networks: `features`, `avgpool`, `classifier`, named as torchvision names them.

    Shapes  images (N, in_channels, H, W), H and W at least 32  →  logits (N, num_classes)
    """

    def __init__(
        self,
        column: str,
        batch_norm: bool,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 224,
        width: float = 1.0,
        head: str = "paper",
        init: str = "he",
        seed: int = 0,
        recompute: bool = False,
        title: str = "VGG",
        init_std: float = 0.01,
        ceil_mode: bool = False,
    ) -> None:
        _check(num_classes=num_classes, in_channels=in_channels, image_size=image_size)
        nn.init.initialiser(init)
        if head not in {"paper", "linear"}:
            raise ConfigError(f'head must be "paper" (4096-4096-classes) or "linear" (global pooling, one layer), but is {head!r}.')
        if image_size < 32 or not 0 < width <= 10_000:
            raise ConfigError(
                f"image_size must be at least 32 (five halvings) and width in (0, 10000], but they are {image_size} and {width}."
            )
        self.column, self.title, self.image_size, self.in_channels, self.num_classes = column, title, image_size, in_channels, num_classes
        self.ceil_mode = ceil_mode
        plan = _Plan(width, init, init_std, seed, ceil_mode)
        layers = _features(COLUMNS[column], batch_norm, in_channels, plan)
        self.features = _Blocks(*layers) if recompute else nn.Sequential(*layers)
        cells = image_size // 32 if head == "paper" else 1
        self.avgpool = nn.AdaptiveAvgPool2d(cells)
        last = plan.channels(512)
        if head == "linear":
            self.classifier: nn.Module = nn.Linear(last, num_classes, **plan.weights("classifier", 512))
        else:
            hidden = plan.channels(_HIDDEN)
            self.classifier = nn.Sequential(
                nn.Linear(last * cells * cells, hidden, **plan.weights("classifier.0", 512 * _FULL_CELLS**2)),
                nn.ReLU(),
                nn.Dropout(0.5, seed),
                nn.Linear(hidden, hidden, **plan.weights("classifier.3", _HIDDEN)),
                nn.ReLU(),
                nn.Dropout(0.5, seed),
                nn.Linear(hidden, num_classes, **plan.weights("classifier.6", _HIDDEN)),
            )
        for name, parameter in self.named_parameters():
            parameter.name = name

    def forward(self, x: Any) -> Any:
        """Images (N, C, H, W) → logits (N, num_classes)."""
        if x.ndim != 4 or min(x.shape[2:]) < 32:
            if x.ndim == 4 and x.shape[3] == self.in_channels and min(x.shape[1:3]) >= 32:
                raise ShapeError(
                    f"{self.title} needs images (N, C, H, W), but {x.shape} has its channels last. Use x.transpose((0, 3, 1, 2))."
                )
            size = "×".join(map(str, x.shape[2:])) if x.ndim == 4 else f"of shape {x.shape}"
            remedy = (
                f"Pad it (--image-size 32, data.Pad({(33 - min(x.shape[2:])) // 2})) or rescale it."
                if x.ndim == 4
                else "It must be (N, C, H, W)."
            )
            raise ShapeError(f"{self.title} halves the image five times, so it needs at least 32×32; the batch is {size}. {remedy}")
        x = self.avgpool(self.features(x))
        return self.classifier(x.reshape((x.shape[0], math.prod(x.shape[1:]))))

    def describe(self) -> str:
        """The arguments that `repr` shows."""
        return f"configuration {self.column}"


def _check(**sizes: int) -> None:
    for name, size in sizes.items():
        if not isinstance(size, Integral) or not 1 <= size <= _LARGEST:
            raise ConfigError(f"{name} must be a whole number in 1..{_LARGEST:,}, but is {size!r}.")


def _features(column: str, batch_norm: bool, in_channels: int, plan: _Plan) -> list[nn.Module]:
    layers: list[nn.Module] = []
    channels, full_channels = in_channels, in_channels
    for entry in column.split():
        if entry == "|":
            layers.append(nn.MaxPool2d(2, ceil_mode=plan.ceil_mode))
        elif entry == "L":
            layers.append(nn.LocalResponseNorm())
        else:
            kernel, full = (1, int(entry[4:])) if entry.startswith("1x1:") else (3, int(entry))
            weights = plan.weights(f"features.{len(layers)}", full_channels * kernel * kernel)
            layers.append(nn.Conv2d(channels, plan.channels(full), kernel, padding=kernel // 2, **weights))
            channels, full_channels = plan.channels(full), full
            layers += [nn.BatchNorm2d(channels), nn.ReLU()] if batch_norm else [nn.ReLU()]
    return layers


def _constructor(name: str, column: str, batch_norm: bool) -> Callable[..., VGG]:
    def construct(
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 224,
        width: float = 1.0,
        head: str = "paper",
        init: str = "he",
        seed: int = 0,
        recompute: bool = False,
        init_std: float = 0.01,
        ceil_mode: bool = False,
    ) -> VGG:
        return VGG(column, batch_norm, num_classes, in_channels, image_size, width, head, init, seed, recompute, name, init_std, ceil_mode)

    construct.__name__ = construct.__qualname__ = name
    construct.__doc__ = f"""Configuration {column} of the paper{", with batch norm before each ReLU" if batch_norm else ""}: a VGG.

    `head` is "paper" (pool to (image_size // 32)² cells, FC 4096-4096-classes with dropout 0.5) or "linear" (global
    pooling and one linear layer). `width` scales all channels and hidden units. `init`: "he", "glorot" or "paper"
    (N(0, init_std²), with its gain kept for other widths and sizes). Weights depend on `seed` and their names alone.
    `recompute` keeps only the blocks' inputs for the backward pass and runs each block again there: the same bits, a third
    more time, a fraction of the memory (nn.checkpoint). `ceil_mode` pools as Caffe does, 113 pixels of 225, where the rest pools to 112.
    Raises ConfigError for impossible arguments.
    """
    return construct


MODELS: dict[str, Callable[..., VGG]] = {}
for _name, _column in NAMES.items():
    MODELS[_name] = _constructor(_name, _column, False)
    if _column != "A-LRN":
        MODELS[f"{_name}_bn"] = _constructor(f"{_name}_bn", _column, True)


def build(name: str, **options: Any) -> VGG:
    """The model of that name. Raises ConfigError with the nearest valid name."""
    if name not in MODELS:
        raise ConfigError(f'unknown model "{name}": {nearest(name, MODELS)}')
    return MODELS[name](**options)
