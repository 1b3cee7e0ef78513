"""Modules to be recomputed, and what one pass through them gives."""

from __future__ import annotations

import numpy as np

import minivgg as mv
from minivgg import nn
from minivgg.autograd import mode

__all__ = ["Plain", "Twice", "X", "layers", "step"]

X = np.random.default_rng(0).standard_normal((3, 3, 8, 8)).astype("float32")


class Plain(nn.Module):
    """Holds a module under the name that Checkpoint gives it, without being one."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def forward(self, *inputs):
        """module(*inputs)."""
        return self.module(*inputs)


class Twice(nn.Module):
    """One dropout layer that is called twice."""

    def __init__(self) -> None:
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        """The sum of two masked inputs."""
        return self.drop(x * 2.0) + self.drop(x * 3.0)


def layers() -> nn.Sequential:
    """One layer of each kind that has state or a kink."""
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.MaxPool2d(2))


def step(model, x=X, number=None):
    """(value, gradient by x, all gradients, all state) of one forward and backward pass, as bytes."""
    x = mv.Tensor(x, requires_grad=True)
    with mode.step(number) if number is not None else mode.enable_grad():
        y = model(x)
    (y * y).sum().backward()
    gradients = {name: None if p.grad is None else p.grad.tobytes() for name, p in model.named_parameters()}
    return y.data.tobytes(), x.grad.tobytes(), gradients, {name: a.tobytes() for name, a in model.state_dict().items()}
