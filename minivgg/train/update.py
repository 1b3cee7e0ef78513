"""One update of the parameters from one batch."""

from __future__ import annotations

from typing import Any

from .. import optim
from .build import Job
from .gradients import gradients
from .guard import Guard
from .progress import Progress
from .scaling import unscale

__all__ = ["update"]


def update(job: Job, guard: Guard, batch: Any, progress: Progress) -> tuple[Any, Any]:
    """Compute the gradients of step number `progress.step` and apply them, unless they or the loss are not finite.

    Returns the batch's mean loss and how many images were classified right, as 0-d arrays on the job's device, for which nobody waits.
    On a CPU raises NumericalError for a bad step; on a card the guard does so later, when it is asked to look.
    """
    rate = job.schedule.lr(progress.step)
    loss, correct = gradients(job, batch, progress.step)
    scale = None if job.scaling is None else job.scaling.scale  # of these gradients: the guard moves it on
    fit = guard.judge(progress.step, progress.position, loss)
    if not guard.waits:
        guard.look(progress.epoch)
        fit = None  # or it would have raised
    if job.config.clip:
        if scale is not None:
            unscale(job.optimizer.parameters(), scale)
            scale = None
        optim.clip_grad_norm(job.optimizer.parameters(), job.config.clip)
    job.optimizer.lr = rate
    job.optimizer.step(fit, scale)
    return loss, correct
