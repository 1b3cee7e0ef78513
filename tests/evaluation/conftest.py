"""Networks that were never trained, for images of 32×32: what is tested is how they are asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minivgg as mv
from minivgg import data, models
from minivgg.backend.device import Device
from minivgg.train import Predictor, TrainConfig

CLASSES = ("a", "b", "c")


@pytest.fixture
def predictor() -> Callable[..., Predictor]:
    """make(steps=…, shape=…, …): a predictor with these transforms before Normalise; further keywords change the configuration."""

    def make(
        *steps: data.Transform, shape: Any = (None, None, 3), name: str = "vgg11_bn", head: str = "paper", seed: int = 0, **changes: Any
    ) -> Predictor:
        config = TrainConfig(device="cpu", width=1 / 32, model=name, head=head, **changes)
        channels = shape[2]
        model = models.build(name, num_classes=3, in_channels=channels, image_size=config.image_size, width=1 / 32, head=head, seed=seed)
        _spread(model.eval(), channels)
        normalise = data.Normalise((0.4,) * channels, (0.25,) * channels)
        return Predictor(model, CLASSES, data.Compose((*steps, normalise)), shape, config, Device("cpu"), {})

    return make


def _spread(model: Any, channels: int) -> None:
    """Give the logits mean 0 and deviation 1 over images of noise, so that posteriors tell images and views apart."""
    last = model.classifier if hasattr(model.classifier, "weight") else model.classifier[6]
    coarse = np.random.default_rng(0).standard_normal((16, channels, 8, 8)).astype(np.float32)
    with mv.no_grad():
        logits = model(mv.Tensor(coarse.repeat(4, 2).repeat(4, 3))).data
    last.weight.data[...] /= logits.std(0)[:, None]
    last.bias.data[...] = -logits.mean(0) / logits.std(0)


@pytest.fixture
def dataset() -> Callable[..., data.Dataset]:
    """make(count, height, width, channels): smooth noise, so that scaling and mirroring matter."""

    def make(count: int = 5, height: int = 40, width: int = 50, channels: int = 3) -> data.Dataset:
        rng = np.random.default_rng(count)
        coarse = rng.integers(0, 256, (count, height // 4 + 1, width // 4 + 1, channels), dtype=np.uint8)
        images = coarse.repeat(4, 1).repeat(4, 2)[:, :height, :width]
        return data.Dataset(images, np.arange(count) % 3, CLASSES, "noise")

    return make
