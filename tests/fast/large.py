"""Calls that are large enough for every kernel to cut its work into parts, and a network's training steps, as lists of arrays.

As a script: prints a digest of all of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import minivgg as mv
from minivgg import models, ops, optim

__all__ = ["CALLS", "Steps", "bits", "outcome", "training"]

WINDOWS = ((1, 1), (1, 1), (1, 1), 1)  # 3×3, padding 1
COLUMNS = ((2, 2), (2, 2), (1, 1), 1)  # 5×5, stride 2: no Winograd
Call = tuple[Any, list[Any]]  # an op, its operands


def _normal(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def _norm(op: Any) -> Iterator[Call]:
    yield op, [_normal(64, 64, 32, 32), _normal(64) + 2, _normal(64)]


def _convolutions(op: type[Any]) -> Iterator[Call]:
    """By F(4×4), F(2×2), columns, and tap by tap."""
    yield op(*WINDOWS), [_normal(32, 32, 32, 32), _normal(64, 32, 3, 3), _normal(64)]
    yield op(*WINDOWS), [_normal(32, 64, 6, 6), _normal(512, 64, 3, 3), _normal(512)]
    yield op(*COLUMNS), [_normal(16, 16, 32, 32), _normal(32, 16, 5, 5), None]
    yield op(*WINDOWS), [_normal(32, 256, 2, 2), _normal(512, 256, 3, 3), None]


def _image_gradients() -> Iterator[Call]:
    for call, (x, w, _) in _convolutions(ops.Conv2d):
        yield ops.Conv2dInput(*call.fields(), x.shape), [call(x, w, None), w]


def _filter_gradients() -> Iterator[Call]:
    for call, (x, w, _) in _convolutions(ops.Conv2d):
        yield ops.Conv2dWeight(*call.fields(), w.shape), [call(x, w, None), x]


def _scattered() -> Iterator[Call]:
    pool = ops.MaxPool2d(ops.Geometry((2, 2), (2, 2)))
    u, made = pool.run(_normal(32, 64, 32, 32))
    yield ops.PoolScatter(pool.geometry, (32, 64, 32, 32)), [u, made.winners]


CALLS: dict[type[Any], Callable[[], Iterator[Call]]] = {
    ops.BatchNorm: lambda: _norm(ops.BatchNorm(1e-5)),
    ops.BatchNormRelu: lambda: _norm(ops.BatchNormRelu(1e-5)),
    ops.ChannelAffine: lambda: _norm(ops.ChannelAffine()),
    ops.ChannelSum: lambda: iter([(ops.ChannelSum(), [_normal(64, 64, 32, 32)])]),
    ops.Conv2d: lambda: _convolutions(ops.Conv2d),
    ops.Conv2dRelu: lambda: _convolutions(ops.Conv2dRelu),
    ops.Conv2dInput: _image_gradients,
    ops.Conv2dWeight: _filter_gradients,
    ops.Dropout: lambda: iter([(ops.Dropout(0.5), [_normal(1024, 2048), _normal(1024, 2048) > 0])]),
    ops.Linear: lambda: iter([(ops.Linear(), [_normal(128, 1000), _normal(1536, 1000), _normal(1536)])]),
    ops.MaxPool2d: lambda: iter([(ops.MaxPool2d(ops.Geometry((2, 2), (2, 2))), [_normal(32, 64, 32, 32)])]),
    ops.PoolScatter: _scattered,
    ops.Relu: lambda: iter([(ops.Relu(), [_normal(1024, 2048)])]),
}


def outcome(call: Call) -> list[Any]:
    """[y, its gradients by the operands] of a call, the gradient that arrives being y itself."""
    op, operands = call
    tensors = [mv.Tensor(a, requires_grad=True) if getattr(a, "dtype", None) == np.float32 else a for a in operands]
    y = op(*tensors)
    y.backward(y.data)
    return [y.data, *(x.grad for x in tensors if isinstance(x, mv.Tensor))]


class Steps:
    """Training steps of a VGG-11 with batch norm, `width` of the paper's, on 32×32 images in ten classes."""

    def __init__(self, width: float = 0.25, batch: int = 32) -> None:
        self.model = models.build("vgg11_bn", num_classes=10, image_size=32, width=width)
        self.optimizer = optim.SGD(self.model.named_parameters(), lr=0.01)
        self.images, self.labels = _normal(batch, 3, 32, 32), np.arange(batch) % 10

    def loss(self) -> Any:
        """The loss of the batch."""
        return ops.cross_entropy(self.model(mv.Tensor(self.images)), self.labels)

    def __call__(self) -> Any:
        """One step: forward, backward, update. The loss as an array."""
        self.optimizer.zero_grad()
        loss = self.loss()
        loss.backward()
        self.optimizer.step()
        return loss.data


def training() -> list[Any]:
    """Three losses, then all parameters and running statistics."""
    step = Steps()
    return [*(step() for _ in range(3)), *step.model.state_dict().values()]


def bits(arrays: list[Any]) -> str:
    """A digest of all bits."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


if __name__ == "__main__":
    print(bits([array for calls in CALLS.values() for call in calls() for array in outcome(call)]), bits(training()))
