"""From arrays that are recognised to a `Network`: turned, under this package's names, with options and classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..backend.arrays import Array
from ..errors import CheckpointError, ConfigError
from .imagenet import imagenet_classes
from .network import Network
from .preparing import PREPARATIONS
from .recognise import Fit
from .report import Match, Report, listed
from .turning import flipped

__all__ = ["Wishes", "assembled", "class_names", "require_fit"]

_MOST_CLASSES = 100_000
_REMEDY = "Load what fits with --no-strict (strict=False), or the features alone with --only features."


@dataclass(frozen=True)
class Wishes:
    """What the caller wants, as in `read`."""

    prepared: str = ""
    only: str = ""
    model: str = ""
    strict: bool = True
    image_size: int = 0


def require_fit(fit: Fit, path: str, wishes: Wishes) -> Fit:
    """The fit, or that of its features alone, if the arrays are good enough for it. Raises CheckpointError, with what differs."""
    name = f"{fit.model} with the names of {fit.origin}"
    lacks, others = fit.lacks(features=True), fit.lacks(features=False)
    if lacks:
        raise CheckpointError(f"{path}: is nearest to {name}, but does not make it: {_differences(fit)}. Check that it is a file of a VGG.")
    strange = [name for name in fit.left_over if fit.convention is not None and fit.convention.of_features(name)]
    if wishes.only:
        if strange and wishes.strict:
            raise CheckpointError(
                f"{path}: is nearest to {name}, but has features beyond it: {listed(strange)}. Ignore them with --no-strict."
            )
        return _features(fit)
    if wishes.strict and (others or fit.left_over):
        raise CheckpointError(f"{path}: is nearest to {name}, but does not fit it: {_differences(fit)}. {_REMEDY}")
    return _features(fit) if others else fit


def assembled(
    fit: Fit, arrays: dict[str, Array], path: str, wishes: Wishes, prepared: str, bgr: bool, ceil_mode: bool,
    *, prefix: str = "", notes: Sequence[str] = (),
) -> Network:  # fmt: skip
    """The network of a fit. `arrays` is emptied as they are turned, so that none of the large ones is there twice for long.

    prepared: by whose custom, unless wishes say; bgr: whether the first filters expect blue first; ceil_mode: whether pooling rounds up;
    prefix: what was taken off all names. Raises ConfigError if the network cannot have the wished image size.
    """
    size = _image_size(fit, path, wishes)
    bgr = fit.sizes.in_channels == 3 and (PREPARATIONS[wishes.prepared].bgr if wishes.prepared else bgr)
    last = fit.sizes.scaled(512)
    found: dict[str, Array] = {}
    matched = []
    for name, place in fit.places.items():
        array, done = fit.storage.turned(arrays.pop(name), place.layer, place.ours.rpartition(".")[2], last)
        if bgr and place.layer == "conv1_1" and array.ndim == 4:
            array, done = flipped(array), ", ".join([done] * bool(done) + ["BGR → RGB"])
        found[place.ours] = array
        matched.append(Match(prefix + name, place.ours, place.layer, tuple(array.shape), done))
    order = {name: position for position, name in enumerate(fit.shapes)}
    for name, shape in fit.shapes.items():
        if name not in found:  # biases, and counters that nothing is computed with
            found[name] = np.zeros(shape, np.int64 if name.endswith("num_batches_tracked") else np.float32)
    options = {
        "num_classes": fit.sizes.num_classes if fit.head else 1, "in_channels": fit.sizes.in_channels, "image_size": size,
        "width": fit.sizes.width, "head": fit.head or "linear", "ceil_mode": ceil_mode,
    }  # fmt: skip
    notes = [
        *notes,
        *["The first filters' input channels were turned round: the file expects blue first."] * bgr,
        *[f'"{prefix}" was taken off all names.'] * bool(prefix),
        *["The convolutions had no biases and got zeros."] * (not fit.biases),
        *["Only the features were taken."] * (not fit.head),
    ]
    return Network(
        fit.model, options, {name: found[name] for name in sorted(found, key=order.__getitem__)},
        class_names(fit.sizes.num_classes) if fit.head else (),
        PREPARATIONS[wishes.prepared or prepared].transform(size, fit.sizes.in_channels),
        origin=fit.origin, whole=bool(fit.head), notes=tuple(notes),
        report=Report(tuple(sorted(matched, key=lambda match: order[match.ours])), (), tuple(prefix + name for name in fit.left_over)),
    )  # fmt: skip


def class_names(count: int) -> tuple[str, ...]:
    """ImageNet's, where there are 1000; "class 0" and so on otherwise. Raises CheckpointError for more than 100,000: their names would
    take more memory than the file's arrays."""
    if count > _MOST_CLASSES:
        raise CheckpointError(f"its {count:,} outputs are no classes; there can be {_MOST_CLASSES:,}.")
    return imagenet_classes() if count == 1000 else tuple(f"class {k}" for k in range(count))


def _features(fit: Fit) -> Fit:
    """The same without the classifier."""
    kept = {name: place for name, place in fit.places.items() if place.ours.startswith("features")}
    rest = tuple(name for name in fit.places if name not in kept)
    shapes = {name: shape for name, shape in fit.shapes.items() if name.startswith("features")}
    return dataclasses.replace(fit, head="", places=kept, missing=(), left_over=(*rest, *fit.left_over), wrong=(), shapes=shapes)


def _image_size(fit: Fit, path: str, wishes: Wishes) -> int:
    if fit.head != "paper":
        return wishes.image_size or 224
    size = wishes.image_size or 32 * fit.sizes.cells
    if size // 32 != fit.sizes.cells:
        least = 32 * fit.sizes.cells
        raise ConfigError(f"{path}: its classifier is for images of {least} to {least + 31} pixels, not {size}. Take --only features.")
    return size


def _differences(fit: Fit) -> str:
    groups = (("missing", fit.missing), ("left over", fit.left_over), ("wrong", fit.wrong))
    return "; ".join(f"{len(names)} {title}: {listed(names)}" for title, names in groups if names)
