"""Convolutions and their gradients, by the algorithm that `choice` names.

Bounds. im2col and taps sum the op's C·R·S products in another order: rounding of a sum. Winograd's transforms add and subtract numbers up
to 8 times as large as the inputs and multiply by up to 5, so F(4×4) loses about three bits: in unit-variance data its
error is at most 4e-6 of the result in the L2 norm, and at most 1e-4 of the largest result anywhere (see docs/speed.md).
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
from . import columns, taps, winograd_products
from .channel_sum import channel_sums
from .choice import choose
from .ending import Ending, Upstream

__all__ = ["backward", "backward_relu", "forward", "forward_relu", "image_gradient", "weight_gradient"]

_BOUND = 1e-4


def _serves(call: Any, *arrays: Array) -> bool:
    """One group, and nothing of size 0; a dtype that BLAS knows."""
    return call.groups == 1 and all(a is None or (a.size > 0 and a.dtype.char in "fd") for a in arrays)


def _problem(call: Any, x_shape: Sequence[int], w_shape: Sequence[int]) -> Problem:
    n, c, h, w = x_shape
    return Problem(n, (h, w), c, w_shape[0], call.windows(tuple(w_shape[2:])))


def convolve(call: Any, x: Array, w: Array, ending: Ending) -> Array:
    """y (N, K, P, Q) of images x (N, C, H, W) and filters w (K, C, R, S)."""
    problem = _problem(call, x.shape, w.shape)
    algorithm, images, filters = choose(problem, x.dtype), layout.nhwc(x), layout.rsck(w)
    if algorithm == "im2col":
        y = columns.forward(images, filters, problem, ending)
    elif algorithm == "taps":
        y = taps.forward(images, filters, problem, ending)
    else:
        y = winograd_products.forward(images, filters, problem, int(algorithm[-1]), ending)
    return layout.as_nchw(y)


def gradients(call: Any, upstream: Upstream, x: Array | None, w: Array | None, shapes: Sequence[Any]) -> tuple[Array | None, Array | None]:
    """(gx, gw): gx (N, C, H, W) if w is given, gw (K, C, R, S) if x is given; shapes are x's and w's."""
    problem, gx, gw = _problem(call, *shapes[:2]), None, None
    images, filters = None if x is None else layout.nhwc(x), None if w is None else layout.rsck(w)
    algorithm = choose(problem, upstream.gy.dtype)
    if algorithm == "im2col":
        gx, gw = columns.gradients(upstream, images, filters, problem)
    elif algorithm == "taps":
        gx, gw = taps.gradients(upstream, images, filters, problem)
    else:
        gx, gw = winograd_products.gradients(upstream, images, filters, problem, int(algorithm[-1]))
    return None if gx is None else layout.as_nchw(gx), None if gw is None else layout.as_kcrs(gw)


def _all(call: Any, upstream: Upstream, saved: dict[str, Array], shapes: Sequence[Any], wanted: Sequence[bool]) -> list[Array | None]:
    """[gx, gw, gb]."""
    gx, gw = gradients(call, upstream, saved["x"] if wanted[1] else None, saved["w"] if wanted[0] else None, shapes)
    return [gx, gw, channel_sums(upstream.gy, upstream.y) if wanted[2] else None]


@kernel(Conv2d, "forward", "numpy", bound=_BOUND, when=_serves)
def forward(call: Any, x: Array, w: Array, b: Array | None) -> Array:
    """See the module's bounds."""
    return convolve(call, x, w, Ending(b))


@kernel(Conv2d, "backward", "numpy", bound=_BOUND, when=_serves)
def backward(call: Any, gy: Array, saved: dict[str, Array], shapes: Sequence[Any], wanted: Sequence[bool]) -> list[Array | None]:
    """[gx, gw, gb]. See the module's bounds."""
    return _all(call, Upstream(layout.nhwc(gy)), saved, shapes, wanted)


@kernel(Conv2dRelu, "forward", "numpy", bound=_BOUND, when=_serves)
def forward_relu(call: Any, x: Array, w: Array, b: Array | None) -> Array:
    """See the module's bounds."""
    return convolve(call, x, w, Ending(b, relu=True))


@kernel(Conv2dRelu, "backward", "numpy", bound=_BOUND, when=_serves)
def backward_relu(call: Any, gy: Array, saved: dict[str, Array], shapes: Sequence[Any], wanted: Sequence[bool]) -> list[Array | None]:
    """[gx, gw, gb]. See the module's bounds; the mask is exact."""
    return _all(call, Upstream(layout.nhwc(gy), layout.nhwc(saved["y"])), saved, shapes, wanted)


@kernel(Conv2dInput, "forward", "numpy", bound=_BOUND, when=_serves)
def image_gradient(call: Any, u: Array, w: Array) -> Array | None:
    """See the module's bounds."""
    return gradients(call, Upstream(layout.nhwc(u)), None, w, (call.shape, w.shape))[0]


@kernel(Conv2dWeight, "forward", "numpy", bound=_BOUND, when=_serves)
def weight_gradient(call: Any, u: Array, x: Array) -> Array | None:
    """See the module's bounds."""
    return gradients(call, Upstream(layout.nhwc(u)), x, None, (x.shape, call.shape))[1]
