"""The drawing of a network in text."""

from __future__ import annotations

import numpy as np
import pytest

from minivgg import models
from minivgg.models import drawing


@pytest.mark.parametrize("name", models.MODELS)
def test_each_block_and_layer_is_drawn(name):
    """One line for the image, five blocks, the pool and each FC layer; every convolution of the table is named."""
    model = models.build(name, num_classes=9, image_size=64, width=1.0, init=lambda rng, shape: np.zeros(shape, "float32"))
    text = drawing(model)
    lines = text.splitlines()
    assert lines[0] == f"{name}: configuration {model.column}" and "3×64×64" in lines[1]
    blocks = [line for line in lines if line.startswith("block")]
    assert [line.split()[1] for line in blocks] == ["1", "2", "3", "4", "5"]
    for line, column, size in zip(blocks, models.COLUMNS[model.column].split("|"), [64, 32, 16, 8, 4], strict=False):
        drawn = [part for part in line.replace("→", " ").split() if part.startswith("conv")]
        expected = [f"conv1-{entry[4:]}" if entry.startswith("1x1") else f"conv3-{entry}" for entry in column.split() if entry != "L"]
        assert drawn == expected and f"×{size}×{size}" in line
        assert line.count("BN") == (len(expected) if name.endswith("_bn") else 0) and line.count("ReLU") == len(expected)
    assert ("LRN" in blocks[0]) == (name == "vgg11_lrn") and "512×2×2" in text
    assert [line.split()[:2] for line in lines[-3:]] == [["fc", "6"], ["fc", "7"], ["fc", "8"]]
    assert "4096" in lines[-2] and " 9 " in lines[-1]


def test_the_linear_head_is_one_line():
    """Global pooling and one layer."""
    text = drawing(models.vgg11(num_classes=9, image_size=32, width=1 / 16, head="linear"))
    assert "mean over the image" in text and text.splitlines()[-1].startswith("fc 1") and "32×1×1" in text
