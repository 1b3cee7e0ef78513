"""Regressions of speed, caught by counting work instead of time: what used to be fast must not become slow unnoticed."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np
import pytest

import minivgg as mv
from minivgg.autograd import mode
from minivgg.backend import memory
from minivgg.fast.cpu.choice import choose
from minivgg.fast.cpu.problem import Problem
from minivgg.models.vgg import COLUMNS
from minivgg.ops import Geometry

from .large import Steps

WINDOWS = Geometry((3, 3), (1, 1), (1, 1))
FASTER_TO_LEAVE = {"CrossEntropy", "Reshape"}  # a hundred numbers; no numbers at all


def algorithms(column: str, size: int, batch: int) -> dict[str, str]:
    """The algorithm of each convolution of a network, such as {"3→64 @ 32": "im2col"}: chosen, nothing is computed."""
    found, channels = {}, 3
    for entry in re.findall(r"\d+|\|", COLUMNS[column]):
        if entry == "|":
            size //= 2
        else:
            problem = Problem(batch, (size, size), channels, int(entry), WINDOWS)
            found[f"{channels}→{entry} @ {size}"] = choose(problem, np.float32)
            channels = int(entry)
    return found
