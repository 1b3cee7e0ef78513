"""Legal convolutions and poolings: sizes that fit together, the awkward ones among them."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from ...ops.windows import Geometry, Pair

__all__ = [
    "ConvolutionCase", "PoolingCase", "convolutions", "draw_convolution", "draw_pooling", "draw_windows", "poolings",
    "windows",
]  # fmt: skip

Shape = tuple[int, ...]


@dataclass(frozen=True)
class ConvolutionCase:
    """A convolution that is legal: shapes of x (N, C, H, W) and w (K, C/groups, R, S), and the hyper-parameters."""

    x_shape: Shape
    w_shape: Shape
    bias: bool
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int

    @property
    def geometry(self) -> Geometry:
        """Its windows."""
        return Geometry((self.w_shape[2], self.w_shape[3]), self.stride, self.padding, self.dilation)

    @property
    def y_shape(self) -> Shape:
        """(N, K, P, Q)."""
        return (self.x_shape[0], self.w_shape[0], *self.geometry.output(*self.x_shape[2:]))


@dataclass(frozen=True)
class PoolingCase:
    """A pooling that is legal: the shape of x (N, C, H, W) and its windows."""

    x_shape: Shape
    geometry: Geometry

    @property
    def y_shape(self) -> Shape:
        """(N, C, P, Q)."""
        return (*self.x_shape[:2], *self.geometry.output(*self.x_shape[2:]))


def _pair(draw: st.DrawFn, low: int, high: int) -> Pair:
    """Equal numbers more often than two that differ."""
    first = draw(st.integers(low, high))
    return (first, draw(st.integers(low, high)) if draw(st.booleans()) else first)


def _image(draw: st.DrawFn, g: Geometry, extra: int) -> Pair:
    """The height and width of an image that one window fits into, with up to `extra` more."""
    reach = [d * (k - 1) + 1 for d, k in zip(g.dilation, g.kernel, strict=True)]
    least = [max(1, r - 2 * p) for r, p in zip(reach, g.padding, strict=True)]
    more = _pair(draw, 0, extra)
    return least[0] + more[0], least[1] + more[1]


def draw_windows(draw: st.DrawFn) -> tuple[Geometry, Pair]:
    """(windows, image that they fit into): kernels of 1 to 3, strides past the kernel, padding past the kernel, dilation."""
    kernel = _pair(draw, 1, 3)
    if draw(st.booleans()):  # the layers of a VGG: stride 1, the image's size kept
        g = Geometry(kernel, padding=(kernel[0] // 2, kernel[1] // 2))
        return g, _image(draw, g, 7)
    g = Geometry(kernel, _pair(draw, 1, 4), _pair(draw, 0, 4), _pair(draw, 1, 3))
    return g, _image(draw, g, 3)


def draw_convolution(draw: st.DrawFn, *, empty: bool = False) -> ConvolutionCase:
    """A legal convolution; with `empty` the batch may have no images."""
    g, (h, w) = draw_windows(draw)
    groups = draw(st.sampled_from((1, 1, 1, 2, 3)))
    c, k = draw(st.integers(1, 2 if groups > 1 else 3)), draw(st.integers(1, 2 if groups > 1 else 3))
    n = draw(st.integers(0 if empty else 1, 2))
    return ConvolutionCase((n, c * groups, h, w), (k * groups, c, *g.kernel), draw(st.booleans()), g.stride, g.padding, g.dilation, groups)


def draw_pooling(draw: st.DrawFn, *, empty: bool = False) -> PoolingCase:
    """A legal pooling; with `empty` there may be no images or no channels."""
    if draw(st.booleans()):
        g = Geometry((2, 2), (2, 2))
    else:
        kernel = _pair(draw, 1, 3)
        padding = draw(st.integers(0, kernel[0] // 2)), draw(st.integers(0, kernel[1] // 2))
        g = Geometry(kernel, _pair(draw, 1, 4), padding, ceil_mode=draw(st.booleans()))
    h, w = _image(draw, g, 3)
    least = 0 if empty else 1
    return PoolingCase((draw(st.integers(least, 2)), draw(st.integers(least, 2)), h, w), g)


@st.composite
def convolutions(draw: st.DrawFn, *, empty: bool = False) -> ConvolutionCase:
    """Legal convolutions: 1×1, rectangular, strides past the kernel, padding past it, dilation, groups up to one per channel."""
    return draw_convolution(draw, empty=empty)


@st.composite
def poolings(draw: st.DrawFn, *, empty: bool = False) -> PoolingCase:
    """Legal poolings: 2×2 with stride 2 half of the time, else overlapping or with gaps, with padding, with ceil_mode."""
    return draw_pooling(draw, empty=empty)


@st.composite
def windows(draw: st.DrawFn) -> Geometry:
    """Geometries of convolutions and of poolings."""
    return draw_pooling(draw).geometry if draw(st.booleans()) else draw_windows(draw)[0]
