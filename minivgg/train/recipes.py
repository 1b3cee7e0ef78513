"""Recipes: tables of defaults. A recipe stands above `TrainConfig`'s own defaults, and below a file's and the flags'.

small   `TrainConfig`'s defaults: what serves small data today (batch norm, He's initialisation, one cycle, label smoothing); from the
        weights of a network without batch norm at a tenth of the rate
paper   the procedure of Simonyan & Zisserman, arXiv:1409.1556, §3.1: 256 images a step, rate 10⁻² divided by 10 when the validation
        accuracy stops improving, three times, momentum 0.9, L2 5·10⁻⁴ on everything, dropout ½, N(0, 0.01²), crops of 224 from images
        whose shortest side is S, in the stages S = 256, 384, [256, 512]

Two numbers follow from others, unless they are given. The scales keep their ratio to the image size: at 32 pixels 256 becomes
round(256 · 32 / 224) = 37. The micro-batches of a step hold about as many pixels as 32 images of 224×224.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["RECIPES", "recipe_defaults", "scaled"]

_FULL = 224  # the paper's image size
_SCALES = "256,384,256-512"
_FINE = 0.01  # from the weights of a network without batch norm: 0.1 undoes them
_IMAGES = 32  # of the full size, in a micro-batch

_PAPER: dict[str, Any] = {
    "model": "vgg16",
    "width": 1.0,
    "head": "paper",
    "init": "paper",
    "init_std": 0.01,
    "image_size": _FULL,
    "epochs": 74,
    "batch_size": 256,
    "lr": 1e-2,
    "momentum": 0.9,
    "nesterov": False,
    "form": "paper",
    "weight_decay": 5e-4,
    "decay_all": True,
    "schedule": "plateau",
    "factor": 0.1,
    "drops": 3,
    "label_smoothing": 0.0,
    "mirror": True,
    "shift": 0,
    "colour_shift": 0.1,
    "normalise": "mean",
}


def _small(given: Mapping[str, Any]) -> dict[str, Any]:
    plain = not str(given.get("model", "")).endswith("_bn")
    return {"lr": _FINE} if given.get("weights") and plain else {}


def _paper(given: Mapping[str, Any]) -> dict[str, Any]:
    size, batch = given.get("image_size", _FULL), given.get("batch_size", _PAPER["batch_size"])
    if not all(isinstance(number, int) and number > 0 for number in (size, batch)):
        return _PAPER  # the check of these two keys has more to say
    table = {**_PAPER, "accumulate": min(batch, max(1, math.ceil(batch * size**2 / (_IMAGES * _FULL**2))))}
    if given.get("scales", "unnamed") == "" and not given.get("scale"):
        return {**table, "scale": scaled("256", size)}
    return table if given.get("scale") else {**table, "scales": scaled(_SCALES, size)}


RECIPES: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {"small": _small, "paper": _paper}


def recipe_defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults of the recipe that `given` names, in view of the other keys given; none for an unknown recipe, which is refused
    elsewhere."""
    return RECIPES.get(str(given.get("recipe", "small")), _small)(given)


def scaled(scales: str, size: int) -> str:
    """The paper's scales for crops of `size` pixels in place of 224: "256,384,256-512" at 32 is "37,55,37-73"."""
    return re.sub(r"\d+", lambda match: str(round(int(match[0]) * size / _FULL)), scales)
