"""Layers: an op with its parameters. Names, defaults and state are torch's.

A layer computes in its input's dtype. Parameters stay float32: for an input in half precision convolutions and linear layers convert
them at each call, and their gradients arrive in float32, rounded to half precision on the way. So a step too small for half precision
is not lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral
from typing import Any

from .. import ops
from ..autograd import mode
from ..autograd.core import cast
from ..backend.arrays import array_module, wide
from ..backend.device import Device
from ..backend.random import stream
from ..backend.substitutes import substituted
from ..errors import ConfigError
from ..ops.batch_norm import check_batch
from ..ops.windows import Pair, pair
from .init import Initialiser, initialiser
from .module import Buffer, Module, Parameter

__all__ = [
    "AdaptiveAvgPool2d", "BatchNorm2d", "Conv2d", "CrossEntropyLoss", "Dropout", "Flatten", "Linear", "LocalResponseNorm",
    "MaxPool2d", "ReLU",
]  # fmt: skip

_CPU = Device("cpu")


def _weight(shape: tuple[int, ...], init: str | Initialiser, rng: Any) -> Parameter:
    """Drawn from `rng`, by default from the stream named after the shape: the same weights in every process."""
    return Parameter(initialiser(init)(rng if rng is not None else stream(0, "init", *shape), shape))


def _as_input(parameter: Any, x: Any) -> Any:
    """A float32 parameter in x's dtype, if that is half precision; others as they are, for the op to compare."""
    half = parameter is not None and x.dtype != parameter.dtype == wide(x.dtype)
    return cast(parameter, x.dtype) if half else parameter


def _positive(**sizes: int) -> None:
    for name, size in sizes.items():
        if not isinstance(size, Integral) or size < 1:
            raise ConfigError(f"{name} must be a whole number ≥ 1, but is {size!r}.")


