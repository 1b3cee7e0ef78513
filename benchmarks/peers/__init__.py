"""The opponents, minivgg itself among them: one room each, and none is imported before it is asked for.

    training     Network(job)                         with weights of its own
                 .load(state)                         minivgg's state_dict
                 .gradients(images, targets)          (loss, {name: gradient}) in the dtype of the images, without dropout
                 .loss(images, targets)               in training mode, without dropout
                 .training(images, targets)           {contender: function that makes its Run}
    inference    Network(job), or Inference(file)     from layers of its own, or from an ONNX file
                 .inference(images)                   {contender: function that makes its Run}
                 .outputs(contender)                  logits of the contender's Run, which was the last
    single ops   Ops(case, arrays)                    in peers/…_ops.py: see op_case.py

A contender's name begins with its peer's. Its Run is made when it is asked for, so that a process of its own can hold one alone.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from minivgg.errors import ConfigError, nearest

__all__ = ["INFERENCE", "TRAINING", "choose", "load", "packages"]

# What each peer imports.
TRAINING = {"torch": ["torch"], "dezero": ["dezero"]}
INFERENCE = {"torch": ["torch"], "onnxruntime": ["onnxruntime", "onnx"], "openvino": ["openvino", "onnx"]}


def choose(text: str, known: dict[str, list[str]]) -> list[str]:
    """The peers of a comma list, each once; none for "none". ConfigError for one that is unknown or not installed."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    if names == ["none"]:
        return []
    for name in names:
        if name not in known:
            raise ConfigError(f'unknown peer "{name}": {nearest(name, [*known, "none"])}')
        for package in known[name]:
            if importlib.util.find_spec(package) is None:
                raise ConfigError(f"{package} is not installed here. Use scripts/bench, which sets up all peers, or leave {name} out.")
    return names


def load(name: str) -> Any:
    """The peer's module."""
    return importlib.import_module(f"peers.{name}")


def packages(names: list[str], known: dict[str, list[str]]) -> list[str]:
    """What the peers import, each once."""
    return list(dict.fromkeys(package for name in names for package in known[name]))
