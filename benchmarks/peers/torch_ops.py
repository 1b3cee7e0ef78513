"""PyTorch's single ops, on channels-last images, with all threads and the fused update."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

import minivgg as mv

from .op_case import OpCase

__all__ = ["Ops"]


class Ops(OpCase):
    """Eager."""

    def build(self) -> Callable[[], Any]:
        """See OpCase."""
        torch.set_num_threads(mv.threads())
        t, family = self.tensors, self.case.family
        self.gy = None if self.gy is None else self.gradient(self.gy)
        self.targets = None if self.targets is None else torch.from_numpy(self.targets)
        if family == "bn_relu":
            norm = torch.nn.BatchNorm2d(self.case.shape[1])
            module = torch.nn.Sequential(norm, torch.nn.ReLU(inplace=True))
            t |= {"gamma": norm.weight, "beta": norm.bias}
            return lambda: module(t["x"])
        if family == "sgd":
            self.sgd = torch.optim.SGD(t.values(), lr=0.01, momentum=0.9, weight_decay=5e-4, fused=True)
        calls: dict[str, Callable[[], Any]] = {
            "conv": lambda: functional.conv2d(t["x"], t["w"], t["b"], padding=1),
            "pool": lambda: functional.max_pool2d(t["x"], 2),
            "linear": lambda: functional.linear(t["x"], t["w"], t["b"]),
            "cross_entropy": lambda: functional.cross_entropy(t["x"], self.targets),
            "sgd": lambda: None,
        }
        return calls[family]

    @staticmethod
    def tensor(array: Any, requires_grad: bool) -> Any:
        """With storage of its own; images and filters channels-last."""
        made = torch.from_numpy(array.copy(order="C"))
        return (made.contiguous(memory_format=torch.channels_last) if array.ndim == 4 else made).requires_grad_(requires_grad)

    @staticmethod
    def gradient(array: Any) -> Any:
        """A tensor like any other."""
        return Ops.tensor(array, requires_grad=False)

    @staticmethod
    def array(tensor: Any) -> Any:
        """Shares the storage."""
        return tensor.detach().numpy()
