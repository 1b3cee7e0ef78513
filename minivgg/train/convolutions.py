"""Which algorithm computes each convolution of a model, on the CPU or on a card that need not be here. Nothing is timed."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import nn
from ..autograd.core import Tensor
from ..autograd.mode import frozen_state, no_grad
from ..backend import precision as precisions
from ..backend.blank import Blanks
from ..backend.device import Device
from ..errors import ConfigError
from ..ops.windows import Geometry

__all__ = ["explain"]

_Shape = tuple[int, int, int, int]


def explain(model: Any, shape: _Shape, device: str = "cpu", precision: str = "fp32") -> str:
    """A table with a line for each convolution of `model` on images of `shape` (N, C, H, W): the algorithm that is chosen.

    On the CPU also the milliseconds on one core that the cost model expects of each algorithm for a forward pass; on a card ("cuda"),
    in `precision`, the rule that chose it. A model that is explained for a card is left without values. Raises ConfigError for a
    precision that the device can't compute in, and where an algorithm is forced that can't serve; DeviceError for an unknown device.
    """
    if importlib.util.find_spec("minivgg.fast") is None:
        raise ConfigError("there are no kernels to choose from: the folder minivgg/fast is missing.")
    kind = "cuda" if re.fullmatch(r"cuda(:\d+)?", device) else Device(device).kind
    if kind == "cuda":
        return _on_card(model, shape, precisions.check(precision))
    precisions.check(precision, Device("cpu"))
    return _on_cpu(model, shape)


def _on_cpu(model: Any, shape: _Shape) -> str:
    from ..fast.algorithm import refusal
    from ..fast.cpu import choice

    def row(problem: Any) -> list[str]:
        price, why = choice.costs(problem), refusal(problem)
        expected = [f"{price[name] / 1e6:.1f}" if name in price else "–" for name in choice.ALGORITHMS]
        return [choice.choose(problem, np.float32), *expected, f"no Winograd: {why}" if why else ""]

    rows = _rows(model, shape, row, lambda: nn.summary(model, (1, *shape[1:])))
    note = f"Batch of {shape[0]}; expected milliseconds of a forward pass on one core, by the model in fast/cpu/choice.py; float32."
    return _table([*choice.ALGORITHMS, ""], rows, note, right=range(5, 5 + len(choice.ALGORITHMS)))


def _on_card(model: Any, shape: _Shape, precision: str) -> str:
    """Of arrays without values the kernels ask which algorithm, as they do on a card, and it refuses what it would refuse there."""
    from ..fast.cuda import choice

    dtype = precisions.image_dtype(precision) or np.dtype(np.float32)
    device = Device.of(Blanks().empty(()))
    model.to(device=device).eval()

    def run() -> None:
        with device.use(), no_grad(), frozen_state():
            model(Tensor(device.full(shape, 0.0, dtype.name)))

    with precisions.rehearsed(precision):
        rows = _rows(model, shape, lambda problem: list(choice.explain(problem, dtype)), run)
    note = f"Batch of {shape[0]}, in {precision} on a card, by the rules in fast/cuda/choice.py. Nothing was run."
    return _table(["because"], rows, note)


def _rows(model: Any, shape: _Shape, row: Callable[[Any], list[str]], run: Callable[[], Any]) -> list[list[str]]:
    """What `run` makes the model's convolutions do: layer, image, channels, kernel, and what `row` says of the problem."""
    from ..fast.problem import Problem

    rows: list[list[str]] = []

    def watch(path: str, layer: Any) -> Callable[..., None]:
        def hook(_: Any, inputs: tuple[Any, ...], y: Any) -> None:
            g = Geometry(layer.kernel_size, layer.stride, layer.padding, layer.dilation)
            problem = Problem(shape[0], tuple(inputs[0].shape[2:]), layer.in_channels, layer.out_channels, g)
            kernel, title = "×".join(map(str, g.kernel)), f"{layer.in_channels} → {layer.out_channels}"
            said = row(problem) if layer.groups == 1 else ["the op's own", f"{layer.groups} groups"]
            rows.append([path, "×".join(map(str, problem.size)), title, kernel, *said])

        return hook

    remove = [m.register_forward_hook(watch(path, m)) for path, m in model.named_modules() if isinstance(m, nn.Conv2d)]
    try:
        run()
    finally:
        for undo in remove:
            undo()
    return rows


def _table(heads: Sequence[str], rows: list[list[str]], note: str, right: Sequence[int] = ()) -> str:
    table = [["layer", "image", "channels", "kernel", "algorithm", *heads], *rows]
    table = [[*line[:-1], *["–"] * (len(table[0]) - len(line)), line[-1]] for line in table]
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    lines = [
        [cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))] for line in table
    ]
    return "\n".join([*("  ".join(line).rstrip() for line in lines), note])
