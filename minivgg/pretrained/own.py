"""This package's own file of a network: a checkpoint (`weights.checkpoint`) whose state describes the network in place of a run.

    {"network": {"model": …, "options": {…}, "layers": […], "origin": …, "whole": …, "notes": […]}, "classes": […], "preprocessing": {…},
     "images": …, "split": {"val_split": …, "seed": …}}

"images" tells of the images that a run was trained on, as in its checkpoints: the size to which images are brought before anything else.
"split" tells which of them it held out. Both are left out where they are unknown.

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
from .preparing import require_sound

__all__ = ["network_of", "save"]

_SPLIT = ("val_split", "seed")  # of a run's configuration
_MOST_PIXELS = 50_000_000  # of an image, as in data
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
    config = network.state.get("config")
    split = {key: config[key] for key in _SPLIT} if config else network.state.get("split")
    state |= {key: value for key, value in (("images", network.state.get("images")), ("split", split)) if value}
    save_checkpoint(path, Checkpoint(network.arrays, {}, state), bfloat16)


def network_of(checkpoint: Checkpoint, path: str) -> Network:
    """The network of a checkpoint: of a file that `save` wrote, or of a run. Raises CheckpointError if its state describes neither."""
    state = checkpoint.state
    try:
        classes, transform = tuple(state["classes"]), data.from_json(state["preprocessing"])
        about = state.get("network")
        _, _, channels = (0, 0, about["options"]["in_channels"]) if about else state["images"]["shape"]
        _require_images(state, channels)
        require_sound(transform, channels)
        if about:
            _check(state, about)
            layers = tuple(nn.Layer.of(layer) for layer in about["layers"])
            return Network(
                about["model"], about["options"], checkpoint.model, classes, transform,
                layers, about["origin"], about["whole"], tuple(about["notes"]),
                {key: state[key] for key in ("images", "split") if key in state},
            )  # fmt: skip
        config = state["config"]
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
    """Raise TypeError for values of another type than `save` writes, ValueError for another number of classes than the network has."""
    options, classes, whole = about["options"], state["classes"], about["whole"]
    numbers = [options[key] for key in ("num_classes", "in_channels", "image_size")]
    texts = [about["model"], about["origin"], *about["notes"]]
    flags = [whole, options.get("ceil_mode", False)]
    if any(type(number) is not int for number in numbers) or not all(map(_printable, texts)):
        raise TypeError("a size is no whole number, or a name no printable text")
    if not all(isinstance(flag, bool) for flag in flags) or not isinstance(state.get("split", {}), dict):
        raise TypeError('"whole" or "ceil_mode" is neither true nor false, or "split" no table')
    if len(classes) != (options["num_classes"] if whole else 0):
        raise ValueError(f"{len(classes)} names of classes for {options['num_classes'] if whole else 0} scores")


def _require_images(state: Mapping[str, Any], channels: int) -> None:
    """Raise TypeError or ValueError unless the classes are texts, and the images, if told of, have a size that images can have, and as
    many channels as the network."""
    if not isinstance(state["classes"], list) or not all(map(_printable, state["classes"])):
        raise TypeError("the names of the classes are no list of printable texts")
    if "images" not in state:
        return
    height, width, found = state["images"]["shape"]
    sized = type(height) is type(width) is int and min(height, width) > 0 and height * width <= _MOST_PIXELS
    if not (sized or height is width is None) or found != channels or found not in {1, 3}:
        raise ValueError(f"images cannot be of {height}×{width} pixels with {found} channels")


def _printable(text: Any) -> bool:
    """Whether it is a text that a terminal shows and does not obey."""
    return isinstance(text, str) and text.isprintable()
