"""A data set and a configuration small enough to train on in a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minivgg.train import TrainConfig


def stripes(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy 28×28 images in three classes: horizontal stripes, vertical stripes, none. Nobody should find them hard."""
    rng = np.random.default_rng(seed)
    images, labels = rng.integers(0, 100, (count, 28, 28), dtype=np.uint8), np.arange(count) % 3
    images[labels == 0, ::4] += 150
    images[labels == 1, :, ::4] += 150
    return images, labels


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    """96 images to train and 30 to test."""
    (x, y), (xt, yt) = stripes(96, 0), stripes(30, 1)
    np.savez(tmp_path / "stripes.npz", x_train=x, y_train=y, x_test=xt, y_test=yt)
    return tmp_path / "stripes.npz"


@pytest.fixture
def config(npz: Path, tmp_path: Path) -> Callable[..., TrainConfig]:
    """A configuration with batch norm and dropout: 2 epochs of 5 steps, a checkpoint every 2 steps. Keywords change it."""

    def make(**changes: Any) -> TrainConfig:
        base = {"data": str(npz), "out": str(tmp_path / "runs"), "width": 1 / 16, "head": "paper", "epochs": 2, "batch_size": 16}
        return TrainConfig(**{**base, "lr": 0.02, "device": "cpu", "checkpoint_every": 2, **changes})

    return make
