"""The learning rate's schedule of a configuration, and whether a run has come to its end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .. import optim
from .config import TrainConfig

__all__ = ["build_schedule", "finished"]


def build_schedule(config: TrainConfig, steps: int) -> optim.Schedule:
    """The learning rate's schedule over `steps` updates."""
    warmup = int((config.warmup or 0.0) * steps)
    if config.schedule == "one-cycle":
        return optim.OneCycle(config.lr, steps, warmup)
    if config.schedule == "cosine":
        return optim.Cosine(config.lr, steps, warmup)
    if config.schedule == "plateau":
        return optim.Plateau(config.lr, config.patience, config.factor, config.drops, warmup)
    if config.schedule == "step":
        return optim.Step(config.lr, math.ceil(steps / (config.drops + 1)), config.factor, warmup)
    return optim.Constant(config.lr, warmup)


def finished(config: TrainConfig, state: Mapping[str, Any]) -> bool:
    """Whether the run with that configuration is over, by its checkpoint's state: all epochs are done, or the schedule has ended it.

    Raises CheckpointError for another schedule's state, KeyError if the state is not a run's.
    """
    progress = state["progress"]
    schedule = build_schedule(config, max(1, progress["step"]))
    schedule.load_state(state["schedule"])
    return bool(progress["epoch"] >= config.epochs) or schedule.finished
