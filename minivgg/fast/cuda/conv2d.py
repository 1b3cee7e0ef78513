"""Convolutions and their gradients on the card, by the algorithm that `choice` names.

Bounds. im2col sums the op's C·R·S products in another order: rounding of a sum. Winograd's transforms add and subtract numbers up to 8
times as large as the inputs and multiply by up to 5, so F(4×4) loses about three bits: at most 4e-6 of the result in the L2 norm, in
unit-variance data, and at most 1e-4 of the largest result anywhere. In half precision sums are those of float32, rounded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...backend import layout
from ...backend.arrays import Array
from ...ops.conv2d import Conv2d, Conv2dInput, Conv2dWeight
from ...ops.conv2d_relu import Conv2dRelu
from ..overlay import kernel
from ..problem import Problem
from . import activation
from .choice import choose
from .rows import served

__all__ = ["backward", "backward_relu", "forward", "forward_relu", "image_gradient", "weight_gradient"]

_BOUND = 1e-4


def _serves(call: Any, *arrays: Array) -> bool:
    """One group, and nothing of size 0; a number type that kernels know."""
    return call.groups == 1 and served(*(a for a in arrays if a is not None))


def _problem(call: Any, x_shape: Sequence[int], w_shape: Sequence[int]) -> Problem:
    n, c, h, w = x_shape
    return Problem(n, (h, w), c, w_shape[0], call.windows(tuple(w_shape[2:])))


def _convolve(call: Any, x: Array, w: Array, b: Array | None, relu: bool) -> Array:
    """y (N, K, P, Q) of images x (N, C, H, W) and filters w (K, C, R, S)."""
    problem = _problem(call, x.shape, w.shape)
    return layout.as_nchw(choose(problem, x.dtype).forward(layout.nhwc(x), layout.rsck(w), problem, b, relu))


def _images(call: Any, g: Array, w: Array, shape: Sequence[int]) -> Array:
    """gx (N, C, H, W) of g (N, P, Q, K) and filters w (K, C, R, S)."""
    problem = _problem(call, shape, w.shape)
    return layout.as_nchw(choose(problem, g.dtype).image_gradient(g, layout.rsck(w), problem))


def _filters(call: Any, g: Array, x: Array, shape: Sequence[int]) -> Array:
    """gw (K, C, R, S) of g (N, P, Q, K) and images x (N, C, H, W)."""
    problem = _problem(call, x.shape, shape)
    return layout.as_kcrs(choose(problem, g.dtype).weight_gradient(g, layout.nhwc(x), problem))


def _all(
    call: Any, g: Array, gb: Array | None, saved: dict[str, Array], shapes: Sequence[Any], wanted: Sequence[bool]
) -> list[Array | None]:
    """[gx, gw, gb]."""
    gx = _images(call, g, saved["w"], shapes[0]) if wanted[0] else None
    return [gx, _filters(call, g, saved["x"], shapes[1]) if wanted[1] else None, gb]


@kernel(Conv2d, "forward", "cupy", bound=_BOUND, when=_serves)
def forward(call: Any, x: Array, w: Array, b: Array | None) -> Array:
    """See the module's bounds."""
    return _convolve(call, x, w, b, relu=False)


@kernel(Conv2d, "backward", "cupy", bound=_BOUND, when=_serves)
def backward(call: Any, gy: Array, saved: dict[str, Array], shapes: Sequence[Any], wanted: Sequence[bool]) -> list[Array | None]:
    """[gx, gw, gb]. See the module's bounds."""
    g = layout.nhwc(gy)
    return _all(call, g, activation.channel_sums(g) if wanted[2] else None, saved, shapes, wanted)


@kernel(Conv2dRelu, "forward", "cupy", bound=_BOUND, when=_serves)
def forward_relu(call: Any, x: Array, w: Array, b: Array | None) -> Array:
    """See the module's bounds."""
    return _convolve(call, x, w, b, relu=True)


@kernel(Conv2dRelu, "backward", "cupy", bound=_BOUND, when=_serves)
def backward_relu(call: Any, gy: Array, saved: dict[str, Array], shapes: Sequence[Any], wanted: Sequence[bool]) -> list[Array | None]:
    """[gx, gw, gb]. See the module's bounds; the mask is exact, and made in one pass with the bias's gradient."""
    gy, y = layout.nhwc(gy), layout.nhwc(saved["y"])
    g, gb = activation.masked_sums(gy, y) if wanted[2] else (activation.masked_gradient(gy, y), None)
    return _all(call, g, gb, saved, shapes, wanted)


@kernel(Conv2dInput, "forward", "cupy", bound=_BOUND, when=_serves)
def image_gradient(call: Any, u: Array, w: Array) -> Array:
    """See the module's bounds."""
    return _images(call, layout.nhwc(u), w, call.shape)


@kernel(Conv2dWeight, "forward", "cupy", bound=_BOUND, when=_serves)
def weight_gradient(call: Any, u: Array, x: Array) -> Array:
    """See the module's bounds."""
    return _filters(call, layout.nhwc(u), x, call.shape)
