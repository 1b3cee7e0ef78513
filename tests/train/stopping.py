"""Ways to stop a run at a step, for tests of going on with it."""

from __future__ import annotations

from minivgg.train import Observer

__all__ = ["At", "CrashError", "crash"]


class At(Observer):
    """Calls `act` after the step with number `step`, once."""

    def __init__(self, step, act):
        self.at, self.act, self.messages = step, act, []

    def step(self, trainer):
        if trainer.progress.step == self.at:
            self.at = -1
            self.act(trainer)

    def message(self, text):
        self.messages.append(text)


class CrashError(Exception):
    """Stands for a kill: nothing more is written."""


def crash(trainer):
    """Stop dead."""
    raise CrashError
