"""A table of a model's layers: output shape, parameters, multiply-adds, activation memory. Measured by running it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..autograd.mode import frozen_state, no_grad
from ..backend.device import Device
from .module import Module

__all__ = ["Row", "Summary", "summary"]


@dataclass(frozen=True)
class Row:
    """One layer: its path, type with arguments, output shape, number of parameters, multiply-adds, and the bytes of its output."""

    path: str
    layer: str
    shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    bytes: int


@dataclass(frozen=True)
class Summary:
    """The rows in order of execution; `str(summary)` is the table with its totals."""

    input_shape: tuple[int, ...]
    rows: tuple[Row, ...]
    parameters: int
    trainable: int

    @property
    def multiply_adds(self) -> int:
        """Of all layers together."""
        return sum(row.multiply_adds for row in self.rows)

    @property
    def bytes(self) -> int:
        """Of all outputs together."""
        return sum(row.bytes for row in self.rows)

    def __str__(self) -> str:
        table = [("layer", "type", "output", "parameters", "multiply-adds", "MB")]
        table += [
            (r.path, r.layer, _times(r.shape), f"{r.parameters:,}", f"{r.multiply_adds:,}", f"{r.bytes / 1e6:.2f}") for r in self.rows
        ]
        table.append(("total", "", "", f"{self.parameters:,}", f"{self.multiply_adds:,}", f"{self.bytes / 1e6:.2f}"))
        widths = [max(len(row[i]) for row in table) for i in range(6)]
        lines = [
            "  ".join(c.ljust(w) if i < 3 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))).rstrip()
            for row in table
        ]
        rule = "-" * max(map(len, lines))
        note = f"input {_times(self.input_shape)}; {self.multiply_adds / 1e9:.3f} GMAC; "
        note += f"{self.trainable:,} of {self.parameters:,} parameters are trained"
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1], note])


def summary(model: Module, input_shape: tuple[int, ...]) -> Summary:
    """Run `model` once on zeros of `input_shape` (N, C, H, W), in evaluation, and collect a row for each leaf module.

    The model's mode, running statistics and gradients are as before.
    """
    rows: list[Row] = []
    leaves = [(path, module) for path, module in model.named_modules() if not list(module.named_children())]
    modes = [(module, module.training) for _, module in model.named_modules()]
    first = next(iter(model.parameters()), None)
    device = Device("cpu") if first is None else Device.of(first.data)
    image = device.full(input_shape, 0.0, "float32" if first is None else first.dtype)

    def watch(path: str) -> Callable[..., None]:
        def hook(module: Module, inputs: tuple[Any, ...], y: Any) -> None:
            own = sum(parameter.size for parameter in module.parameters())
            size = math.prod(y.shape) * y.dtype.itemsize
            label = f"{type(module).__name__}({module.describe()})"
            rows.append(Row(path, label, tuple(y.shape), own, module.multiply_adds(tuple(inputs[0].shape), tuple(y.shape)), size))

        return hook

    remove = [module.register_forward_hook(watch(path)) for path, module in leaves]
    try:
        model.eval()
        with device.use(), no_grad(), frozen_state():
            model(image)
    finally:
        for undo in remove:
            undo()
        for module, training in modes:
            module.training = training
    parameters = model.parameters()
    return Summary(tuple(input_shape), tuple(rows), sum(p.size for p in parameters), sum(p.size for p in parameters if p.requires_grad))


Module.summary = summary  # model.summary((1, 3, 224, 224))


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
