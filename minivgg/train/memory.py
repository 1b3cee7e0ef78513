"""Too little memory: refused beforehand where it is certain, and answered with the number of images that fit.

Most of what a step needs is what its graph keeps for the backward pass: n images' worth for a micro-batch of n. That is measured
with one and two images, not computed from a formula, so that it knows of batch norm, dropout and every op. What fits a CPU is
estimated from it, what fits a card is found by rehearsing steps (see `rehearsal`).
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from ..autograd import mode
from ..autograd.core import Tensor
from ..autograd.trace import kept_bytes
from ..backend.device import threads
from ..backend.limits import Limit, memory_limit
from ..backend.memory import empty_cache
from ..backend.pool import limit as pool_limit
from ..backend.pool import limited
from ..backend.threads import run
from ..errors import OutOfMemoryError
from ..ops import cross_entropy
from .build import Job
from .rehearsal import Rehearsal

__all__ = ["explain_out_of_memory", "images_that_fit", "kept_per_image", "readable"]

# A step's peak is 1.4 to 2.5 times what it keeps: gradients and workspaces on their way, and blocks that the pool of memory keeps.
_PEAK = 3.0
_MARGIN = 1.1  # a card's pool may need more than the arrays have, where no free block is large enough
_WORKSPACES = 16 << 20  # of kernels, whatever the batch
_PROCESS = 44 << 20  # of a loader's process, and
_IN_PROCESS = 4  # batches: 3.4 at most were seen with 64 images of 224×224
_THREAD = 72 << 20  # address space that a loader's thread takes: a stack of 8 MiB, and glibc's arena of 64 MiB


@contextmanager
def explain_out_of_memory(job: Job) -> Iterator[None]:
    """Turn a MemoryError of training `job` in this block into an OutOfMemoryError that names a batch size that fits.

    What cannot fit in any case, since the graph alone is larger than the memory left, is refused before the block.
    """
    _let_blas_take_its_buffers()
    with limited(job.device, job.config.gpu_memory):
        limit = memory_limit() if job.device.kind == "cpu" else _card(job)
        try:
            if _images_at_once(job) * kept_per_image(job) > limit.free:
                raise _advice(job, limit)
            yield
            return
        except OutOfMemoryError:
            raise
        except MemoryError as error:
            traceback.clear_frames(error.__traceback__)  # they hold the batch and the graph that was too large
        job.optimizer.zero_grad()
        empty_cache()  # a smaller batch needs blocks of other sizes
        raise _advice(job, limit) from None


def kept_per_image(job: Job, recompute: bool = True) -> int:
    """Bytes that the graph of a step keeps for one image more; with recompute=False, as if nothing were recomputed."""

    def kept(count: int) -> int:
        images, labels = (job.device.full((count, *shape), 0, kind) for shape, kind in ((job.train.image_shape, "float32"), ((), "int64")))
        with mode.frozen_state(), mode.step(0), mode.enable_grad() if recompute else mode.observe(lambda *_: None):
            return kept_bytes(cross_entropy(job.model(Tensor(images)), labels))

    job.model.train()
    return kept(2) - kept(1)


def images_that_fit(job: Job, free: int, accumulate: bool, beside: int = 0) -> int:
    """How many images at a time `free` bytes will do for, 0 if not even one: in micro-batches of batches of the size configured
    (`accumulate`), or as the batch size. `beside` is taken by something else."""
    parameters = sum(int(p.data.nbytes) for p in job.model.parameters())
    image = 4 * math.prod(job.train.image_shape)
    ahead = job.train.prefetch + 5 if job.config.workers else 4  # batches in hand: prepared ahead, in use, in the transforms
    left = free - 3 * parameters - _WORKSPACES - beside  # gradients, velocities, a third for the update
    left -= ahead * image * job.config.batch_size if accumulate else 0
    return max(int(left / (_PEAK * kept_per_image(job, recompute=False) + (0 if accumulate else ahead * image))), 0)


def _advice(job: Job, limit: Limit) -> OutOfMemoryError:
    """The error that says what is needed, what is there, and how many images fit."""
    config, images = job.config, _images_at_once(job)
    try:
        kept = kept_per_image(job)
    except MemoryError:
        return OutOfMemoryError(
            f"out of memory: not even two images are possible, of {limit.name}, {readable(limit.bytes)}, {readable(limit.free)} were "
            "free at the start. Give it more, or lower --width or --image-size."
        )
    micro, alone = _what_fits(job, limit, images)
    remedies = [f"--accumulate {micro} (the same update, {math.ceil(config.batch_size / micro)} images at a time)"] if micro else []
    remedies += [f"--batch-size {alone}"] if alone else []
    remedy = f"What fits: {', or '.join(remedies)}." if remedies else "Not even one fits for sure: lower --width or --image-size."
    return OutOfMemoryError(
        f"out of memory: {images} images at once keep {readable(images * kept)} for the backward pass ({readable(kept)} each), and "
        f"of {limit.name}, {readable(limit.bytes)}, {readable(limit.free)} were free at the start. {remedy}"
    )


def _what_fits(job: Job, limit: Limit, images: int) -> tuple[int, int]:
    """(micro-batches of a batch of the size configured, or a batch size), 0 for what does not; never more than half of `images` at once."""
    if job.device.kind == "cpu":
        loader = _beside(job, limit)
        parts, alone = (min(images_that_fit(job, limit.free, accumulate, loader), images // 2) for accumulate in (True, False))
        return (math.ceil(job.config.batch_size / parts) if parts else 0), alone
    channels = job.train.image_shape[0]
    rehearsal = Rehearsal(job.config, len(job.classes), channels)
    there = sum(int(t.data.nbytes) for _, t in (*job.model.named_parameters(), *job.model.named_buffers()))
    free = int((limit.free + there) / _MARGIN)
    micro = rehearsal.micro_batches(job.config.batch_size, free, least=2 * job.config.accumulate)
    return micro, min(rehearsal.most(free), images // 2)


def _beside(job: Job, limit: Limit) -> int:
    """Bytes that the loaders take: of this process's addresses for threads, of memory that all share for processes."""
    if limit.raises:
        return _THREAD * job.config.workers
    if not job.train.in_processes:
        return 0
    batches = 4 * math.prod(job.train.image_shape) * (job.train.batch_size + job.val.batch_size)
    return job.train.workers * (2 * _PROCESS + _IN_PROCESS * batches)


def _let_blas_take_its_buffers() -> None:
    """One for each thread that multiplies: OpenBLAS ends the process if it cannot have it later."""
    a = np.ones((512, 512), np.float32)
    run(lambda _: a @ a, range(4 * threads()))


def _images_at_once(job: Job) -> int:
    return min(job.config.micro_batch, len(job.train.dataset))


def _card(job: Job) -> Limit:
    used, total = job.device.memory()
    card, pool = Limit(f"{job.device}'s memory", total, used), pool_limit(job.device)
    return card if pool is None else min(card, Limit("gpu_memory", pool[1], pool[0]), key=lambda limit: limit.free)


def readable(count: int) -> str:
    """Such as "1.23 GB" or "345 kB"."""
    unit, name = next((unit, name) for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")) if count >= unit or unit == 1e3)
    return f"{count / unit:.3g} {name}"