class Conv2d(Module):
    """Convolution with filters weight (out, in/groups, R, S) and bias (out,). See ops.Conv2d.

    `init` is "he", "glorot", "paper" or a function (rng, shape) → array; `rng` the stream it draws from.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        dilation: int | Pair = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        init: str | Initialiser = "he",
        rng: Any = None,
    ) -> None:
        _positive(in_channels=in_channels, out_channels=out_channels, groups=groups)
        if in_channels % groups or out_channels % groups:
            raise ConfigError(f"groups={groups} must divide in_channels={in_channels} and out_channels={out_channels}.")
        self.kernel_size = pair(kernel_size, "kernel_size", 1)
        self.stride, self.padding, self.dilation = pair(stride, "stride", 1), pair(padding, "padding", 0), pair(dilation, "dilation", 1)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.weight = _weight((out_channels, in_channels // groups, *self.kernel_size), init, rng)
        self.bias = Parameter(_CPU.full((out_channels,), 0.0)) if bias else None

    def forward(self, x: Any) -> Any:
        """x (N, in, H, W) → (N, out, P, Q)."""
        return self._convolve(ops.conv2d, x)

    def with_relu(self, x: Any) -> Any:
        """relu(self(x)) as one op."""
        return self._convolve(ops.conv2d_relu, x)

    def _convolve(self, convolve: Callable[..., Any], x: Any) -> Any:
        w, b = _as_input(self.weight, x), _as_input(self.bias, x)
        return convolve(x, w, b, stride=self.stride, padding=self.padding, dilation=self.dilation, groups=self.groups)

    def multiply_adds(self, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> int:
        """N·K·P·Q·(C/groups)·R·S."""
        return math.prod(y_shape) * math.prod(self.weight.shape[1:])

    def describe(self) -> str:
        """The arguments that `repr` shows."""
        rest = "" if self.groups == 1 else f", groups={self.groups}"
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}{rest}"
        )


class Linear(Module):
    """Fully connected: y = x weightᵀ + bias, weight (out, in), bias (out,). `init` and `rng` as in Conv2d."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True, *, init: str | Initialiser = "he", rng: Any = None) -> None:
        _positive(in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        self.weight = _weight((out_features, in_features), init, rng)
        self.bias = Parameter(_CPU.full((out_features,), 0.0)) if bias else None

    def forward(self, x: Any) -> Any:
        """x (…, in) → (…, out)."""
        return ops.linear(x, _as_input(self.weight, x), _as_input(self.bias, x))

    def multiply_adds(self, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> int:
        """N·in·out."""
        return math.prod(y_shape) * self.in_features

    def describe(self) -> str:
        """The arguments that `repr` shows."""
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"


class BatchNorm2d(Module):
    """Batch normalisation of each channel: by batch statistics in training, by running ones in evaluation.

    running ← (1 − momentum)·running + momentum·batch, with the unbiased variance m/(m − 1)·σ² (torch's rule).
    """

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        _positive(channels=channels)
        if not eps > 0 or not 0 <= momentum <= 1:
            raise ConfigError(f"batch norm needs eps > 0 and momentum in [0, 1], but they are {eps} and {momentum}.")
        self.channels, self.eps, self.momentum = channels, eps, momentum
        self.weight, self.bias = Parameter(_CPU.full((channels,), 1.0)), Parameter(_CPU.full((channels,), 0.0))
        self.running_mean, self.running_var = Buffer(_CPU.full((channels,), 0.0)), Buffer(_CPU.full((channels,), 1.0))
        self.num_batches_tracked = Buffer(_CPU.full((), 0, "int64"))

    def forward(self, x: Any) -> Any:
        """x (N, C, H, W) → the same shape."""
        if self.training:
            return self._train(ops.BatchNorm(self.eps), x)
        check_batch(x, self.weight, self.training)
        return ops.batch_norm(x, self.weight, self.bias, mean=self.running_mean.data, var=self.running_var.data, eps=self.eps)

    def with_relu(self, x: Any) -> Any:
        """relu(self(x)), in training as one op."""
        return self._train(ops.BatchNormRelu(self.eps), x) if self.training else ops.relu(self.forward(x))

    def _train(self, op: ops.BatchNorm | ops.BatchNormRelu, x: Any) -> Any:
        """Normalise by the batch's statistics, and move the running ones towards them."""
        check_batch(x, self.weight, training=True)
        y, call = op.run(x, self.weight, self.bias)
        if not mode.state.frozen:
            self._track(call.mean, call.variance, math.prod(x.shape) // self.channels)
        return y

    def _track(self, mean: Any, variance: Any, m: int) -> None:
        """Move the running statistics, in place: what state_dict() gave out stays true."""
        keep, unbiased = 1.0 - self.momentum, m / (m - 1)
        buffers = self.running_mean, self.running_var, self.num_batches_tracked
        at_once = substituted("running statistics", array_module(mean))
        if not (at_once and at_once([b.data for b in buffers], (mean, variance), self.momentum, keep, unbiased)):
            for running, batch in zip(buffers, (mean, variance * unbiased), strict=False):
                running.data *= keep
                running.data += self.momentum * batch
            self.num_batches_tracked.data += 1

    def describe(self) -> str:
        """The arguments that `repr` shows."""
        return f"{self.channels}, eps={self.eps}, momentum={self.momentum}"


class LocalResponseNorm(Module):
    """x / (k + α Σ x²)^β over neighbouring channels, with the paper's constants; α is not divided by `size`."""

    def __init__(self, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0, alpha_over_n: bool = False) -> None:
        self.options = {"size": size, "alpha": alpha, "beta": beta, "k": k, "alpha_over_n": alpha_over_n}

    def forward(self, x: Any) -> Any:
        """x (N, C, H, W) → the same shape."""
        return ops.local_response_norm(x, **self.options)  # type: ignore[arg-type]

    def describe(self) -> str:
        """The arguments that `repr` shows."""
        return ", ".join(f"{name}={value}" for name, value in self.options.items())


class MaxPool2d(Module):
    """The largest value of each window; stride defaults to the window's size."""

    def __init__(
        self, kernel_size: int | Pair = 2, stride: int | Pair | None = None, padding: int | Pair = 0, ceil_mode: bool = False
    ) -> None:
        self.kernel_size, self.stride, self.padding, self.ceil_mode = kernel_size, stride, padding, ceil_mode

    def forward(self, x: Any) -> Any:
        """x (N, C, H, W) → (N, C, P, Q)."""
        return ops.max_pool2d(x, self.kernel_size, stride=self.stride, padding=self.padding, ceil_mode=self.ceil_mode)

    def describe(self) -> str:
        """The arguments that `repr` shows."""
        return f"{self.kernel_size}, stride={self.stride or self.kernel_size}, padding={self.padding}, ceil_mode={self.ceil_mode}"


class AdaptiveAvgPool2d(Module):
    """Means over a fixed number of cells, whatever the image's size."""

    def __init__(self, output_size: int | Pair) -> None:
        self.output_size = pair(output_size, "output_size", 1)

    def forward(self, x: Any) -> Any:
        """x (N, C, H, W) → (N, C, *output_size)."""
        return ops.adaptive_avg_pool2d(x, self.output_size)

    def describe(self) -> str:
        """The arguments that `repr` shows."""
        return f"{self.output_size}"


class ReLU(Module):
    """max(x, 0)."""

    def forward(self, x: Any) -> Any:
        """Any shape → the same shape."""
        return ops.relu(x)


class Flatten(Module):
    """(N, C, H, W) → (N, C·H·W), channel by channel, or with `channels_last` place by place, as in networks made with TensorFlow."""

    def __init__(self, channels_last: bool = False) -> None:
        self.channels_last = channels_last

    def forward(self, x: Any) -> Any:
        """(N, …) → (N, everything else)."""
        return ops.flatten(ops.transpose(x, (0, *range(2, x.ndim), 1)) if self.channels_last else x)


class Dropout(Module):
    """In training, zeros with probability p and the rest divided by 1 − p; in evaluation, nothing.

    The mask is drawn from the stream (seed, layer's name, step, micro-batch), where a training loop gives the step
    by `mode.step`; outside a loop the layer counts its own calls.
    """

    def __init__(self, p: float = 0.5, seed: int = 0) -> None:
        if not 0.0 <= p <= 1.0:
            raise ConfigError(f"p must be a probability in [0, 1], but is {p}.")
        self.p, self.seed, self.calls = p, seed, 0

    def forward(self, x: Any) -> Any:
        """Any shape → the same shape."""
        if not self.training:
            return x
        key = ("step", *mode.state.step) if mode.state.step is not None else ("call", self.calls)
        if mode.state.step is None and not mode.state.frozen:
            self.calls += 1
        return ops.dropout(x, self.p, rng=stream(self.seed, "dropout", mode.where("dropout"), *key))

    def describe(self) -> str:
        """The arguments that `repr` shows."""
        return f"p={self.p}"


class CrossEntropyLoss(Module):
    """Soft-max cross-entropy of logits (N, C) and integer targets (N,); see ops.cross_entropy."""

    def __init__(self, weight: Any = None, ignore_index: int | None = None, reduction: str = "mean", label_smoothing: float = 0.0) -> None:
        self.weight = None if weight is None else Buffer(weight)
        self.ignore_index, self.reduction, self.label_smoothing = ignore_index, reduction, label_smoothing

    def forward(self, logits: Any, targets: Any = None) -> Any:
        """logits (N, C), targets (N,) → one number, or (N,) for reduction="none"."""
        return ops.cross_entropy(
            logits,
            targets,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            class_weights=None if self.weight is None else self.weight.data,
            reduction=self.reduction,
        )
