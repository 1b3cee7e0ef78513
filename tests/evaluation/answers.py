"""Answers of an imagined network, and a small real one, for the tests of figures and pages."""

from __future__ import annotations

import numpy as np

from minivgg import data, models
from minivgg.backend.device import Device
from minivgg.evaluation.scored import Scored
from minivgg.train import Predictor, TrainConfig


def answers(n: int = 60, k: int = 4, seed: int = 0, strength: float = 1.5, **changes: object) -> Scored:
    """n images of k classes, of which about two in three are classified right; all probabilities differ. Keywords replace fields."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n)
    z = rng.standard_normal((n, k))
    z[np.arange(n), labels] += strength
    p = np.exp(z)
    fields = {
        "probabilities": p / p.sum(axis=1, keepdims=True),
        "labels": labels,
        "classes": tuple(f"class {c}" for c in range(k)),
        "names": tuple(f"val/{i}.png" for i in range(n)),
        "protocol": "center",
    }
    return Scored(**{**fields, **changes})  # type: ignore[arg-type]


def predictor(channels: int = 1, classes: int = 4, name: str = "vgg11", head: str = "paper", device: str = "cpu") -> Predictor:
    """An untrained network for 28×28 images."""
    model = models.build(name, num_classes=classes, in_channels=channels, image_size=32, width=1 / 16, head=head).to(device=device).eval()
    transform = data.Compose((data.Crop(32, 2), data.Normalise((0.5,) * channels, (0.25,) * channels)))
    config = TrainConfig(model=name, width=1 / 16, head=head, device=device)
    names = tuple(f"class {c}" for c in range(classes))
    return Predictor(model, names, transform, (28, 28, channels), config, Device(device), {})


def noise(k: int, channels: int = 1) -> np.ndarray:
    """Image k: 28×28 pixels of noise."""
    return np.random.default_rng(k).integers(0, 256, (28, 28, channels), dtype=np.uint8)
