"""Pictures of predictions: `illustrated` classifies image files and draws what it found, each image as the network saw it.

On the sheet of predictions each image has its file's name below, and its most probable classes: probability, name, and a bar as long as the
probability. On the sheet of explanations each has beside it the same image under Grad-CAM's heat map for one class (see `gradcam`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .. import ops
from ..backend.arrays import Array
from ..backend.layout import as_nchw
from ..backend.precision import as_images
from ..backend.precision import precision as in_precision
from ..errors import ConfigError, nearest
from ..train import Predictor
from ..train.sheet import Layout, Sheet, pixels
from .gradcam import Evidence, grad_cam
from .heat import overlay

__all__ = ["Explain", "Illustrated", "class_of", "illustrated"]

_LEAST, _GAP = 160, 12  # pixels: from left to right of a picture, at least, so that names can be read below it; between tiles
_GREY = "#666666"
_FEWER = "give fewer images or classes; of such tiles there may be"


@dataclass(frozen=True)
class Explain:
    """What is to be explained: the class of that index, or of None each image's most probable one; with which layer, see `grad_cam`."""

    wanted: int | None = None
    layer: str = ""


@dataclass(frozen=True)
class Illustrated:
    """The classes' probabilities of each image, float64 (classes,), and two PNG files: empty unless they were asked for."""

    probabilities: list[Array]
    sheet: bytes = b""
    explanations: bytes = b""


def class_of(name: str, classes: Sequence[str]) -> int:
    """The index of the class of that name; or the number that `name` is, if no class is called so.

    Raises ConfigError for a class that is unknown, and for a name that several classes have, as two of ImageNet's have.
    """
    found = [k for k, known in enumerate(classes) if known == name]
    if len(found) > 1:
        raise ConfigError(f'{len(found)} classes are called "{name}": give the index, {" or ".join(map(str, found))}.')
    if found:
        return found[0]
    if name.isascii() and name.isdigit() and len(name) < 10 and int(name) < len(classes):
        return int(name)
    hint = nearest(name, classes)
    short = hint if len(classes) <= 50 else hint.partition("Valid: ")[0].rstrip()
    raise ConfigError(f'no class is called "{name}", and it is no index in 0..{len(classes) - 1}{": " * bool(short)}{short or "."}')


def illustrated(predictor: Predictor, paths: Sequence[str], top: int | None = None, explain: Explain | None = None) -> Illustrated:
    """Classify the files, and draw: with `top` a sheet of so many classes of each image, with `explain` a sheet of explanations.

    Raises ConfigError for sheets of more than 67 million pixels, before any image but the first is read; DataError for a file that is no
    image; what `grad_cam` raises; CheckpointError if the network knows no classes.
    """
    predictor.require_classes()
    images = predictor.prepared(paths[0])
    count, (height, width) = len(paths), images.shape[1:3]
    sheet = pairs = None
    if top is not None:
        lines = 1 + min(top, len(predictor.classes))
        sheet = Sheet(Layout(count, height, width, _LEAST, lines=lines, gap=_GAP, remedy=_FEWER))
    if explain is not None:
        pairs = Sheet(Layout(count, height, width, _LEAST, across=2, lines=2, gap=_GAP, remedy=_FEWER))
    probabilities: list[Array] = []
    for k, path in enumerate(paths):
        images = predictor.prepared(path) if k else images
        evidence = None if explain is None else _evidence(predictor, images, explain)
        if evidence is not None and explain is not None:
            explain = replace(explain, layer=evidence.layer)  # it need not be looked for again
        found = ops.softmax(predictor.scores(images) if evidence is None else evidence.scores, axis=1)[0]
        image = pixels(images, predictor.transform)[0]
        if sheet is not None:
            _ranking(sheet, k, image, path, found, predictor.classes)
        if pairs is not None and evidence is not None:
            _pair(pairs, k, image, path, found, predictor.classes, evidence)
        probabilities.append(found)
    return Illustrated(probabilities, sheet.png() if sheet else b"", pairs.png() if pairs else b"")


def _evidence(predictor: Predictor, images: Array, explain: Explain) -> Evidence:
    with predictor.device.use(), in_precision(predictor.precision):
        x = as_nchw(np.ascontiguousarray(images, np.float32))
        return grad_cam(predictor.model, as_images(predictor.device, x), explain.wanted, explain.layer)


def _ranking(sheet: Sheet, tile: int, image: Array, path: str, probabilities: Array, classes: Sequence[str]) -> None:
    """An image with its file's name and its most probable classes below, as many as the layout has lines for."""
    sheet.picture(tile, sheet.enlarged(image))
    sheet.line(tile, 0, Path(path).name, colour=_GREY)
    order = (-probabilities).argsort(kind="stable")[: sheet.layout.lines - 1]
    for line, k in enumerate(order, 1):
        sheet.line(tile, line, classes[k], f"{probabilities[k]:.4f}", float(probabilities[k]))


def _pair(sheet: Sheet, tile: int, image: Array, path: str, probabilities: Array, classes: Sequence[str], evidence: Evidence) -> None:
    """An image, and the same under the heat of the evidence for a class, whose name and probability stand below."""
    shown, explained = sheet.enlarged(image), int(evidence.classes[0])
    sheet.picture(tile, shown)
    sheet.picture(tile, overlay(shown, evidence.maps[0]), 1)
    sheet.line(tile, 0, Path(path).name, evidence.layer, colour=_GREY)
    nothing = "" if evidence.maps.any() else " (nothing speaks for it)"
    sheet.line(tile, 1, f"{classes[explained]}{nothing}", f"{probabilities[explained]:.4f}", float(probabilities[explained]))
