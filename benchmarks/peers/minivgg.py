"""minivgg: the engine as a user gets it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import minivgg as mv
from measuring.job import Job
from measuring.timing import Run
from minivgg import models, nn, ops, optim

__all__ = ["Network"]


class Network:
    """The model, and what is done with it."""

    def __init__(self, job: Job) -> None:
        self.model: Any = models.build(
            job.model, num_classes=job.classes, in_channels=job.channels, image_size=job.size, width=job.width, head=job.head
        )
        self._output: Any = None

    def state(self) -> dict[str, Any]:
        """Name → array."""
        return dict(self.model.state_dict())

    def load(self, state: dict[str, Any]) -> None:
        """Take over the weights."""
        self.model.load_state_dict(state)

    def age(self) -> None:
        """Give batch norm running statistics as after some training: those of a new network (0 and 1) would prove little."""
        rng = np.random.default_rng(2)
        for name, buffer in self.model.named_buffers():
            if name.endswith("running_mean"):
                buffer.data[...] = 0.1 * rng.standard_normal(buffer.shape)
            elif name.endswith("running_var"):
                buffer.data[...] = rng.uniform(0.5, 1.5, buffer.shape)

    def gradients(self, images: Any, targets: Any) -> tuple[float, dict[str, Any]]:
        """Loss and gradients in the images' dtype; running statistics stay."""
        self.model.to(dtype=images.dtype.name)
        with no_dropout(self.model), mv.frozen_state():
            loss = ops.cross_entropy(self.model(mv.Tensor(images)), targets)
            loss.backward()
        found = {name: p.grad for name, p in self.model.named_parameters()}
        self.model.to(dtype="float32")
        return loss.item(), found

    def loss(self, images: Any, targets: Any) -> float:
        """In training mode, without dropout; nothing is recorded."""
        with no_dropout(self.model), mv.frozen_state(), mv.no_grad():
            return float(ops.cross_entropy(self.model(mv.Tensor(images)), targets).item())

    def training(self, images: Any, targets: Any) -> dict[str, Callable[[], Run]]:
        """Forward, loss, backward, SGD with momentum and weight decay."""

        def make() -> Run:
            sgd = optim.SGD(self.model.named_parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
            x = _channels_last(images)

            def run(steps: int) -> None:
                for _ in range(steps):
                    loss = ops.cross_entropy(self.model(x), targets)
                    sgd.zero_grad()
                    loss.backward()
                    sgd.step()

            return run

        return {"minivgg": make}

    def inference(self, images: Any) -> dict[str, Callable[[], Run]]:
        """Evaluation; batch norms, if there are any, are folded into the convolutions."""

        def make() -> Run:
            model = self.model.eval()
            if any(isinstance(module, nn.BatchNorm2d) for _, module in model.named_modules()):
                model = nn.fold_batch_norm(model)
            x = _channels_last(images)

            def run(steps: int) -> None:
                with mv.no_grad():
                    for _ in range(steps):
                        self._output = model(x)

            return run

        return {"minivgg": make}

    def outputs(self, contender: str) -> Any:
        """Logits of the last run."""
        return self._output.numpy()

    def kept_bytes(self, images: Any, targets: Any) -> int:
        """Bytes that the graph of one step keeps for the backward pass."""
        with mv.frozen_state():
            return int(mv.kept_bytes(ops.cross_entropy(self.model(_channels_last(images)), targets)))


@contextmanager
def no_dropout(model: Any) -> Iterator[None]:
    """Dropout keeps everything in this block."""
    layers = [m for _, m in model.named_modules() if isinstance(m, nn.Dropout)]
    before = [m.p for m in layers]
    for m in layers:
        m.p = 0.0
    try:
        yield
    finally:
        for m, p in zip(layers, before, strict=True):
            m.p = p


def _channels_last(images: Any) -> mv.Tensor:
    """As the loader hands batches out."""
    return mv.Tensor(np.ascontiguousarray(images.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2))
