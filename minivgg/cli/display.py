"""What training shows on stderr: on a terminal a bar, elsewhere plain lines; on both a table with a row per epoch."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

from ..train import Observer, Trainer

__all__ = ["display"]

_HEADER = (
    f"{'epoch':>9}  {'train loss':>10}  {'accuracy':>8}  {'val loss':>8}  {'accuracy':>8}  {'rate':>9}  "
    f"{'images/s':>8}  {'waiting':>7}  {'seconds':>8}"
)
_REFRESH = 0.25  # seconds between two looks at the loss, at least


def display() -> Observer:
    """The display that suits stderr."""
    return _Bar() if sys.stderr.isatty() else _Lines()


class _Lines(Observer):
    """A line for each epoch."""

    def begin(self, trainer: Trainer) -> None:
        self.epochs = trainer.job.config.epochs
        job = trainer.job
        self.message(
            f"{job.config.model} ×{job.config.width:g} on {len(job.train.dataset):,} images ({len(job.val.dataset):,} to validate), "
            f"{len(job.train)} steps of {job.config.describe_batch()} an epoch, {job.device}"
        )
        self.message(_HEADER)

    def epoch(self, row: Mapping[str, Any]) -> None:
        self.message(
            f"{row['epoch']:>4}/{self.epochs:<4}  {row['train_loss']:10.4f}  {row['train_accuracy']:8.4f}  {row['val_loss']:8.4f}  "
            f"{row['val_accuracy']:8.4f}  {row['lr']:9.3g}  {row['images_per_second']:8.0f}  {row['waiting']:7.1%}  "
            f"{row['seconds']:8.1f}"
        )

    def message(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class _Bar(_Lines):
    """The same lines above a progress bar with loss, accuracy, images a second and the time left."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True, highlight=False)
        self.progress: Any = None

    def begin(self, trainer: Trainer) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        super().begin(trainer)
        self.progress = Progress(
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %  loss {task.fields[loss]:.4f}  accuracy {task.fields[accuracy]:.4f}"),
            TextColumn("{task.fields[rate]:.0f} images/s  left"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )
        fields = {"epoch": trainer.progress.epoch + 1, "epochs": trainer.job.config.epochs, "loss": 0.0, "accuracy": 0.0, "rate": 0.0}
        self.task = self.progress.add_task("train", total=trainer.job.steps, completed=trainer.progress.step, **fields)
        self.progress.start()
        self.started = self.shown = time.monotonic()
        self.first = trainer.progress.step

    def step(self, trainer: Trainer) -> None:
        now = time.monotonic()
        if now - self.shown < _REFRESH or not trainer.at_hand:
            return
        self.shown = now
        done = trainer.progress
        rate = (done.step - self.first) * trainer.job.config.batch_size / (now - self.started)
        fields = {"epoch": done.epoch + 1, "loss": done.mean_loss(), "accuracy": done.accuracy(), "rate": rate}
        self.progress.update(self.task, completed=done.step, **fields)

    def message(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)

    def end(self) -> None:
        if self.progress is not None:
            self.progress.stop()
