"""Which learning rate? A range test (Smith 2017, arXiv:1506.01186, §3.3): train with a rate that grows with every step, and see.

The rate grows by the same factor from step to step, from `low` to `high`, so that every power of ten has as many steps. With too small
a rate the loss stays where it is, then it falls, then the steps overshoot and it rises; the search ends when it is four times the
lowest, or not finite. Losses of single batches are noisy: they are smoothed, m_k = β·m_{k−1} + (1 − β)·L_k with β = 0.9, and divided by
1 − β^{k+1}, as a mean that began with 0 must be.

    steepest    the rate at which the smoothed loss falls fastest, by central differences along the logarithm of the rate
    lowest      the rate at which it is lowest: the steps there are already as large as they may be
    suggested   lowest / 10, which leaves room (fastai's rule of thumb)

The suggestion is meant for the schedule's highest rate (`--lr`). The job is unchanged afterwards, byte for byte.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import optim
from ..backend.precision import precision
from ..errors import ConfigError, NumericalError
from .build import Job
from .feeding import feed
from .gradients import gradients
from .memory import explain_out_of_memory
from .scaling import unscale
from .unchanged import unchanged

__all__ = ["RateCurve", "find_lr"]

_KEEP = 0.9  # β
_DIVERGED = 4.0  # times the lowest smoothed loss
_ENOUGH = 10  # points without which nothing can be said
_ROWS, _BAR = 20, 40  # of the printed curve


@dataclass(frozen=True)
class RateCurve:
    """`rates` and the smoothed losses `losses` of as many steps; `ended` says why there are no more."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    ended: str

    @property
    def lowest(self) -> float:
        """The rate at which the loss is lowest."""
        return self.rates[int(np.argmin(self.losses))]

    @property
    def steepest(self) -> float:
        """The rate at which the loss falls fastest, not behind `lowest`."""
        slopes = np.gradient(self.losses, np.log(self.rates))
        return self.rates[int(np.argmin(slopes[: int(np.argmin(self.losses)) + 1]))]

    @property
    def suggested(self) -> float:
        """lowest / 10."""
        return self.lowest / 10

    def __str__(self) -> str:
        """A table of some twenty rates with bars, and what follows from it."""
        every = max(1, math.ceil(len(self.rates) / _ROWS))
        shown = list(zip(self.rates[::every], self.losses[::every], strict=True))
        least, most = min(self.losses), max(loss for _, loss in shown)
        lines = [f"{'rate':>9}  {'loss':>8}"]
        for rate, loss in shown:
            bar = round(_BAR * (loss - least) / (most - least)) if most > least else 0
            lines.append(f"{rate:9.2e}  {loss:8.4f}  {'#' * bar}".rstrip())
        return "\n".join(
            [
                *lines,
                f"{len(self.rates)} steps; {self.ended}",
                f"steepest at {self.steepest:.2e}, lowest at {self.lowest:.2e}",
                f"suggested: --lr {self.suggested:.2g}  (a tenth of the rate with the lowest loss)",
            ]
        )


def find_lr(job: Job, steps: int = 100, low: float = 1e-6, high: float = 10.0) -> RateCurve:
    """Train `steps` steps with rates from `low` to `high`, or until the loss diverges; leave the job unchanged and write nothing.

    Batches are those of the first epoch, and of the next if it is short. Raises ConfigError for rates or steps out of range,
    NumericalError if fewer than ten steps have a finite loss.
    """
    if not 0 < low < high < math.inf or steps < _ENOUGH:
        raise ConfigError(
            f"a search for the rate needs 0 < low < high and at least {_ENOUGH} steps, but they are {low:g}, {high:g} and {steps}."
        )
    rates = [low * (high / low) ** (k / (steps - 1)) for k in range(steps)]
    quiet = np.errstate(over="ignore", invalid="ignore", divide="ignore")  # a loss that is not finite ends the search
    with unchanged(job), job.device.use(), precision(job.config.precision), explain_out_of_memory(job), quiet:
        job.model.train()
        batches = _batches(job)
        try:
            losses, ended = _search(job, rates, batches)
        finally:
            batches.close()
    if len(losses) < _ENOUGH:
        raise NumericalError(
            f"the search for the rate ended after {len(losses)} of {steps} steps ({ended}): too few to say anything. "
            "Check the images and the initialisation (--init); minivgg train --dry-run shows the first step."
        )
    return RateCurve(tuple(rates[: len(losses)]), tuple(losses), ended)


def _batches(job: Job) -> Any:
    """Batches without end: one epoch after the other. A generator, to be closed."""

    def batches() -> Iterator[Any]:
        for epoch in itertools.count():
            yield from feed(job.train.epoch(epoch), job.device)

    return batches()


def _search(job: Job, rates: Sequence[float], batches: Iterator[Any]) -> tuple[list[float], str]:
    """The smoothed losses, and why there are no more."""
    mean, losses = 0.0, list[float]()
    for number, rate in enumerate(rates):
        loss, _ = gradients(job, next(batches), number)
        value = float(loss)
        mean = _KEEP * mean + (1 - _KEEP) * value
        smooth = mean / (1 - _KEEP ** (number + 1))
        if not math.isfinite(value):
            return losses, f"at the rate {rate:.2e} the loss is {value}"
        if losses and smooth > _DIVERGED * min(losses):
            return losses, f"at the rate {rate:.2e} the loss is {smooth:.4g}, over four times the lowest"
        losses.append(smooth)
        if not _step(job, rate):
            return losses, f"at the rate {rate:.2e} a gradient is not finite"
    return losses, f"the last rate was {rates[-1]:g}"


def _step(job: Job, rate: float) -> bool:
    """Apply the gradients at this rate. False if they are not finite; with loss scaling such a step is left out, as in training."""
    finite, scaling = job.optimizer.finite(), job.scaling
    if scaling is not None:
        unscale(job.optimizer.parameters(), scaling.scale)
        scaling.update(finite)
    if bool(finite):
        if job.config.clip:
            optim.clip_grad_norm(job.optimizer.parameters(), job.config.clip)
        job.optimizer.lr = rate
        job.optimizer.step()
        return True
    return scaling is not None and float(scaling.scale) >= 1.0
