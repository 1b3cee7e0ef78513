"""minivgg on a card: the model, the loss, the optimiser, nothing else."""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import Any

import numpy as np

import minivgg as mv
from measuring.agreement import Sweep
from measuring.job import Job
from measuring.timing import Run
from minivgg import models, nn, ops, optim
from minivgg.autograd import mode
from minivgg.backend.arrays import to_numpy
from minivgg.backend.precision import as_images, precision
from minivgg.train.scaling import LossScale
from peers.minivgg import no_dropout

from .card import Place

__all__ = ["Network"]


@lru_cache(maxsize=1)
def _drawn(job: Job) -> Any:
    """The network on the host, with weights: VGG-16's 138 million are drawn once, and copied for each contender."""
    return models.build(job.model, num_classes=job.classes, in_channels=job.channels, image_size=job.size, width=job.width, head=job.head)


class Network:
    """One contender: a network with weights of its own, in one precision."""

    def __init__(self, job: Job, place: Place, name: str = "fp32") -> None:
        self.place, self.job, self.name = place, job, name
        self.model = copy.deepcopy(_drawn(job)).to("cuda")

    def state(self) -> dict[str, Any]:
        """Name → NumPy array."""
        return {name: to_numpy(array) for name, array in self.model.state_dict().items()}

    def gradients(self, images: Any, targets: Any) -> Sweep:
        """Loss and gradients in the images' dtype, without dropout."""
        self.model.to(dtype=images.dtype.name)
        with no_dropout(self.model), mv.frozen_state():
            loss = ops.cross_entropy(self.model(mv.Tensor(self.place.device.asarray(images))), self.place.device.asarray(targets))
            loss.backward()
        found = {name: to_numpy(p.grad) for name, p in self.model.named_parameters()}
        self.model.zero_grad()
        self.model.to(dtype="float32")
        return loss.item(), found

    def loss(self, images: Any, targets: Any) -> float:
        """Of this contender's precision, without dropout; nothing is recorded."""
        with no_dropout(self.model), mv.frozen_state(), mv.no_grad(), precision(self.name):
            return float(ops.cross_entropy(self.model(self._images(images)), self.place.device.asarray(targets)).item())

    def training(self, images: Any, targets: Any) -> Run:
        """Forward, loss, backward, SGD with momentum and weight decay. In fp16 the loss is scaled, as in `train`."""
        sgd = optim.SGD(self.model.named_parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4)
        x, labels, number = self._images(images), self.place.device.asarray(targets), [0]
        scaling = LossScale(self.place.device) if self.name == "fp16" else None
        xp = self.place.cupy

        def run(steps: int) -> None:
            with precision(self.name):
                for _ in range(steps):
                    number[0] += 1
                    with mode.step(number[0]):
                        loss = ops.cross_entropy(self.model(x), labels)
                    sgd.zero_grad()
                    if scaling is None:
                        loss.backward()
                        sgd.step()
                    else:
                        scale = scaling.scale
                        loss.backward(xp.ones_like(loss.data) * scale)
                        finite = sgd.finite()
                        scaling.update(finite)
                        sgd.step(finite, scale)

        return run

    def inference(self, images: Any) -> Run:
        """Evaluation, batch norm folded."""
        model = self.model.eval()
        if any(isinstance(module, nn.BatchNorm2d) for _, module in model.named_modules()):
            model = nn.fold_batch_norm(model)
        x = self._images(images)

        def run(steps: int) -> None:
            with mv.no_grad(), precision(self.name):
                for _ in range(steps):
                    model(x)

        return run

    def _images(self, images: Any) -> mv.Tensor:
        """On the card, channels-last, in the precision's dtype: as the loader hands batches out."""
        stored = np.ascontiguousarray(images.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        with precision(self.name):
            return mv.Tensor(as_images(self.place.device, stored))
