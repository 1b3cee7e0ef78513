"""How good a model is: mean loss and accuracy over every image of a loader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .. import data, ops
from ..autograd import mode
from ..autograd.core import Tensor
from ..backend.arrays import winners
from ..backend.device import Device
from ..backend.precision import as_images
from ..errors import DataError
from .feeding import feed

__all__ = ["Evaluation", "evaluate"]


@dataclass(frozen=True)
class Evaluation:
    """loss: mean soft-max cross-entropy, without label smoothing; `correct` of `count` images were classified right."""

    loss: float
    correct: int
    count: int

    @property
    def accuracy(self) -> float:
        """correct / count, in 0..1."""
        return self.correct / self.count

    def __str__(self) -> str:
        return f"{self.accuracy:.4f} ({self.correct}/{self.count})"


def evaluate(model: Any, loader: data.Loader, device: Device | str = "cpu", between: Callable[[], None] | None = None) -> Evaluation:
    """Classify each image once, in evaluation mode; the model's mode is put back. `between` is called after every batch.

    On a card in the precision of this thread (`with minivgg.precision("bf16"):`), on the CPU in float32. A card is waited for once,
    at the end. Raises DataError if a label names a class that the model does not have.
    """
    device = Device(device)
    training, most = model.training, int(loader.dataset.labels.max())
    model.eval()
    loss, correct, count = 0.0, 0, 0
    try:
        with device.use(), mode.no_grad():
            for batch in feed(loader.epoch(0), device):
                labels = device.asarray(batch.labels)
                logits = model(Tensor(as_images(device, batch.images)))
                if most >= logits.shape[1]:
                    raise DataError(f"label {most} names no class of the model, which has {logits.shape[1]} classes.")
                loss = loss + ops.cross_entropy(logits, labels).data.astype("float64") * len(labels)
                correct = correct + (winners(logits.data) == labels).sum()
                count += len(labels)
                if between is not None:
                    between()
            return Evaluation(float(loss) / count, int(correct), count)
    finally:
        model.train(training)
