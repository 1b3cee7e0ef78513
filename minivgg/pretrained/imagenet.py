"""The names of ImageNet's 1000 classes, in the order in which all published networks give their scores."""

from __future__ import annotations

from functools import cache
from importlib import resources

__all__ = ["imagenet_classes"]


@cache
def imagenet_classes() -> tuple[str, ...]:
    """1000 names, from tench to toilet tissue, a short one each: ILSVRC 2012's first synonyms, as torchvision lists them (BSD-3)."""
    text = resources.files(__package__).joinpath("imagenet_classes.txt").read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if line and not line.startswith("#"))
