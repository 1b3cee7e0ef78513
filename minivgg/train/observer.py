"""What a run tells while it goes on. The command line shows it; a script can listen to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .loop import Trainer

__all__ = ["Observer"]


class Observer:
    """Base: hears everything and says nothing. Override what you need."""

    def begin(self, trainer: Trainer) -> None:
        """Training starts, or goes on, at `trainer.progress`."""

    def step(self, trainer: Trainer) -> None:
        """One step is done. Reading `trainer.progress.mean_loss()` makes the host wait for a GPU."""

    def epoch(self, row: Mapping[str, Any]) -> None:
        """An epoch is done; `row` is what metrics.jsonl now says of it."""

    def message(self, text: str) -> None:
        """A sentence for the person who started the run."""

    def end(self) -> None:
        """The run has stopped, for whatever reason."""
