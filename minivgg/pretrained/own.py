"""This package's own file of a network: a checkpoint (`weights.checkpoint`) whose state describes the network in place of a run.

    {"network": {"model": …, "options": {…}, "layers": […], "origin": …, "whole": …, "notes": […]}, "classes": […], "preprocessing": {…},
     "images": …}

"images" tells of the images that a run was trained on, as in its checkpoints, and is left out where it is unknown: the size to which images
are brought before anything else.

Such a file has the digest of a checkpoint, so that no damaged one is ever believed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import data, nn
from ..errors import CheckpointError
from ..weights import Checkpoint, save_checkpoint
from .network import Network

__all__ = ["network_of", "save"]

_OPTIONS = ("num_classes", "in_channels", "image_size", "width", "head", "ceil_mode")


def save(path: str | Path, network: Network, bfloat16: bool = False) -> None:
    """Write the network into a .safetensors file, in one step; with `bfloat16` its float32 arrays in that type, rounded.

    Raises StorageError if that cannot be done.
    """
    about = {
        "model": network.model,
        "options": dict(network.options),
        "layers": [layer.to_json() for layer in network.layers],
        "origin": network.origin,
        "whole": network.whole,
        "notes": list(network.notes),
    }
    state = {"network": about, "classes": list(network.classes), "preprocessing": network.transform.to_json()}
    state |= {key: value for key, value in network.state.items() if key == "images"}
    save_checkpoint(path, Checkpoint(network.arrays, {}, state), bfloat16)


def network_of(checkpoint: Checkpoint, path: str) -> Network:
    """The network of a checkpoint: of a file that `save` wrote, or of a run. Raises CheckpointError if its state describes neither."""
    state = checkpoint.state
    try:
        classes, transform = tuple(state["classes"]), data.from_json(state["preprocessing"])
        if "network" in state:
            about = state["network"]
            _check(state, about)
            layers = tuple(nn.Layer.of(layer) for layer in about["layers"])
            return Network(
                about["model"], about["options"], checkpoint.model, classes, transform,
                layers, about["origin"], about["whole"], tuple(about["notes"]),
                {key: state[key] for key in ("images",) if key in state},
            )  # fmt: skip
        config = state["config"]
        _, _, channels = state["images"]["shape"]
        if not isinstance(config["model"], str):
            raise TypeError("the model's name is no text")
        options = {
            **{key: config[key] for key in _OPTIONS if key in config},
            "num_classes": len(classes),
            "in_channels": channels,
        }
        return Network(config["model"], options, checkpoint.model, classes, transform, state=state)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path}: its state does not describe a model ({type(error).__name__}: {error}).") from None


def _check(state: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Raise TypeError for values of another type than `save` writes, ValueError for classes that are not as many as the scores."""
    numbers = [about["options"][key] for key in ("num_classes", "in_channels", "image_size")]
    texts = [about["model"], about["origin"], *about["notes"], *state["classes"]]
    if any(type(number) is not int for number in numbers) or not all(isinstance(text, str) for text in texts):
        raise TypeError("a size is no whole number, or a name no text")
    if len(state["classes"]) not in {0, about["options"]["num_classes"]}:
        raise ValueError(f"{len(state['classes'])} names for {about['options']['num_classes']} classes")
