"""The gradients of one update: of the whole batch at once, or of one micro-batch after the other, added up.

The loss of a batch is the mean over its N images, so that it is a weighted sum of the means over micro-batches of n_k images,
L = Σ (n_k / N)·L_k, and so is its gradient. Each micro-batch's graph is freed before the next one is computed: memory is that
of one micro-batch. The sum is the whole batch's gradient but for the order of additions, unless an image's result depends on
its company: batch norm's statistics are those of a micro-batch, and dropout's masks are drawn for each.
"""

from __future__ import annotations

import math
from typing import Any

from ..autograd import mode
from ..autograd.core import Tensor
from ..backend.arrays import array_module, winners
from ..backend.precision import as_images
from ..errors import ConfigError, ShapeError
from .build import Job
from .mixup import mixed

__all__ = ["gradients", "micro_batches"]


def micro_batches(count: int, batch_size: int, accumulate: int) -> list[int]:
    """The sizes of the micro-batches of a batch of `count` images: they differ by one at most, the larger ones come first.

    A whole batch has `accumulate`, or as many as it has images; a shorter one as many as keep it from being cut finer.

    >>> micro_batches(10, 10, 4), micro_batches(5, 10, 4)
    ([3, 3, 2, 2], [3, 2])
    """
    parts = min(count, math.ceil(count * accumulate / batch_size))
    return [count // parts + (k < count % parts) for k in range(parts)]


def gradients(job: Job, batch: Any, step: int) -> tuple[Any, Any]:
    """Leave the gradients of step number `step` in the parameters' `.grad`; what was there is dropped.

    With mixup the batch is mixed first, see `mixup`. Images are cast to the precision of this thread. With loss scaling the
    gradients are those of the loss times `job.scaling.scale`. Returns the batch's mean loss, unscaled, and how many images were
    classified right, as 0-d arrays on the job's device. Raises ConfigError if micro-batches are too small for the model.
    """
    sizes = micro_batches(len(batch.labels), job.config.batch_size, job.config.accumulate)
    job.optimizer.zero_grad()
    whole = mixed(batch, job.config, job.device, step)
    mean_loss, correct, start = 0.0, 0, 0
    for k, size in enumerate(sizes):
        part = slice(start, start + size)
        with mode.step(step, k):
            try:
                logits = job.model(Tensor(as_images(job.device, whole.images[part])))
            except ShapeError as error:
                if len(sizes) == 1:
                    raise
                raise ConfigError(
                    f"accumulate = {job.config.accumulate} cuts a batch of {len(batch.labels)} images into micro-batches of {size}, which "
                    f"the model does not take ({error}). Lower accumulate (--accumulate)."
                ) from error
            loss = whole.loss(logits, part, job.config.label_smoothing)
        share = size / len(batch.labels)
        seed = array_module(loss.data).full_like(loss.data, share)
        loss.backward(seed if job.scaling is None else seed * job.scaling.scale)
        mean_loss = mean_loss + loss.data * share
        correct = correct + (winners(logits.data) == whole.labels[part]).sum()
        start += size
    return mean_loss, correct
