"""Weights to begin with that come from another network: `init_from`.

The same network gives all it has. Another one gives, as net A does in the paper, the convolutions conv1_1, conv2_1, conv3_1 and conv3_2
and the fully connected layers, by these names (`models.blocks`); the rest stays random.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import models
from ..errors import CheckpointError
from ..weights import Checkpoint, load_checkpoint
from .config import TrainConfig
from .plan_folder import trained

__all__ = ["take_weights"]


def take_weights(model: Any, config: TrainConfig) -> str:
    """Put into `model`, the network of `config`, the weights that config.init_from names, and say which they were.

    init_from is a checkpoint file, a run folder or a plan's folder; of a folder the last checkpoint is taken, not the best: the paper
    goes on from nets whose training is finished. Raises CheckpointError, with both shapes and a remedy, if they do not fit; the model
    is then unchanged.
    """
    path = Path(config.init_from)
    if path.is_dir():
        path = trained(path).checkpoint()
    source = load_checkpoint(path)
    theirs, epochs = _described(source, path)
    if theirs.model == config.model:
        wanted, layers = {name: name for name in model.state_dict()}, "all layers"
    else:
        wanted, names = _shared(model, config, theirs, path)
        layers = ", ".join(names)
    state = model.state_dict()
    for ours, name in wanted.items():
        there = tuple(source.model[name].shape) if name in source.model else "missing"
        here = tuple(state[ours].shape)
        if there != here:
            raise CheckpointError(
                f"{path}: cannot give {config.model} its first weights: {name} is {there} there, and {ours} is {here} here "
                f"({_differences(theirs, config)}). Train with the same --width, --head, --image-size and classes as that run."
            )
        state[ours] = source.model[name]
    model.load_state_dict(state)
    rest = "" if layers == "all layers" else "; the other layers are random"
    return f"first weights from {path}, {theirs.model} after {epochs} epochs: {layers}{rest}"


def _described(source: Checkpoint, path: Path) -> tuple[TrainConfig, int]:
    """The configuration and the number of epochs of a checkpoint."""
    try:
        return TrainConfig.of(source.state["config"], source=str(path)), source.state["progress"]["epoch"]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: its state does not describe a run ({type(error).__name__}: {error}).") from None


def _shared(model: Any, config: TrainConfig, theirs: TrainConfig, path: Path) -> tuple[dict[str, str], list[str]]:
    """{name of an array here: its name there} of the layers that the paper takes over, and the layers' names."""
    here, there = models.blocks(config.model, config.head), models.blocks(theirs.model, theirs.head)
    names = [name for name in models.STAGED if name in here and name in there]
    if config.model.endswith("_bn") != theirs.model.endswith("_bn"):
        raise CheckpointError(
            f"{path}: {theirs.model} cannot give {config.model} its first weights: one of them has batch norm, the other has not. "
            f"Start from {models.shallow(config.model)}."
        )
    wanted = {}
    for name in names:
        for module, source in zip(here[name], there[name], strict=True):
            wanted.update({key: source + key[len(module) :] for key in model.state_dict() if key.startswith(f"{module}.")})
    return wanted, names


def _differences(theirs: TrainConfig, ours: TrainConfig) -> str:
    keys = ("model", "width", "head", "image_size", "grey")
    a: Mapping[str, Any] = theirs.mapping()
    b: Mapping[str, Any] = ours.mapping()
    found = [f"{key} {a[key]} there, {b[key]} here" for key in keys if a[key] != b[key]]
    return "; ".join(found) or "the classes or channels of the images differ"
