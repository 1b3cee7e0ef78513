"""A VGG as a list of plain layers, read off the paper's table: every peer builds its network from it, and it is counted here.

Names are minivgg's and torchvision's: a layer's parameters are `features.3.weight` and so on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from minivgg.models.vgg import COLUMNS, NAMES

from .job import Job

__all__ = ["Layer", "classifier", "features", "forward_multiply_adds", "layers", "training_multiply_adds"]


class Layer(NamedTuple):
    """`kind` is conv, bn, relu, pool, lrn, mean (over what is left of the image), flatten, linear or dropout.

    `inputs` and `outputs` are channels or features; `kernel` is a convolution's size, `height` the image's before the layer.
    """

    name: str
    kind: str
    inputs: int
    outputs: int
    kernel: int
    height: int

    @property
    def multiply_adds(self) -> int:
        """For one image, counted as a direct convolution with padding that keeps the size, or as a matrix product."""
        if self.kind not in {"conv", "linear"}:
            return 0
        return self.inputs * self.outputs * self.kernel**2 * self.height**2


def features(job: Job) -> Iterator[Layer]:
    """The five blocks."""
    name, batch_norm = job.model.removesuffix("_bn"), job.model.endswith("_bn")
    channels, height, number = job.channels, job.size, 0
    for entry in COLUMNS[NAMES[name]].split():
        if entry == "|":
            kinds, outputs, kernel = ["pool"], channels, 2
        elif entry == "L":
            kinds, outputs, kernel = ["lrn"], channels, 0
        else:
            kernel, full = (1, int(entry[4:])) if entry.startswith("1x1:") else (3, int(entry))
            kinds, outputs = ["conv", "bn", "relu"] if batch_norm else ["conv", "relu"], _scaled(full, job.width)
        for kind in kinds:
            yield Layer(f"features.{number}", kind, channels, outputs, kernel, height)
            channels, number = outputs, number + 1
        height //= 2 if entry == "|" else 1


def classifier(job: Job) -> Iterator[Layer]:
    """The head: the mean and one linear layer, or the paper's three with dropout."""
    channels, cells = _scaled(512, job.width), job.size // 32
    if job.head == "linear":
        yield Layer("avgpool", "mean", channels, channels, cells, cells)
        yield Layer("flatten", "flatten", channels, channels, 0, 1)
        yield Layer("classifier", "linear", channels, job.classes, 1, 1)
        return
    yield Layer("flatten", "flatten", channels, channels * cells**2, 0, cells)
    sizes = [channels * cells**2, *[_scaled(4096, job.width)] * 2, job.classes]
    for i in range(3):
        yield Layer(f"classifier.{3 * i}", "linear", sizes[i], sizes[i + 1], 1, 1)
        for j, kind in enumerate(("relu", "dropout") if i < 2 else ()):
            yield Layer(f"classifier.{3 * i + j + 1}", kind, sizes[i + 1], sizes[i + 1], 0, 1)


def layers(job: Job) -> list[Layer]:
    """All layers in order."""
    return [*features(job), *classifier(job)]


def forward_multiply_adds(job: Job) -> int:
    """Multiply-adds of one image through all convolutions and linear layers."""
    return sum(layer.multiply_adds for layer in layers(job))


def training_multiply_adds(job: Job) -> int:
    """Forward, and backward by weights and by inputs, which cost as much each; nobody needs the gradient of the image itself."""
    counts = [layer.multiply_adds for layer in layers(job)]
    return 3 * sum(counts) - counts[0]


def _scaled(full: int, width: float) -> int:
    return max(1, round(full * width))
