"""DeZero, the NumPy framework of a book, made to run on NumPy 2 and kept in float32.

Three things are mended from outside, none of which makes it slower:

np.int            is gone since NumPy 1.24; DeZero's transforms name it when they are imported.
as_array          makes a 0-d float64 array of a Python number. NumPy 1 let such an array yield to a float32 one, NumPy 2 does
                  not: 1/N in the loss would turn the whole backward pass into float64, at half the speed.
targets           as int16: its loss subtracts a one-hot matrix of the targets' dtype, and float32 − int64 is float64.

Its batch norm has eps = 2e-5 for a default; it is called with minivgg's 1e-5. It has no local response normalisation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from measuring.architecture import Layer, layers
from measuring.job import Job
from measuring.timing import Run
from minivgg.errors import ConfigError

np.int = int  # type: ignore[attr-defined]
try:
    import dezero
    from dezero import core, functions
    from dezero import layers as parts
finally:
    del np.int  # type: ignore[attr-defined]

__all__ = ["Network"]

_number = [np.float32]  # the dtype of Python numbers inside the engine
_as_array = core.as_array


def _as_array_that_yields(x: Any, array_module: Any = np) -> Any:
    return np.array(x, _number[0]) if type(x) in (int, float) else _as_array(x, array_module)


core.as_array = _as_array_that_yields


class BatchNorm(parts.BatchNorm):  # type: ignore[misc]
    """Its layer with minivgg's eps, and its parameters there from the start."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name, value in {"gamma": 1, "beta": 0, "avg_mean": 0, "avg_var": 1}.items():
            getattr(self, name).data = np.full(channels, value, np.float32)

    def __call__(self, x: Any) -> Any:
        """By batch statistics in training."""
        return functions.batch_nrom(x, self.gamma, self.beta, self.avg_mean.data, self.avg_var.data, eps=1e-5)


class Network(parts.Layer):  # type: ignore[misc]
    """The network from DeZero's own layers."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.plan: list[tuple[Layer, Any]] = []
        self.dropout = 0.5
        for layer in layers(job):
            part = None
            if layer.kind == "conv":
                part = parts.Conv2d(layer.outputs, layer.kernel, pad=layer.kernel // 2, in_channels=layer.inputs)
                part.W.data = part.W.data.astype(np.float32)  # its scale, a float64 number, made it float64
            elif layer.kind == "linear":
                part = parts.Linear(layer.outputs, in_size=layer.inputs)
                part.W.data = part.W.data.astype(np.float32)
            elif layer.kind == "bn":
                part = BatchNorm(layer.inputs)
            elif layer.kind == "lrn":
                raise ConfigError("DeZero has no local response normalisation: leave it out for this model.")
            if part is not None:
                setattr(self, layer.name, part)
            self.plan.append((layer, part))

    def forward(self, x: Any) -> Any:
        """Images → logits."""
        for layer, part in self.plan:
            if part is not None:
                x = part(x)
            elif layer.kind == "relu":
                x = functions.relu(x)
            elif layer.kind == "pool":
                x = functions.pooling(x, 2, 2)
            elif layer.kind == "mean" and layer.height > 1:
                x = functions.average_pooling(x, layer.height)
            elif layer.kind == "flatten":
                x = functions.reshape(x, (len(x), -1))
            elif layer.kind == "dropout" and self.dropout:
                x = functions.dropout(x, self.dropout)
        return x

    def _tensors(self) -> list[tuple[str, Any, bool]]:
        """(minivgg's name, DeZero's variable, whether it is stored transposed)."""
        names = {"W": "weight", "b": "bias", "gamma": "weight", "beta": "bias", "avg_mean": "running_mean", "avg_var": "running_var"}
        return [
            (f"{layer.name}.{names[own]}", getattr(part, own), layer.kind == "linear" and own == "W")
            for layer, part in self.plan
            if part is not None
            for own in names
            if hasattr(part, own)
        ]

    def load(self, state: dict[str, Any], dtype: Any = np.float32) -> None:
        """Take over minivgg's weights."""
        for name, variable, transposed in self._tensors():
            variable.data = np.array(state[name].T if transposed else state[name], dtype, order="C")

    def gradients(self, images: Any, targets: Any) -> tuple[float, dict[str, Any]]:
        """Loss and gradients in the images' dtype."""
        self._cast(images.dtype)
        self.dropout = 0.0
        self.cleargrads()
        loss = functions.softmax_cross_entropy(self(core.Variable(images)), targets.astype(np.int16))
        loss.backward()
        found = {n: v.grad.data.T if turned else v.grad.data for n, v, turned in self._tensors() if v.grad is not None}
        self.cleargrads()
        self.dropout = 0.5
        self._cast(np.float32)
        return float(loss.data), found

    def loss(self, images: Any, targets: Any) -> float:
        """In training mode, without dropout; nothing is recorded."""
        self.dropout = 0.0
        with dezero.no_grad():
            loss = functions.softmax_cross_entropy(self(core.Variable(images)), targets.astype(np.int16))
        self.dropout = 0.5
        return float(loss.data)

    def _cast(self, dtype: Any) -> None:
        _number[0] = np.dtype(dtype).type
        for _, variable, _ in self._tensors():
            variable.data = variable.data.astype(dtype, copy=False)

    def training(self, images: Any, targets: Any) -> dict[str, Callable[[], Run]]:
        """Forward, loss, backward, SGD with momentum and weight decay."""

        def make() -> Run:
            sgd = dezero.optimizers.MomentumSGD(lr=0.01, momentum=0.9).setup(self)
            sgd.add_hook(dezero.optimizers.WeightDecay(5e-4))
            x, y = core.Variable(images), targets.astype(np.int16)

            def run(steps: int) -> None:
                for _ in range(steps):
                    loss = functions.softmax_cross_entropy(self(x), y)
                    self.cleargrads()
                    x.cleargrad()
                    loss.backward()
                    sgd.update()

            return run

        return {"dezero": make}
