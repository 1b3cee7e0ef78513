"""Calls that must be refused, with the error that must come: what a check is worth is seen where it should say no."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from ...errors import ConfigError, MinivggError, ShapeError
from ...ops.avg_pool2d import avg_pool2d
from ...ops.conv2d import conv2d
from ...ops.conv2d_relu import conv2d_relu
from ...ops.max_pool2d import max_pool2d
from .geometry import ConvolutionCase, PoolingCase, draw_convolution, draw_pooling
from .samples import uniform

__all__ = ["FAULTS", "POOL_FAULTS", "Illegal", "illegal_convolutions", "illegal_poolings"]


@dataclass(frozen=True)
class Illegal:
    """A call that raises `error` with a message in which the regular expression `match` is found; `what` is the fault."""

    what: str
    call: Callable[[], Any]
    error: type[MinivggError]
    match: str

    def __repr__(self) -> str:
        return f"<illegal: {self.what}>"


Change = tuple[dict[str, Any], type[MinivggError], str]  # (arguments to replace, the error, its message)
_NOT_A_SIZE = (1.5, "2", None, (1, 2, 3), (2, 1.0))


def _arguments(case: ConvolutionCase) -> dict[str, Any]:
    b = uniform(0, "b", case.w_shape[:1]) if case.bias else None
    hyper = {"stride": case.stride, "padding": case.padding, "dilation": case.dilation, "groups": case.groups}
    return {"x": uniform(0, "x", case.x_shape), "w": uniform(0, "w", case.w_shape), "b": b, **hyper}


def _window_past_the_image(draw: st.DrawFn, case: ConvolutionCase) -> Change:
    axis, n = draw(st.integers(0, 1)), case.x_shape
    size = n[2 + axis] + 2 * case.padding[axis] + draw(st.integers(1, 3))
    shape = (*case.w_shape[:2], size, case.w_shape[3]) if axis == 0 else (*case.w_shape[:3], size)
    return {"w": uniform(0, "w", shape)}, ShapeError, "Use a larger image, a smaller window, or padding"


def _other_channels(draw: st.DrawFn, case: ConvolutionCase) -> Change:
    n, c, h, w = case.x_shape
    other = draw(st.integers(1, 6).filter(lambda k: k != c))
    return {"x": uniform(0, "x", (n, other, h, w))}, ShapeError, rf"expects {c} input channels, but the batch .* has {other}"


def _groups(draw: st.DrawFn, case: ConvolutionCase) -> Change:
    k = case.w_shape[0]
    wrong = draw(st.sampled_from((0, -1, k + 1, 1.0, "2", None)))
    return {"groups": wrong}, ConfigError, f"groups must be a whole number ≥ 1 that divides the {k} filters"


def _bias(draw: st.DrawFn, case: ConvolutionCase) -> Change:
    k = case.w_shape[0]
    shape = draw(st.sampled_from(((k + 1,), (k, 1), (), (1, k), (0,))))
    return {"b": uniform(0, "b", shape)}, ShapeError, rf"its bias must have shape \({k},\)"


def _stride(draw: st.DrawFn, case: ConvolutionCase) -> Change:
    wrong = draw(st.sampled_from((0, -1, (1, 0), (0, 2), *_NOT_A_SIZE)))
    return {"stride": wrong}, ConfigError, "stride must be a whole number ≥ 1, or a pair"


def _padding(draw: st.DrawFn, case: ConvolutionCase | PoolingCase) -> Change:
    wrong = draw(st.sampled_from((-1, (0, -1), (-2, 1), *_NOT_A_SIZE)))
    return {"padding": wrong}, ConfigError, "padding must be a whole number ≥ 0, or a pair"


def _dilation(draw: st.DrawFn, case: ConvolutionCase) -> Change:
    wrong = draw(st.sampled_from((0, (1, 0), (-1, 1), *_NOT_A_SIZE)))
    return {"dilation": wrong}, ConfigError, "dilation must be a whole number ≥ 1, or a pair"


def _dtypes(draw: st.DrawFn, case: ConvolutionCase) -> Change:
    dtype = draw(st.sampled_from(("float32", "uint8", "int64")))
    return {"x": uniform(0, "x", case.x_shape, 0.0, 2.0).astype(dtype)}, ShapeError, f"the batch is {dtype} and the filters are float64"


def _axes(draw: st.DrawFn, case: ConvolutionCase) -> Change:
    operand, shapes = draw(st.sampled_from(("x", "w"))), {"x": case.x_shape, "w": case.w_shape}
    shape = draw(st.sampled_from((shapes[operand][1:], (1, *shapes[operand]), shapes[operand][:2], ())))
    return {operand: uniform(0, operand, shape)}, ShapeError, r"needs images \(N, C, H, W\) and filters"


def _no_filters(draw: st.DrawFn, case: ConvolutionCase) -> Change:
    at = draw(st.integers(0, 3))
    shape = tuple(0 if i == at else side for i, side in enumerate(case.w_shape))
    return {"w": np.zeros(shape)}, ShapeError, "needs at least one filter, one channel and one tap"


FAULTS: dict[str, Callable[[st.DrawFn, Any], Change]] = {
    "a window larger than the padded image": _window_past_the_image,
    "other channels than the filters'": _other_channels,
    "groups that do not divide the filters": _groups,
    "a bias of the wrong shape": _bias,
    "an impossible stride": _stride,
    "an impossible padding": _padding,
    "an impossible dilation": _dilation,
    "mixed dtypes": _dtypes,
    "not four axes": _axes,
    "no filters": _no_filters,
}


@st.composite
def illegal_convolutions(draw: st.DrawFn) -> Illegal:
    """Calls of `conv2d` and `conv2d_relu` with one fault in an otherwise legal convolution."""
    what, case = draw(st.sampled_from(sorted(FAULTS))), draw_convolution(draw)
    convolve = draw(st.sampled_from((conv2d, conv2d_relu)))
    change, error, match = FAULTS[what](draw, case)
    arguments = {**_arguments(case), **change}
    return Illegal(f"{what} in {convolve.__name__}", lambda: convolve(**arguments), error, match)


def _pool_past_the_image(draw: st.DrawFn, case: PoolingCase) -> Change:
    size = case.x_shape[2] + 2 * case.geometry.padding[0] + 1, case.geometry.kernel[1]
    return {"size": size}, ShapeError, "Use a larger image, a smaller window, or padding"


def _pool_padding_past_half(draw: st.DrawFn, case: PoolingCase) -> Change:
    r, s = case.geometry.kernel[0] // 2 + 1, case.geometry.kernel[1] // 2 + 1
    return {"padding": draw(st.sampled_from(((r, s), (r, 0), (0, s))))}, ConfigError, "may be at most half of the window"


def _pool_size(draw: st.DrawFn, case: PoolingCase) -> Change:
    return {"size": draw(st.sampled_from((0, (1, 0), -2, *_NOT_A_SIZE)))}, ConfigError, "size must be a whole number ≥ 1, or a pair"


def _pool_stride(draw: st.DrawFn, case: PoolingCase) -> Change:
    return {"stride": draw(st.sampled_from((0, (1, 0), -2, 1.5, "2")))}, ConfigError, "stride must be a whole number ≥ 1, or a pair"


def _pool_axes(draw: st.DrawFn, case: PoolingCase) -> Change:
    shape = draw(st.sampled_from((case.x_shape[1:], (1, *case.x_shape), case.x_shape[:2], ())))
    return {"x": uniform(0, "x", shape)}, ShapeError, r"needs images \(N, C, H, W\)"


POOL_FAULTS: dict[str, Callable[[st.DrawFn, Any], Change]] = {
    "a window larger than the padded image": _pool_past_the_image,
    "padding past half of the window": _pool_padding_past_half,
    "an impossible size": _pool_size,
    "an impossible stride": _pool_stride,
    "an impossible padding": _padding,
    "not four axes": _pool_axes,
}


@st.composite
def illegal_poolings(draw: st.DrawFn) -> Illegal:
    """Calls of `max_pool2d` and `avg_pool2d` with one fault in an otherwise legal pooling."""
    what, case = draw(st.sampled_from(sorted(POOL_FAULTS))), draw_pooling(draw)
    pool, g = draw(st.sampled_from((max_pool2d, avg_pool2d))), case.geometry
    change, error, match = POOL_FAULTS[what](draw, case)
    legal = {"x": uniform(0, "x", case.x_shape), "size": g.kernel, "stride": g.stride, "padding": g.padding, "ceil_mode": g.ceil_mode}
    arguments = {**legal, **change}
    return Illegal(f"{what} in {pool.__name__}", lambda: pool(**arguments), error, match)
