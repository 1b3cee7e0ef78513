"""Single ops, on the shapes that a VGG gives them, and the least work that each must do."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from minivgg.errors import ConfigError, nearest

from .architecture import layers
from .job import Job

__all__ = ["FAMILIES", "Case", "cases", "choose_families", "of_shape"]

# What a shape says, family by family.
FAMILIES = {
    "conv": "N×C×H×K: a 3×3 convolution of N images of H×H, from C channels to K",
    "bn_relu": "N×C×H: batch norm and ReLU",
    "pool": "N×C×H: 2×2 max pooling",
    "linear": "N×in×out: a fully connected layer",
    "sgd": "numbers of elements, an array each: the update of all parameters, with momentum and weight decay",
    "cross_entropy": "N×classes: loss and its gradient",
}
_DIMENSIONS = {"conv": 4, "bn_relu": 3, "pool": 3, "linear": 3, "cross_entropy": 2}
_FLOAT = 4  # bytes


class Case(NamedTuple):
    """An op family, "forward", "backward" or "both", and a shape as FAMILIES says."""

    family: str
    phase: str
    shape: tuple[int, ...]

    @property
    def wants_image_gradient(self) -> bool:
        """Not in front of a network's first convolution."""
        return not (self.family == "conv" and self.shape[1] <= 3)

    @property
    def flops(self) -> int:
        """2 × multiply-adds as counted directly, for products; 0 for ops that only move memory."""
        if self.family == "conv":
            n, c, h, k = self.shape
            products = 1 if self.phase == "forward" else 1 + self.wants_image_gradient
            return 2 * products * n * c * k * 9 * h * h
        if self.family == "linear":
            return 2 * (1 if self.phase == "forward" else 2) * math.prod(self.shape)
        return 0

    @property
    def bytes(self) -> int:
        """The least traffic of float32: each operand read once, each result written once."""
        if self.family == "sgd":
            return 5 * _FLOAT * sum(self.shape)  # reads gradient, velocity and weight, writes the last two
        if self.family == "cross_entropy":
            return 2 * _FLOAT * math.prod(self.shape)
        n, c, h = self.shape[:3]
        image = _FLOAT * n * c * h * h
        if self.family == "pool":
            return image + image // 4
        return 2 * image if self.phase == "forward" else 3 * image  # backward reads gy and x, and writes gx

    def __str__(self) -> str:
        shape = f"{sum(self.shape):,} in {len(self.shape)}" if self.family == "sgd" else "×".join(map(str, self.shape))
        return f"{self.family} {'' if self.phase == 'both' else self.phase}".rstrip() + f" {shape}"


def cases(job: Job) -> Iterator[Case]:
    """What one training step of the job consists of, each shape once."""
    seen, parameters = set(), []
    for layer in layers(job):
        if layer.kind in {"conv", "linear"}:
            parameters += [layer.inputs * layer.outputs * layer.kernel**2, layer.outputs]
        elif layer.kind == "bn":
            parameters += [layer.inputs] * 2
        family = {"bn": "bn_relu"}.get(layer.kind, layer.kind)
        if family not in _DIMENSIONS or (family == "conv" and layer.kernel != 3):
            continue
        n, c, h = job.batch, layer.inputs, layer.height
        shape = {"conv": (n, c, h, layer.outputs), "linear": (n, c, layer.outputs)}.get(family, (n, c, h))
        if (family, shape) not in seen:
            seen.add((family, shape))
            yield from (Case(family, phase, shape) for phase in ("forward", "backward"))
    yield Case("sgd", "both", tuple(parameters))
    yield Case("cross_entropy", "both", (job.batch, job.classes))


def choose_families(text: str) -> list[str]:
    """The families of a comma list; ConfigError for an unknown one."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in FAMILIES:
            raise ConfigError(f'unknown op "{name}": {nearest(name, FAMILIES)}')
    return names


def of_shape(family: str, text: str) -> list[Case]:
    """The cases of one family on a shape such as 128x64x32x64. ConfigError if the shape does not fit."""
    numbers = text.replace("×", "x").split("x")
    if not all(n.isdigit() and int(n) > 0 for n in numbers) or len(numbers) != _DIMENSIONS.get(family, len(numbers)):
        raise ConfigError(f'--shape of {family} is {FAMILIES[family].split(":")[0]}, such as 128x64x32, but is "{text}".')
    shape = tuple(map(int, numbers))
    if family in {"bn_relu", "pool"} and shape[0] * shape[2] < 2:
        raise ConfigError(f"{family} needs more than one image or images of 2×2 at least, but --shape is {text}.")
    return [
        Case(family, phase, shape) for phase in (("forward", "backward") if family in {"conv", "bn_relu", "pool", "linear"} else ("both",))
    ]
