"""Learning-rate schedules: `schedule.lr(step)` is the rate of the step with that number, counted from 0.

All but `Plateau` are pure functions of the step, so that a resumed run needs no state. `Plateau` listens to
`update(metric)` after each epoch; its state is a small dictionary that JSON can hold.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

from ..errors import CheckpointError, ConfigError

__all__ = ["SCHEDULES", "Constant", "Cosine", "OneCycle", "Plateau", "Schedule", "Step"]


class Schedule:
    """Base: a curve, with an optional linear warm-up over the first `warmup` steps."""

    def __init__(self, lr: float, warmup: int = 0) -> None:
        if not (math.isfinite(lr) and lr > 0):
            raise ConfigError(f"lr must be a finite number > 0, but is {lr!r}.")
        if warmup < 0:
            raise ConfigError(f"warmup must be ≥ 0 steps, but is {warmup!r}.")
        self.peak, self.warmup = float(lr), int(warmup)

    def lr(self, step: int) -> float:
        """The learning rate of step `step` (0 is the first)."""
        return self.curve(step) * min(1.0, (step + 1) / (self.warmup + 1))

    def curve(self, step: int) -> float:
        """The rate without warm-up."""
        return self.peak

    def update(self, metric: float) -> None:
        """Hear the validation accuracy of an epoch. Most schedules do not care."""

    @property
    def finished(self) -> bool:
        """Whether to stop before the last epoch: what may still come would not change the rate. Only `Plateau` ever says so."""
        return False

    def finished_after(self, metric: float) -> bool:
        """`finished`, if the next epoch's validation accuracy were `metric`; nothing is changed."""
        after = copy.copy(self)
        after.update(metric)
        return after.finished

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold, as JSON-able values."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()` of an equal schedule. Raises CheckpointError if it is another one's."""
        if set(state) != set(self.state()):
            raise CheckpointError(
                f"{type(self).__name__} expects the state {sorted(self.state())}, but the checkpoint has {sorted(state)}."
            )
        for name, value in state.items():
            setattr(self, name, value)


class Constant(Schedule):
    """The same rate always."""


class Step(Schedule):
    """Multiply the rate by `factor` after every `every` steps."""

    def __init__(self, lr: float, every: int, factor: float = 0.1, warmup: int = 0) -> None:
        super().__init__(lr, warmup)
        _require(every >= 1, f"every must be ≥ 1 step, but is {every!r}.")
        _require(0 < factor <= 1, f"factor must be in (0, 1], but is {factor!r}.")
        self.every, self.factor = every, factor

    def curve(self, step: int) -> float:
        return self.peak * self.factor ** (step // self.every)


class Cosine(Schedule):
    """Half a cosine from lr down to `floor`·lr over `steps` steps, warm-up included: lr·(floor + (1 − floor)·(1 + cos πu)/2)."""

    def __init__(self, lr: float, steps: int, warmup: int = 0, floor: float = 0.0) -> None:
        super().__init__(lr, warmup)
        _require(steps > warmup, f"steps must exceed warmup, but they are {steps!r} and {warmup!r}.")
        _require(0 <= floor <= 1, f"floor is a share of lr, in [0, 1], but is {floor!r}.")
        self.steps, self.floor = steps, floor

    def curve(self, step: int) -> float:
        u = min(max(step - self.warmup, 0) / (self.steps - self.warmup), 1.0)
        return self.peak * (self.floor + (1 - self.floor) * (1 + math.cos(math.pi * u)) / 2)


class OneCycle(Schedule):
    """Up to `peak` in a straight line during `warmup` steps, then down in a straight line to `final`·peak at `steps`.

    It begins at `start`·peak. The high rate in the middle explores, the long descent settles (Smith 2018, arXiv:1803.09820).
    """

    def __init__(self, peak: float, steps: int, warmup: int | None = None, start: float = 0.04, final: float = 0.0) -> None:
        super().__init__(peak, steps // 4 if warmup is None else warmup)
        _require(steps > self.warmup, f"steps must exceed warmup, but they are {steps!r} and {self.warmup!r}.")
        for name, value in (("start", start), ("final", final)):
            _require(0 <= value <= 1, f"{name} is a share of peak, in [0, 1], but is {value!r}.")
        self.steps, self.start, self.final = steps, start, final

    def lr(self, step: int) -> float:
        if step < self.warmup:
            return self.peak * (self.start + (1 - self.start) * step / self.warmup)
        u = min((step - self.warmup) / (self.steps - self.warmup), 1.0)
        return self.peak * (1 - (1 - self.final) * u)


class Plateau(Schedule):
    """The paper's: multiply the rate by `factor` when the metric has not improved for `patience` epochs, `drops` times in all.

    An improvement is a value above the best so far by more than `threshold`. After a drop counting starts anew. After the last drop
    `patience` epochs without an improvement end the training (`finished`); without drops, that is early stopping.
    """

    def __init__(self, lr: float, patience: int = 3, factor: float = 0.1, drops: int = 3, warmup: int = 0, threshold: float = 0.0) -> None:
        super().__init__(lr, warmup)
        _require(patience >= 1, f"patience must be ≥ 1 epoch, but is {patience!r}.")
        _require(0 < factor < 1, f"factor must be in (0, 1), but is {factor!r}.")
        _require(drops >= 0, f"drops must be ≥ 0, but is {drops!r}.")
        self.patience, self.factor, self.drops, self.threshold = patience, factor, drops, threshold
        self.best: float | None = None
        self.waited = self.dropped = 0

    def curve(self, step: int) -> float:
        return self.peak * self.factor**self.dropped

    def update(self, metric: float) -> None:
        if self.best is None or metric > self.best + self.threshold:
            self.best, self.waited = float(metric), 0
            return
        self.waited += 1
        if self.waited >= self.patience and self.dropped < self.drops:
            self.dropped, self.waited = self.dropped + 1, 0

    @property
    def finished(self) -> bool:
        return self.dropped >= self.drops and self.waited >= self.patience

    def state(self) -> dict[str, Any]:
        return {"best": self.best, "waited": self.waited, "dropped": self.dropped}


SCHEDULES: dict[str, type[Schedule]] = {"constant": Constant, "cosine": Cosine, "one-cycle": OneCycle, "plateau": Plateau, "step": Step}


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ConfigError(message)
