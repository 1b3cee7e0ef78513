"""minivgg's single ops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import minivgg as mv
from minivgg import nn, ops, optim

from .op_case import OpCase

__all__ = ["Ops"]


class Ops(OpCase):
    """By the ops and layers that a user calls."""

    def build(self) -> Callable[[], Any]:
        """See OpCase."""
        t, family = self.tensors, self.case.family
        if family == "bn_relu":
            norm = nn.BatchNorm2d(self.case.shape[1])
            module = nn.Sequential(norm, nn.ReLU())
            t |= {"gamma": norm.weight, "beta": norm.bias}
            return lambda: module(t["x"])
        if family == "sgd":
            self.sgd = optim.SGD(list(t.items()), lr=0.01, momentum=0.9, weight_decay=5e-4)
        calls: dict[str, Callable[[], Any]] = {
            "conv": lambda: ops.conv2d(t["x"], t["w"], t["b"], padding=1),
            "pool": lambda: ops.max_pool2d(t["x"], 2),
            "linear": lambda: ops.linear(t["x"], t["w"], t["b"]),
            "cross_entropy": lambda: ops.cross_entropy(t["x"], self.targets),
            "sgd": lambda: None,
        }
        return calls[family]

    @staticmethod
    def tensor(array: Any, requires_grad: bool) -> Any:
        """With storage of its own, in the same order."""
        return mv.Tensor(array.copy(order="K"), requires_grad=requires_grad)

    @staticmethod
    def gradient(array: Any) -> Any:
        """minivgg's gradients are arrays."""
        return array.copy()

    @staticmethod
    def array(tensor: Any) -> Any:
        """A tensor's array, or the gradient itself."""
        return np.asarray(getattr(tensor, "data", tensor)) if isinstance(tensor, mv.Tensor) else tensor
