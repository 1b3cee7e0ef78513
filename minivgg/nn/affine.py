"""A scale and a shift of each channel: what batch norm is in evaluation, and what files of other programs have in its place."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..backend.device import Device
from .layers import _positive
from .module import Module, Parameter

__all__ = ["Affine"]


class Affine(Module):
    """y = weight·x + bias for each channel, the second axis; weight and bias (C,)."""

    def __init__(self, channels: int) -> None:
        _positive(channels=channels)
        self.channels = channels
        self.weight, self.bias = (Parameter(Device("cpu").full((channels,), value)) for value in (1.0, 0.0))

    def forward(self, x: Any) -> Any:
        """x (N, C) or (N, C, H, W) → the same shape."""
        shape = (1, self.channels) + (1,) * (x.ndim - 2)
        return x * ops.reshape(self.weight, shape) + ops.reshape(self.bias, shape)

    def describe(self) -> str:
        """The arguments that `repr` shows."""
        return f"{self.channels}"
