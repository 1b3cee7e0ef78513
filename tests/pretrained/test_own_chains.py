"""Files of this package's own with a whole digest that say nonsense of a chain of layers: anybody can write one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from minivgg import nn, pretrained
from minivgg.errors import CheckpointError

LAYERS = (nn.Layer("conv2d", "a"), nn.Layer("adaptive_avg_pool", "b", {"output_size": 1}), nn.Layer("flatten", "c"))
ARRAYS = {"a.weight": np.ones((2, 3, 3, 3), np.float32)}


def saved(folder: Path, *more: nn.Layer, classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    """A chain for two classes, and more layers, in a file."""
    options = {"num_classes": 2, "in_channels": 3, "image_size": 32}
    transform = pretrained.preparation("unit").transform(32)
    network = pretrained.Network("", options, ARRAYS, classes, transform, layers=(*LAYERS, *more), origin="ONNX")
    pretrained.save(folder / "own.safetensors", network)
    return folder / "own.safetensors"


def test_a_sound_chain_is_built(tmp_path: Path) -> None:
    """The layers under their names, and one more."""
    model = pretrained.read(saved(tmp_path, nn.Layer("relu", "d"))).build()
    assert [name for name, _ in model.named_children()] == ["a", "b", "c", "d"]


@pytest.mark.parametrize("name", ["b", "", "c.d", "forward", "train", "eval", "state_dict", "__weakref__"])
def test_names_that_a_chain_cannot_have_are_refused(tmp_path: Path, name: str) -> None:
    """One that occurs twice would take the other layer's place, one of a module's own methods the method's."""
    with pytest.raises(CheckpointError, match="the arrays do not make a network: a layer has the name"):
        pretrained.read(saved(tmp_path, nn.Layer("relu", name))).build()


@pytest.mark.parametrize("classes", [(), ("cat",), ("cat", "dog", "cow")])
def test_as_many_names_as_classes(tmp_path: Path, classes: tuple[str, ...]) -> None:
    """Scores without a name, or names without a score, are refused."""
    with pytest.raises(CheckpointError, match=f"own.safetensors: its state .*{len(classes)} names of classes for 2 scores"):
        pretrained.read(saved(tmp_path, classes=classes))
