"""Try everything once without leaving a trace: build the run, do one step's forward and backward, write nothing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from .. import models, optim
from ..backend.precision import precision
from ..errors import NumericalError
from .build import Job, build_job
from .config import TrainConfig
from .gradients import gradients
from .memory import explain_out_of_memory
from .plan import plan_table, stages
from .preprocessing import describe
from .scaling import unscale
from .unchanged import unchanged

__all__ = ["dry_run"]


def dry_run(config: TrainConfig | Job) -> str:
    """What training would do, as text: layers, images, steps, the first batch's loss, and the time one step takes.

    Of a plan it shows the stages, and tries the first. A job that is given is unchanged afterwards. Raises whatever training would
    raise before or in its first step.
    """
    if isinstance(config, Job):
        with unchanged(config):
            return _tried(config)
    if config.scales:
        plan = stages(config, Path(config.out))
        return f"{plan_table(plan)}\n\nThe first stage, {plan[0].name}:\n{dry_run(plan[0].config)}"
    return _tried(build_job(config))


def _tried(job: Job) -> str:
    """The text, after one step's computations."""
    job.model.train()
    batch = next(iter(job.train.epoch(0)))
    quiet = np.errstate(over="ignore", invalid="ignore")  # seen in loss and norm instead
    with job.device.use(), precision(job.config.precision), explain_out_of_memory(job), quiet:
        value, norm, seconds = _step(job, batch)
        while job.scaling is not None and value - value == 0 and not job.optimizer.finite() and job.scaling.scale >= 1.0:
            job.scaling.update(job.optimizer.finite())  # as training would
            value, norm, seconds = _step(job, batch)
    if not value - value == norm - norm == 0:
        raise NumericalError(
            f"the first batch gives the loss {value} and the gradient norm {norm}. Check the images and the learning rate."
        )
    config = job.config
    batches, place = config.describe_batch(), f"{job.device} in {config.precision}"
    most = "at most " if config.schedule == "plateau" else ""
    test = f"{len(job.test.dataset):,} to test" if job.test else "none to test"
    return "\n".join(
        [
            str(models.summary(job.model, (1, *job.train.image_shape))),
            "",
            f"images    {len(job.train.dataset):,} to train, {len(job.val.dataset):,} to validate, {test}; {len(job.classes)} classes",
            f"prepared  {describe(job.transform)}",
            f"steps     {most}{job.steps:,}: {job.config.epochs} epochs of {len(job.train)} batches of {batches}, on {place}",
            f"rate      {config.schedule}, {job.schedule.lr(0):.4g} in the first step, at most {config.lr:.4g}",
            f"one step  loss {value:.4f}, gradient norm {norm:.4g}, {seconds:.2f} s; all steps about {seconds * job.steps:.0f} s",
            *([job.taken] if job.taken else []),
            "Nothing was written. Leave out --dry-run to train.",
        ]
    )


def _step(job: Job, batch: Any) -> tuple[float, float, float]:
    """The loss of the first batch, the norm of its gradients, and the seconds that it took."""
    start = time.perf_counter()
    loss, _ = gradients(job, batch, 0)
    if job.scaling is not None:
        unscale(job.optimizer.parameters(), job.scaling.scale)
    value, norm = float(loss), float(optim.gradient_norm(job.optimizer.parameters()))
    return value, norm, time.perf_counter() - start
