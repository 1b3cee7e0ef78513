"""A worker: reads requests, sends prepared images, and ends when nobody asks any more."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ..folder import ImageFolder
from ..preparing import Preparation
from ..transforms import from_json
from .frames import error_to_json, receive, send

__all__ = ["serve"]


def serve() -> None:
    """Answer requests from standard input on standard output until the input ends: its writer closed it, or was killed.

    A request is a batch: epoch, indices, paths. The first one also has the loader's part, the same for all: root, name, channels,
    transform, seed, training.
    """
    with os.fdopen(os.dup(0), "rb", 0) as requests, os.fdopen(os.dup(1), "wb", 0) as replies:
        os.dup2(2, 1)  # whatever a library prints goes to stderr
        try:
            batch = receive(requests)[0]
            loader = batch["loader"]
            preparation = Preparation(from_json(loader["transform"]), loader["seed"], loader["training"], loader["name"])
            while True:
                send(replies, *_answer(loader, preparation, batch))
                batch = receive(requests)[0]
        except (EOFError, BrokenPipeError):
            return


def _answer(loader: dict[str, Any], preparation: Preparation, batch: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    paths = tuple(batch["paths"])
    images = ImageFolder(Path(loader["root"]), paths, np.zeros(len(paths), np.int64), (), loader["name"], loader["channels"])
    try:
        ready = preparation.batch(images, np.arange(len(paths)), batch["epoch"], np.array(batch["indices"]))
        return {}, ready.transpose(0, 2, 3, 1)
    except Exception as error:
        return error_to_json(error), None
