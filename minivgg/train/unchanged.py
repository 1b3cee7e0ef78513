"""`unchanged`: a block after which a job is what it was before, byte for byte, however the block ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..autograd import mode
from ..backend.arrays import to_numpy
from .build import Job

__all__ = ["unchanged"]


@contextmanager
def unchanged(job: Job) -> Iterator[None]:
    """Put back what steps change: weights, running statistics, the optimiser's velocities and rates, schedule, loss scale, gradients,
    each layer's mode and calls so far. Also after an exception, Ctrl-C included.

    Copies lie in the host's memory: 8 bytes a parameter. Random streams have no state: they are keyed by the seed and by counters.
    Within the block running statistics and dropout's counters are frozen, which changes nothing that is computed in training mode.
    """
    model, velocities = _copied(job.model.state_dict()), _copied(job.optimizer.state_dict())
    rates = [group["lr"] for group in job.optimizer.groups]
    gradients = [(p, p.grad) for p in job.model.parameters()]
    layers = [(module, module.training, vars(module).get("calls")) for _, module in job.model.named_modules()]
    schedule, scaling = job.schedule.state(), None if job.scaling is None else job.scaling.state()
    try:
        with mode.frozen_state():
            yield
    finally:
        with job.device.use():
            job.model.load_state_dict(model)
            job.optimizer.load_state_dict(velocities)
            if job.scaling is not None and scaling is not None:
                job.scaling.load_state(scaling)
        job.schedule.load_state(schedule)
        for group, rate in zip(job.optimizer.groups, rates, strict=True):
            group["lr"] = rate
        for p, gradient in gradients:
            p.grad = gradient
        for module, training, calls in layers:
            module.training = training
            if calls is not None:
                module.calls = calls


def _copied(arrays: dict[str, Any]) -> dict[str, Any]:
    """The arrays on the host, where nothing writes into them."""
    return {name: np.array(to_numpy(array)) for name, array in arrays.items()}
