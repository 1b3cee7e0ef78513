"""Which network on which batch: the flags of a benchmark, checked."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from minivgg.errors import ConfigError, nearest
from minivgg.models.vgg import MODELS

from .command import at_least

__all__ = ["Job", "add_flags"]


@dataclass(frozen=True)
class Job:
    """A network and a batch. Raises ConfigError for what cannot be."""

    model: str = "vgg11_bn"
    size: int = 32
    batch: int = 128
    width: float = 1.0
    head: str = "linear"
    channels: int = 3
    classes: int = 10

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ConfigError(f'unknown model "{self.model}": {nearest(self.model, MODELS)}')
        if self.head not in {"linear", "paper"}:
            raise ConfigError(f'--head must be linear or paper, but is "{self.head}".')
        if not (math.isfinite(self.width) and self.width > 0):
            raise ConfigError(f"--width must be a finite number > 0, but is {self.width}.")
        at_least(32, size=self.size)
        at_least(1, batch=self.batch, channels=self.channels, classes=self.classes)

    @classmethod
    def of(cls, flags: argparse.Namespace) -> Job:
        """From parsed flags."""
        return cls(flags.model, flags.size, flags.batch, flags.width, flags.head, flags.channels, flags.classes)

    def images(self) -> Any:
        """float32 (batch, channels, size, size) in C order, the same in every process."""
        return np.random.default_rng(0).standard_normal((self.batch, self.channels, self.size, self.size), dtype=np.float32)

    def targets(self) -> Any:
        """int64 (batch,)."""
        return np.random.default_rng(1).integers(0, self.classes, self.batch)

    def __str__(self) -> str:
        grey = "" if self.channels == 3 else f", {self.channels} channel{'s' * (self.channels > 1)}"
        return f"{self.model} ×{self.width:g}, {self.size}×{self.size}{grey}, batch {self.batch}, head {self.head}, {self.classes} classes"


def add_flags(parser: argparse.ArgumentParser, **defaults: Any) -> None:
    """A flag for each field of Job."""
    job = Job(**defaults)
    parser.add_argument("--model", default=job.model, help=f"[default: {job.model}]")
    parser.add_argument("--width", type=float, default=job.width, help="factor on the number of filters [default: %(default)s]")
    parser.add_argument("--head", default=job.head, help="linear or paper [default: %(default)s]")
    texts = {"size": "height and width of the images", "batch": "images in a batch", "channels": "of an image", "classes": "outputs"}
    for name, text in texts.items():
        parser.add_argument(f"--{name}", type=int, default=getattr(job, name), help=f"{text} [default: %(default)s]")
