"""Wrong kernels: each takes the place of a real one in the overlay's table, while the ops' own rules stay right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minivgg import ops
from minivgg.autograd.core import Op
from minivgg.backend import layout
from minivgg.fast import kernels, overlay  # noqa: F401  importing the list fills the table
from minivgg.ops.columns import convolve

from .planting import Case

__all__ = ["KERNELS", "PlantedKernel"]

PLAIN = ops.Geometry((2, 2), (2, 2))


@dataclass(frozen=True)
class PlantedKernel:
    """One wrong kernel: the op, the phase, the slip, the function and the cases on which it serves."""

    name: str
    op: type[Op]
    phase: str
    slip: str
    function: Callable[..., Any]
    cases: Callable[[np.random.Generator], Iterable[Case]]

    @property
    def rule(self) -> str:
        """Such as "BatchNorm, backward kernel"."""
        return f"{self.op.__name__}, {self.phase} kernel"

    @property
    def key(self) -> tuple[type[Op], str, str]:
        """Its place in the overlay's table."""
        return self.op, self.phase, "numpy"

    def entry(self) -> overlay.Kernel:
        """What to put there: it serves whenever the real one would."""
        (right,) = overlay.table[self.key]
        return overlay.Kernel(self.function, right.when, right.bound)


KERNELS: list[PlantedKernel] = []


def wrong_kernel(op: type[Op], phase: str, cases: Callable[[np.random.Generator], Iterable[Case]]) -> Any:
    """Enter the decorated kernel; its docstring states the slip."""

    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        KERNELS.append(PlantedKernel(function.__name__, op, phase, " ".join((function.__doc__ or "").split()), function, cases))
        return function

    return enter


def right(op: type[Op], phase: str) -> Callable[..., Any]:
    """The real kernel."""
    return overlay.table[op, phase, "numpy"][0].function


NORM_FORWARD, NORM_BACKWARD = right(ops.BatchNorm, "forward"), right(ops.BatchNorm, "backward")
POOL_FORWARD, POOL_SCATTER = right(ops.MaxPool2d, "forward"), right(ops.PoolScatter, "forward")


def batches(rng: np.random.Generator) -> Iterator[Case]:
    """Images for batch norm."""
    yield ops.BatchNorm(0.1), (rng.standard_normal((3, 2, 2, 3)) * 2, rng.uniform(0.5, 2, 2), rng.standard_normal(2))


def images(rng: np.random.Generator) -> Iterator[Case]:
    """Images for 2×2 pooling, without ties."""
    yield ops.MaxPool2d(PLAIN), (rng.permutation(32).reshape(1, 2, 4, 4) * 0.1,)


def gradients(rng: np.random.Generator) -> Iterator[Case]:
    """Image gradients large enough for the kernel, as many filters as channels."""
    yield ops.Conv2dInput((1, 1), (1, 1), (1, 1), 1, (2, 2, 5, 5)), (rng.standard_normal((2, 2, 5, 5)), rng.standard_normal((2, 2, 3, 3)))


def scattered(rng: np.random.Generator) -> Iterator[Case]:
    """What pooling sends back."""
    yield ops.PoolScatter(PLAIN, (1, 2, 4, 4)), (rng.standard_normal((1, 2, 2, 2)), rng.integers(0, 4, (1, 2, 2, 2)).astype(np.uint8))


def per_channel(v: Any) -> Any:
    """v (C,) as (1, C, 1, 1)."""
    return v.reshape(1, -1, 1, 1)


@wrong_kernel(ops.BatchNorm, "forward", batches)
def norm_saves_the_unbiased_variance(call: Any, x: Any, gamma: Any, beta: Any) -> Any:
    """The result is right, but the variance left for the backward pass is the running average's, with m − 1."""
    y = NORM_FORWARD(call, x, gamma, beta)
    m = x.size // x.shape[1]
    call.variance = call.variance * (m / (m - 1))
    return y


@wrong_kernel(ops.BatchNorm, "forward", batches)
def norm_forgets_eps(call: Any, x: Any, gamma: Any, beta: Any) -> Any:
    """Divided by σ in place of √(σ² + ε)."""
    y = NORM_FORWARD(call, x, gamma, beta)
    return (y - per_channel(beta)) * per_channel(np.sqrt(1.0 + call.eps / call.variance)) + per_channel(beta)


@wrong_kernel(ops.BatchNorm, "forward", batches)
def norm_forgets_beta(call: Any, x: Any, gamma: Any, beta: Any) -> Any:
    """The shift is left out."""
    return NORM_FORWARD(call, x, gamma, beta * 0.0)


@wrong_kernel(ops.BatchNorm, "forward", batches)
def norm_adds_a_constant(call: Any, x: Any, gamma: Any, beta: Any) -> Any:
    """A constant is added to the result: all derivatives stay right."""
    return NORM_FORWARD(call, x, gamma, beta) + 0.5


