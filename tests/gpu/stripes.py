"""A data set that a small network learns in a few steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ["write"]


def write(folder: Path, train: int = 30, test: int = 6) -> Path:
    """stripes.npz, grey 28×28 images in three classes (horizontal stripes, vertical ones, none), and one of them as a.png."""
    rng, count = np.random.default_rng(0), train + test
    images, labels = rng.integers(0, 100, (count, 28, 28), dtype=np.uint8), np.arange(count) % 3
    images[labels == 0, ::4] += 150
    images[labels == 1, :, ::4] += 150
    np.savez(folder / "stripes.npz", x_train=images[:train], y_train=labels[:train], x_test=images[train:], y_test=labels[train:])
    Image.fromarray(images[0]).save(folder / "a.png")
    return folder / "stripes.npz"
