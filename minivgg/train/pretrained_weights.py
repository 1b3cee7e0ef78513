"""First weights from a file: `weights`, any file that `pretrained.read` knows, or a run's folder.

All arrays of the network in the file are taken whose layers are the same here. The features must be the same, layer by layer. Of the
classifier are new, that is, random as the configuration draws them,

    the last layer       where the classes are others, by number or by name
    the whole of it      where the file has features only, another head, or fully connected layers for images of another size

Grey images: the first convolution is summed over the file's input channels, w'[k,0,r,s] = Σ_c w[k,c,r,s], which gives what w gives for
three equal channels. A grey pixel would make three equal ones only if all colours were normalised by the same numbers. So means and
deviations are averaged (`preprocessing`), and where the file's differ from colour to colour the first layer gives nearly, not exactly,
what it gave for the same picture in RGB.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, ConfigError
from ..pretrained import Network, read
from .config import TrainConfig
from .plan_folder import trained

__all__ = ["file_defaults", "take_pretrained"]

_FIRST = "features.0.weight"
_COUNTER = "num_batches_tracked"  # of batch norm; not every program keeps it, and no output depends on it
_OPTIONS = ("width", "head", "image_size", "ceil_mode")


def file_defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    """What the file that given["weights"] names says of the keys that are not given: network, head, sizes, and how colours are normalised.

    It is read only if one of these is missing. Raises CheckpointError as `pretrained.read` does, and for a network that is no VGG.
    """
    weights = given.get("weights")
    wanted = {"model", *_OPTIONS, "normalise"} - set(given)
    if not (isinstance(weights, str) and weights and wanted) or given.get("init_from"):
        return {}
    network, _ = _read(weights)
    options = {key: network.options[key] for key in _OPTIONS if key in network.options}
    if not network.whole:
        options.pop("head", None)
    return {"model": network.model, **options, "normalise": _normalise(network)}


def take_pretrained(model: Any, config: TrainConfig, classes: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Put into `model`, the network of `config`, what fits of the network in config.weights.

    Returns a sentence about what was taken, and the paths of the layers that are new. Raises CheckpointError, with both shapes and a
    remedy, if the features differ, the model then being unchanged; ConfigError if a new layer is frozen.
    """
    network, path = _read(config.weights)
    own, arrays = model.state_dict(), dict(network.arrays)
    notes = _fit_channels(arrays, own, path)
    _require_same_features(arrays, own, path, network, config)
    new, why = _new_layers(arrays, own, classes, network)
    modules = dict(model.named_modules())
    for name in new:
        if modules[name].frozen:
            raise ConfigError(f'freeze = "{config.freeze}" would keep {name} as it is, but it is new, and random. Freeze fewer layers.')
    taken = {name: array for name, array in arrays.items() if name in own and name.rpartition(".")[0] not in new}
    model.load_state_dict(taken, strict=False)
    return "; ".join([f"first weights from {path}, {network.model} of {network.origin}: {why}", *notes]), new


def _read(weights: str) -> tuple[Network, Path]:
    """The network, and the file that it is in."""
    path = Path(weights)
    if path.is_dir():
        path = trained(path).checkpoint()
    network = read(path)
    if not network.model:
        raise CheckpointError(
            f"{path}: holds a chain of {len(network.layers)} layers that is none of the paper's networks, so no network here can begin "
            "with it. If it has a VGG's convolutions, take those: minivgg convert FILE OUT.safetensors --only features"
        )
    return network, path


def _normalise(network: Network) -> str:
    """The key `normalise` with the file's numbers, each as precise as it is there."""
    found = network.normalise
    mean, std = (found.mean, found.std) if found else ((0.0,) * (n := int(network.options["in_channels"])), (1.0,) * n)
    return "/".join(",".join(repr(float(value)) for value in values) for values in (mean, std))


def _fit_channels(arrays: dict[str, Any], own: Mapping[str, Any], path: Path) -> list[str]:
    """Make the first convolution one for grey images, if these are and the file's are not. What was done, in words."""
    if _FIRST not in arrays or arrays[_FIRST].ndim != 4:
        return []
    there, here = arrays[_FIRST].shape[1], own[_FIRST].shape[1]
    if here == 1 < there:
        arrays[_FIRST] = arrays[_FIRST].sum(axis=1, keepdims=True, dtype="float64").astype("float32")
        return [f"{_FIRST} is summed over its {there} input channels, for grey images"]
    if there == 1 < here:
        raise CheckpointError(f"{path}: its network takes grey images, but the images here have {here} channels. Read them with --grey.")
    return []


def _require_same_features(arrays: Mapping[str, Any], own: Mapping[str, Any], path: Path, network: Network, config: TrainConfig) -> None:
    """Raise CheckpointError for the first array of the features that differs."""
    for name in dict.fromkeys([*own, *arrays]):
        if name.startswith("classifier") or name.endswith(_COUNTER):
            continue
        here, there = (tuple(found[name].shape) if name in found else "missing" for found in (own, arrays))
        if here != there:
            sizes = f"{network.model} of width {network.options.get('width', 1.0):g}"
            raise CheckpointError(
                f"{path}: cannot give {config.model} of width {config.width:g} its first weights: {name} is {there} there and {here} here. "
                f"The file's network is {sizes}: leave out --model and --width, or give these."
            )


def _new_layers(
    arrays: Mapping[str, Any], own: Mapping[str, Any], classes: tuple[str, ...], network: Network
) -> tuple[tuple[str, ...], str]:
    """The layers of the classifier that are new, and why."""
    here, there = _classifier(own), _classifier(arrays)
    if not there:
        return tuple(here), "all features; the classifier is new: the file has none"
    if list(here) != list(there):
        heads = {True: "linear", False: "paper"}
        return tuple(here), (f"all features; the classifier is new: head = {heads[len(here) == 1]} here, {heads[len(there) == 1]} there")
    *hidden, last = here
    for name in here:
        ours, theirs = here[name], there[name]
        if ours != theirs and (name in hidden or ours[1:] != theirs[1:]):
            return tuple(
                here
            ), f"all features; the classifier is new: {name}.weight is {theirs} there, for images of another size, and {ours} here"
    if here[last] != there[last]:
        why = f"{here[last][0]} classes here, {there[last][0]} there"
    elif classes != network.classes:
        why = f"other classes, {_some(classes)} here, {_some(network.classes)} there"
    else:
        return (), "all layers"
    return (last,), f"all other layers; {last} is new: {why}"


def _classifier(arrays: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The shapes of the weights of the classifier's layers, by path, in order."""
    return {
        name.removesuffix(".weight"): tuple(arrays[name].shape)
        for name in sorted(arrays)
        if name.startswith("classifier") and name.endswith(".weight")
    }


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:2]) + (", …" if len(names) > 2 else "")