@wrong_kernel(ops.BatchNorm, "backward", batches)
def norm_forgets_the_mean_term(call: Any, gy: Any, saved: Any, shapes: Any, wanted: Any) -> Any:
    """−Σĝ/m is left out of gx."""
    gx, ggamma, gbeta = NORM_BACKWARD(call, gy, saved, shapes, wanted)
    if gx is None:
        return [None, ggamma, gbeta]
    lost = gy.mean((0, 2, 3)) * saved["gamma"] / np.sqrt(call.variance + call.eps)
    return [gx + per_channel(lost), ggamma, gbeta]


@wrong_kernel(ops.BatchNorm, "backward", batches)
def norm_forgets_gamma(call: Any, gy: Any, saved: Any, shapes: Any, wanted: Any) -> Any:
    """gx is not multiplied by γ."""
    gx, ggamma, gbeta = NORM_BACKWARD(call, gy, saved, shapes, wanted)
    return [None if gx is None else gx / per_channel(saved["gamma"]), ggamma, gbeta]


@wrong_kernel(ops.BatchNorm, "backward", batches)
def norm_exchanges_scale_and_shift(call: Any, gy: Any, saved: Any, shapes: Any, wanted: Any) -> Any:
    """gγ and gβ are returned in the wrong order."""
    gx, ggamma, gbeta = NORM_BACKWARD(call, gy, saved, shapes, wanted)
    return [gx, gbeta, ggamma] if wanted[1] and wanted[2] else [gx, ggamma, gbeta]


@wrong_kernel(ops.BatchNorm, "backward", batches)
def norm_works_in_gy(call: Any, gy: Any, saved: Any, shapes: Any, wanted: Any) -> Any:
    """gy's memory is used for an intermediate result, after everything was computed."""
    result = NORM_BACKWARD(call, gy, saved, shapes, wanted)
    gy -= gy.mean(axis=(0, 2, 3), keepdims=True)
    return result


@wrong_kernel(ops.BatchNorm, "backward", batches)
def norm_is_wrong_without_the_images(call: Any, gy: Any, saved: Any, shapes: Any, wanted: Any) -> Any:
    """The short way, for when x wants no gradient, forgets to centre."""
    if wanted[0]:
        return NORM_BACKWARD(call, gy, saved, shapes, wanted)
    inverse = per_channel(1.0 / np.sqrt(call.variance + call.eps))
    return [None, (gy * saved["x"] * inverse).sum((0, 2, 3)) if wanted[1] else None, gy.sum((0, 2, 3)) if wanted[2] else None]


@wrong_kernel(ops.Conv2dInput, "forward", gradients)
def conv_does_not_turn_the_filter(call: Any, u: Any, w: Any) -> Any:
    """The image gradient as a convolution with the filter as it is."""
    return convolve(u, layout.as_nchw(layout.nhwc(w.transpose(1, 0, 2, 3))), None, ops.Geometry((3, 3), (1, 1), (1, 1)))


@wrong_kernel(ops.Conv2dInput, "forward", gradients)
def conv_does_not_exchange_the_channels(call: Any, u: Any, w: Any) -> Any:
    """Filters and channels stay where they are."""
    return convolve(u, layout.as_nchw(layout.nhwc(w[:, :, ::-1, ::-1])), None, ops.Geometry((3, 3), (1, 1), (1, 1)))


@wrong_kernel(ops.Conv2dInput, "forward", gradients)
def conv_leaves_the_last_row_out(call: Any, u: Any, w: Any) -> Any:
    """A tile too few: the last row of every image stays zero."""
    y = CONV(call, u, w).copy()
    y[:, :, -1] = 0.0
    return y


CONV = right(ops.Conv2dInput, "forward")


@wrong_kernel(ops.MaxPool2d, "forward", images)
def pool_numbers_winners_down_the_columns(call: Any, x: Any) -> Any:
    """Winners are numbered column by column; the maxima are right."""
    y = POOL_FORWARD(call, x)
    call.winners = call.winners // 2 + call.winners % 2 * 2
    return y


@wrong_kernel(ops.MaxPool2d, "forward", images)
def pool_forgets_the_lower_row(call: Any, x: Any) -> Any:
    """Of each window only the upper two are compared, and the winner is taken from all four."""
    POOL_FORWARD(call, x)
    return np.maximum(x[:, :, ::2, ::2], x[:, :, ::2, 1::2])


@wrong_kernel(ops.PoolScatter, "forward", scattered)
def scatter_sends_to_the_neighbour(call: Any, u: Any, winners: Any) -> Any:
    """Left and right are exchanged."""
    return POOL_SCATTER(call, u, winners ^ 1)


@wrong_kernel(ops.PoolScatter, "forward", scattered)
def scatter_sends_to_all(call: Any, u: Any, winners: Any) -> Any:
    """The winners are forgotten."""
    return np.repeat(np.repeat(u, 2, axis=2), 2, axis=3)
