"""How far a run has come: the counters and running sums that a checkpoint holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import CheckpointError

__all__ = ["Progress"]


@dataclass
class Progress:
    """epoch: epochs done; position: batches done of the next one, with its sums so far; step: updates done in all.

    loss_sum is Σ loss·images over the epoch's images so far, `correct` how many of the `seen` images were classified
    right. They are numbers or 0-d device arrays, so that a GPU need not be waited for at each step.
    """

    epoch: int = 0
    position: int = 0
    step: int = 0
    loss_sum: Any = 0.0
    correct: Any = 0
    seen: int = 0
    best_accuracy: float | None = None
    best_epoch: int | None = None

    def add(self, loss: Any, correct: Any, count: int) -> None:
        """Count one step on `count` images with mean loss `loss`."""
        self.loss_sum = self.loss_sum + loss * count
        self.correct = self.correct + correct
        self.seen += count
        self.position += 1
        self.step += 1

    def mean_loss(self) -> float:
        """The mean training loss of the epoch so far; a device is waited for."""
        return float(self.loss_sum) / max(self.seen, 1)

    def accuracy(self) -> float:
        """The training accuracy of the epoch so far, in 0..1; a device is waited for."""
        return int(self.correct) / max(self.seen, 1)

    def close_epoch(self, accuracy: float) -> bool:
        """End the epoch with its validation accuracy. True if it is the best so far; an equal one later is not."""
        self.epoch, self.position = self.epoch + 1, 0
        self.loss_sum, self.correct, self.seen = 0.0, 0, 0
        better = self.best_accuracy is None or accuracy > self.best_accuracy
        if better:
            self.best_accuracy, self.best_epoch = accuracy, self.epoch
        return better

    def state(self) -> dict[str, Any]:
        """Plain numbers for a checkpoint."""
        return {**dataclasses.asdict(self), "loss_sum": float(self.loss_sum), "correct": int(self.correct)}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Progress:
        """The progress that `state()` described. Raises CheckpointError if keys are missing or unknown."""
        names = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(state, Mapping) or set(state) != names:
            raise CheckpointError(f"a run's progress needs the keys {sorted(names)}, but has {sorted(state)}.")
        return cls(**state)
