"""Learning: SGD with momentum, schedules of its rate, and gradient clipping."""

from __future__ import annotations

from .clipping import clip_grad_norm, gradient_norm
from .finite import all_finite
from .schedules import SCHEDULES, Constant, Cosine, OneCycle, Plateau, Schedule, Step
from .sgd import SGD, without_decay

__all__ = [
    "SCHEDULES",
    "SGD",
    "Constant",
    "Cosine",
    "OneCycle",
    "Plateau",
    "Schedule",
    "Step",
    "all_finite",
    "clip_grad_norm",
    "gradient_norm",
    "without_decay",
]
