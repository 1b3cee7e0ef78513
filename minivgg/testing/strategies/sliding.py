"""Arguments for the ops whose windows slide over images or channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from ... import ops
from ...autograd.core import Op
from ...ops.batch_norm_relu import zero_in_a_gap
from .elementwise import Drawn, Recipe
from .geometry import PoolingCase, draw_convolution, draw_pooling, draw_windows
from .samples import uniform
from .values import draw_shape, seeds, spread

__all__ = ["TABLE"]

Shape = tuple[int, ...]


def _conv2d(draw: st.DrawFn, empty: bool) -> tuple[ops.Conv2d, tuple[Any, ...]]:
    case, seed = draw_convolution(draw, empty=empty), draw(seeds())
    b = uniform(seed, "b", case.w_shape[:1]) if case.bias else None
    op = ops.Conv2d(case.stride, case.padding, case.dilation, case.groups)
    return op, (uniform(seed, "x", case.x_shape), uniform(seed, "w", case.w_shape), b)


def _conv2d_relu(draw: st.DrawFn, empty: bool) -> Drawn:
    """A convolution none of whose results is near zero: without a bias where that is so already."""
    conv, (x, w, b) = _conv2d(draw, empty)
    values = conv(x, w, None)
    if values.size and (b is not None or np.abs(values).min() < 0.02):
        b = np.round(zero_in_a_gap(values), 3)
    return ops.Conv2dRelu(conv.stride, conv.padding, conv.dilation, conv.groups), (x, w, b)


def _conv2d_input(draw: st.DrawFn, empty: bool) -> Drawn:
    case, seed = draw_convolution(draw, empty=empty), draw(seeds())
    op = ops.Conv2dInput(case.stride, case.padding, case.dilation, case.groups, case.x_shape)
    return op, (uniform(seed, "u", case.y_shape), uniform(seed, "w", case.w_shape))


def _conv2d_weight(draw: st.DrawFn, empty: bool) -> Drawn:
    case, seed = draw_convolution(draw, empty=empty), draw(seeds())
    op = ops.Conv2dWeight(case.stride, case.padding, case.dilation, case.groups, case.w_shape)
    return op, (uniform(seed, "u", case.y_shape), uniform(seed, "x", case.x_shape))


def _columns(draw: st.DrawFn, empty: bool) -> tuple[Any, Shape, Shape]:
    """(windows, shape of the images, shape of their columns)."""
    g, (h, w) = draw_windows(draw)
    n, c = draw(st.integers(0 if empty else 1, 2)), draw(st.integers(0 if empty else 1, 2))
    p, q = g.output(h, w)
    return g, (n, c, h, w), (n, c * g.size, p * q)


def _im2col(draw: st.DrawFn, empty: bool) -> Drawn:
    g, images, _ = _columns(draw, empty)
    return ops.Im2col(g), (uniform(draw(seeds()), "x", images),)


def _col2im(draw: st.DrawFn, empty: bool) -> Drawn:
    g, images, columns = _columns(draw, empty)
    return ops.Col2im(g, images), (uniform(draw(seeds()), "u", columns),)


def _pool(cls: Callable[[Any], Op]) -> Recipe:
    def recipe(draw: st.DrawFn, empty: bool) -> Drawn:
        case = draw_pooling(draw, empty=empty)
        return cls(case.geometry), (spread(draw(seeds()), case.x_shape),)

    return recipe


def _avg_pool_input(draw: st.DrawFn, empty: bool) -> Drawn:
    case = draw_pooling(draw, empty=empty)
    return ops.AvgPool2dInput(case.geometry, case.x_shape), (uniform(draw(seeds()), "u", case.y_shape),)


def _winners(case: PoolingCase, seed: int) -> Any:
    return np.ascontiguousarray(ops.MaxPool2d(case.geometry).run(spread(seed, case.x_shape))[1].winners)


def _pool_gather(draw: st.DrawFn, empty: bool) -> Drawn:
    case, seed = draw_pooling(draw, empty=empty), draw(seeds())
    winners = _winners(case, seed)
    return ops.PoolGather(case.geometry), (uniform(seed, "x", case.x_shape), winners)


def _pool_scatter(draw: st.DrawFn, empty: bool) -> Drawn:
    case, seed = draw_pooling(draw, empty=empty), draw(seeds())
    winners = _winners(case, seed)
    return ops.PoolScatter(case.geometry, case.x_shape), (uniform(seed, "u", case.y_shape), winners)


def _channel_window_sum(draw: st.DrawFn, empty: bool) -> Drawn:
    shape = draw_shape(draw, 4, 4, max_side=6, empty=empty)
    return ops.ChannelWindowSum(draw(st.integers(0, 7)), draw(st.integers(0, 7))), (uniform(draw(seeds()), "x", shape),)


def _local_response_norm(draw: st.DrawFn, empty: bool) -> Drawn:
    shape = draw_shape(draw, 4, 4, max_side=6, empty=empty)
    size, alpha = draw(st.integers(1, 7)), draw(st.sampled_from((0.1, 1e-4, 0.5)))
    beta, k = draw(st.sampled_from((0.75, 0.5, 1.0))), draw(st.sampled_from((2.0, 1.0)))
    return ops.LocalResponseNorm(size, alpha, beta, k), (uniform(draw(seeds()), "x", shape),)


TABLE: dict[type[Op], Recipe] = {
    ops.Conv2d: _conv2d,
    ops.Conv2dRelu: _conv2d_relu,
    ops.Conv2dInput: _conv2d_input,
    ops.Conv2dWeight: _conv2d_weight,
    ops.Im2col: _im2col,
    ops.Col2im: _col2im,
    ops.AvgPool2d: _pool(ops.AvgPool2d),
    ops.AvgPool2dInput: _avg_pool_input,
    ops.MaxPool2d: _pool(ops.MaxPool2d),
    ops.PoolGather: _pool_gather,
    ops.PoolScatter: _pool_scatter,
    ops.ChannelWindowSum: _channel_window_sum,
    ops.LocalResponseNorm: _local_response_norm,
}
