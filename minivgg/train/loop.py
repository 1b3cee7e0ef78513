"""The training loop: batch, forward, backward, update; validation and a checkpoint at the end of each epoch."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from ..backend.precision import precision
from ..weights import save_checkpoint
from .build import Job
from .evaluate import evaluate
from .feeding import Timed, feed
from .guard import Guard
from .interrupts import Interrupted, Interrupts
from .memory import explain_out_of_memory
from .metrics import Metrics
from .observer import Observer
from .progress import Progress
from .run_folder import RunFolder
from .snapshot import snapshot
from .update import update

__all__ = ["Trainer"]


class Trainer:
    """Runs a job inside a folder from `progress` to its last epoch.

    Each step is decided by its number alone (batch, augmentation and dropout come from streams keyed by it), so a run that
    was stopped anywhere and goes on from its last checkpoint ends with the bits of one that never stopped.
    """

    def __init__(self, job: Job, folder: RunFolder, metrics: Metrics, progress: Progress, observer: Observer) -> None:
        self.job, self.folder, self.metrics, self.progress, self.observer = job, folder, metrics, progress, observer
        self._interrupts = Interrupts()
        self._guard = Guard(job)
        self._seconds = float(metrics.rows[-1]["seconds"]) if metrics.rows else 0.0

    def run(self) -> None:
        """Train to the end.

        Raises NumericalError at the first NaN or Inf that loss scaling does not cope with, before it reaches the parameters;
        Interrupted after SIGINT or SIGTERM, when the state has been saved; StorageError if it cannot be; OutOfMemoryError with
        a batch size that fits.
        """
        quiet = np.errstate(over="ignore", invalid="ignore", divide="ignore")  # found by the finite flag instead
        place, how = self.job.device.use(), precision(self.job.config.precision)
        with place, how, explain_out_of_memory(self.job), self._interrupts, quiet:
            self.observer.begin(self)
            try:
                while not self.finished:
                    self._epoch()
            finally:
                self.observer.end()

    def _epoch(self) -> None:
        job, progress = self.job, self.progress
        start, seen = time.perf_counter(), progress.seen
        job.model.train()
        batches = Timed(feed(job.train.epoch(progress.epoch, progress.position), job.device))
        for batch in batches:
            self._step(batch)
            self.observer.step(self)
            every = job.config.checkpoint_every
            if every and progress.step % every == 0 and progress.position < len(job.train):
                self.save()
            self._stop_if_asked()
        self._guard.look(progress.epoch)
        spent = time.perf_counter() - start
        self._seconds += spent
        self._close_epoch((progress.seen - seen) / spent if progress.seen > seen else 0.0, batches.seconds / spent)

    def _step(self, batch: Any) -> None:
        """One update, unless loss or gradients are not finite."""
        job, progress = self.job, self.progress
        loss, correct = update(job, self._guard, batch, progress)
        if not self._guard.waits:
            progress.add(float(loss), int(correct), len(batch.labels))
        else:
            progress.add(loss.astype("float64"), correct, len(batch.labels))
            if self._guard.full:
                self._guard.look(progress.epoch)

    def _close_epoch(self, images_per_second: float, waiting: float) -> None:
        """Validate, write the row of metrics, and save. The order lets a kill in between be mended by doing it again."""
        job, progress = self.job, self.progress
        val = evaluate(job.model, job.val, job.device, self._stop_if_asked)
        row: dict[str, Any] = {
            "epoch": progress.epoch + 1,
            "step": progress.step,
            "train_loss": progress.mean_loss(),
            "train_accuracy": progress.accuracy(),
            "val_loss": val.loss,
            "val_accuracy": val.accuracy,
            "lr": job.schedule.lr(progress.step - 1),
            "images_per_second": images_per_second,
            "seconds": self._seconds,
            "waiting": waiting,
            **({} if job.scaling is None else {"loss_scale": float(job.scaling.scale), "skipped": int(job.scaling.skipped)}),
        }
        last = progress.epoch + 1 == job.config.epochs or job.schedule.finished_after(val.accuracy)
        if last and job.test is not None:
            test = evaluate(job.model, job.test, job.device, self._stop_if_asked)
            row |= {"test_loss": test.loss, "test_accuracy": test.accuracy, "test_correct": test.correct, "test_count": test.count}
        better = progress.close_epoch(val.accuracy)
        job.schedule.update(val.accuracy)
        self.metrics.add(row)
        if better:
            save_checkpoint(self.folder.best, snapshot(job, progress))
        save_checkpoint(self.folder.last, snapshot(job, progress))
        self.observer.epoch(row)

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or the schedule wants no more of them."""
        return self.progress.epoch >= self.job.config.epochs or self.job.schedule.finished

    @property
    def at_hand(self) -> bool:
        """Whether loss and accuracy of the steps so far can be read without waiting for a card."""
        return self._guard.clear

    def save(self) -> None:
        """Write checkpoints/last.safetensors, unless a step since the last look went wrong."""
        self._guard.look(self.progress.epoch)
        save_checkpoint(self.folder.last, snapshot(self.job, self.progress))

    def _stop_if_asked(self) -> None:
        if self._interrupts.received:
            self.save()
            done = f"everything up to step {self.progress.step} is saved"
            raise Interrupted(self._interrupts.received, f"{done}; go on with: minivgg train --resume {self.folder.resumed_as}")
