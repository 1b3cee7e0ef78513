"""Mixup: training on the line between two images and their labels (Zhang et al. 2018, arXiv:1710.09412).

    λ ~ Beta(α, α), one for a step          x ← λ·x + (1 − λ)·x′          loss ← λ·CE(y) + (1 − λ)·CE(y′)

x′, y′ are the batch rolled by one place: each image is mixed with the one before it, the first with the last. The batch
is mixed before it is cut into micro-batches, so that accumulation leaves the update as it is. What is "right" is counted against y alone,
so that training accuracy looks low where λ < ½; validation never mixes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import ops
from ..backend.arrays import Array, array_module
from ..backend.device import Device
from ..backend.layout import as_nchw, nhwc
from ..backend.random import stream
from .config import TrainConfig

__all__ = ["Mixed", "mixed"]


class Mixed(NamedTuple):
    """A mixed batch: `images` (B, C, H, W), the `labels` (B,) that weigh `share` = λ, the `partners` (B,) that weigh 1 − λ. Both are on
    the job's device. With share = 1 it is not mixed."""

    images: Array
    labels: Array
    partners: Array
    share: float

    def loss(self, logits: Any, part: slice, smoothing: float) -> Any:
        """The mean loss of the images in `part` of the batch, whose logits (n, K) these are."""
        loss = ops.cross_entropy(logits, self.labels[part], label_smoothing=smoothing)
        if self.share == 1:
            return loss
        other = ops.cross_entropy(logits, self.partners[part], label_smoothing=smoothing)
        return loss * self.share + other * (1 - self.share)


def mixed(batch: Any, config: TrainConfig, device: Device, step: int) -> Mixed:
    """`batch` mixed for step number `step`, its images where they are, with λ from the stream (seed, "mixup", step); as it is if α = 0."""
    labels = device.asarray(batch.labels)
    if not config.mixup:
        return Mixed(batch.images, labels, labels, 1.0)
    share = float(stream(config.seed, "mixup", step).beta(config.mixup, config.mixup))
    x = nhwc(batch.images)
    images = x * share
    images[1:] += x[:-1] * (1 - share)
    images[:1] += x[-1:] * (1 - share)
    partners = array_module(labels).concatenate((labels[-1:], labels[:-1]))
    return Mixed(as_nchw(images), labels, partners, share)
