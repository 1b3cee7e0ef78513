"""Convolution: three ops that differentiate into one another.

All three belong to one trilinear form, T(x, w, u) = Σ u[n,k,p,q] · x̃[n,c,·,·] · w[k,c,r,s] over all indices.
Each op is T's derivative by one operand, so each rule is one of the other two: the family is closed.
"""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np

from ..autograd.mode import where
from ..autograd.op import Op, op
from ..backend.arrays import Array, array_module, is_float
from ..errors import ConfigError, ShapeError
from .channel_sum import channel_sum
from .columns import convolve, correlate, scatter_columns
from .shaping import concatenate
from .windows import Geometry, Im2col, Pair, geometry, pair

__all__ = ["Conv2d", "Conv2dInput", "Conv2dWeight", "Convolution", "check_convolution", "conv2d"]

Shape4 = tuple[int, ...]  # (N, C, H, W) or (K, C, R, S)


class Convolution(Op):
    """What the three share: the geometry of the windows, fixed by the fields and the kernel's size."""

    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int

    def windows(self, kernel: tuple[int, ...]) -> Geometry:
        """The windows of a kernel of R×S."""
        return Geometry((kernel[0], kernel[1]), self.stride, self.padding, self.dilation)

    def fields(self) -> tuple[Pair, Pair, Pair, int]:
        """The hyper-parameters, to make another op of the family."""
        return self.stride, self.padding, self.dilation, self.groups


def _split(x: Array, groups: int, axis: int) -> list[Array]:
    """x cut into `groups` equal parts along `axis`; each a view."""
    size = x.shape[axis] // groups
    return [x[(slice(None),) * axis + (slice(i * size, (i + 1) * size),)] for i in range(groups)]


def _examples(rng: np.random.Generator) -> Iterator[tuple[tuple[Pair, Pair, Pair, int], Array, Array, Array | None]]:
    """(fields, x, w, b): VGG's 3×3, 1×1, stride past the kernel, grouped and dilated, larger and rectangular."""
    normal = rng.standard_normal
    yield ((1, 1), (1, 1), (1, 1), 1), normal((2, 3, 4, 4)), normal((4, 3, 3, 3)), normal(4)
    yield ((1, 1), (0, 0), (1, 1), 1), normal((2, 2, 2, 3)), normal((3, 2, 1, 1)), None
    yield ((3, 2), (1, 0), (1, 1), 1), normal((1, 2, 5, 4)), normal((2, 2, 2, 1)), normal(2)
    yield ((1, 2), (2, 1), (2, 1), 2), normal((2, 4, 4, 3)), normal((4, 2, 2, 3)), normal(4)
    yield ((1, 1), (0, 1), (1, 2), 1), normal((1, 1, 6, 5)), normal((2, 1, 2, 2)), None


@op
class Conv2d(Convolution):
    """Slide K filters over each image: y = x ⋆ w + b.

    Shapes     x (N, C, H, W)  w (K, C/groups, R, S)  b (K,) or None  →  y (N, K, P, Q),
               P = ⌊(H + 2·padding − dilation·(R − 1) − 1) / stride⌋ + 1, Q likewise
    Formula    y[n,k,p,q] = b[k] + Σ_{c,r,s} x̃[n, c, p·stride + r·dilation, q·stride + s·dilation] · w[k,c,r,s],
               x̃ is x with zeros around it; with groups, filter k sees its own group's channels only
    Gradients  y is linear in x and in w, so each rule is the transpose of one linear map.
               gw[k,c,r,s] = Σ_{n,p,q} gy[n,k,p,q] · x̃[n, c, p·stride + r·dilation, q·stride + s·dilation]
               gx̃[n,c,i,j] = Σ gy[n,k,p,q] · w[k,c,r,s] over all with p·stride + r·dilation = i, q·stride + s·dilation = j
               gb[k] = Σ_{n,p,q} gy[n,k,p,q]
    Cost       N·K·P·Q·(C/groups)·R·S multiply-adds, the same again for each gradient. As a matrix product over
               im2col's columns, which are built a few MB at a time and never kept.
    See        Dumoulin & Visin 2016, arXiv:1603.07285, §2, §4; Chellapilla, Puri & Simard 2006 (im2col).
    """

    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int
    linear = ("x", "w b")

    def forward(self, x: Array, w: Array, b: Array | None) -> Array:
        g = self.windows(w.shape[2:])
        if self.groups == 1:
            return convolve(x, w, b, g)
        biases = [None] * self.groups if b is None else _split(b, self.groups, 0)
        parts = zip(_split(x, self.groups, 1), _split(w, self.groups, 0), biases, strict=True)
        return array_module(x).concatenate([convolve(*part, g) for part in parts], axis=1)

    def grad_x(self, gy: Any, w: Any, x_shape: Shape4) -> Any:
        return Conv2dInput(*self.fields(), x_shape)(gy, w)

    def grad_w(self, gy: Any, x: Any, w_shape: Shape4) -> Any:
        return Conv2dWeight(*self.fields(), w_shape)(gy, x)

    def grad_b(self, gy: Any) -> Any:
        return channel_sum(gy)

    def definition(self, x: Any, w: Any, b: Any) -> Any:
        g, parts = self.windows(w.shape[2:]), []
        p, q = g.output(*x.shape[2:])
        for i in range(self.groups):
            c, k = w.shape[1], w.shape[0] // self.groups
            columns = Im2col(g)(x[:, i * c : (i + 1) * c])  # (N, C·R·S, P·Q)
            parts.append((w[i * k : (i + 1) * k].reshape((k, c * g.size)) @ columns).reshape((x.shape[0], k, p, q)))
        y = concatenate(parts, 1)
        return y if b is None else y + b.reshape((1, w.shape[0], 1, 1))

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        for fields, x, w, b in _examples(rng):
            yield Conv2d(*fields), (x, w, b)


@op
class Conv2dInput(Convolution):
    """The image gradient of a convolution, also called transposed convolution: y = ∂T/∂x.

    Shapes     u (N, K, P, Q)  w (K, C/groups, R, S)  →  y (N, C, H, W) = shape
    Gradients  T is linear in u and w: by u it is the convolution of gy with w, by w it is Conv2dWeight of u and gy.
    """

    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int
    shape: Shape4
    linear = ("u", "w")

    def forward(self, u: Array, w: Array) -> Array:
        g, (n, c, h, wide) = self.windows(w.shape[2:]), self.shape
        if self.groups == 1:
            return scatter_columns(u, w, self.shape, g)
        parts = zip(_split(u, self.groups, 1), _split(w, self.groups, 0), strict=True)
        return array_module(u).concatenate([scatter_columns(ui, wi, (n, c // self.groups, h, wide), g) for ui, wi in parts], axis=1)

    def grad_u(self, gy: Any, w: Any) -> Any:
        return Conv2d(*self.fields())(gy, w, None)

    def grad_w(self, gy: Any, u: Any, w_shape: Shape4) -> Any:
        return Conv2dWeight(*self.fields(), w_shape)(u, gy)

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        for fields, x, w, _ in _examples(rng):
            y = Conv2d(*fields)(x, w, None)
            yield Conv2dInput(*fields, x.shape), (rng.standard_normal(y.shape), w)


@op
class Conv2dWeight(Convolution):
    """The filter gradient of a convolution: y = ∂T/∂w.

    Shapes     u (N, K, P, Q)  x (N, C, H, W)  →  y (K, C/groups, R, S) = shape
    Gradients  T is linear in u and x: by u it is the convolution of x with gy, by x it is Conv2dInput of u and gy.
    """

    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int
    shape: Shape4
    linear = ("u", "x")

    def forward(self, u: Array, x: Array) -> Array:
        g, (k, *rest) = self.windows(self.shape[2:]), self.shape
        if self.groups == 1:
            return correlate(u, x, self.shape, g)
        parts = zip(_split(u, self.groups, 1), _split(x, self.groups, 1), strict=True)
        return array_module(u).concatenate([correlate(ui, xi, (k // self.groups, *rest), g) for ui, xi in parts], axis=0)

    def grad_u(self, gy: Any, x: Any) -> Any:
        return Conv2d(*self.fields())(x, gy, None)

    def grad_x(self, gy: Any, u: Any, x_shape: Shape4) -> Any:
        return Conv2dInput(*self.fields(), x_shape)(u, gy)

    @staticmethod
    def examples(rng: np.random.Generator) -> Any:
        for fields, x, w, _ in _examples(rng):
            y = Conv2d(*fields)(x, w, None)
            yield Conv2dWeight(*fields, w.shape), (rng.standard_normal(y.shape), x)


def conv2d(x: Any, w: Any, b: Any = None, *, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Any:
    """Convolve images x (N, C, H, W) with filters w (K, C/groups, R, S), and add b (K,) if given.

    stride, padding and dilation are ints or pairs (rows, columns). Returns (N, K, P, Q) in x's dtype.
    Raises ShapeError if sizes do not fit, ConfigError for impossible hyper-parameters. See Conv2d for formulas.
    """
    return Conv2d(*check_convolution("conv2d", x, w, b, stride, padding, dilation, groups))(x, w, b)


def check_convolution(
    name: str, x: Any, w: Any, b: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> tuple[Pair, Pair, Pair, int]:
    """The fields of a convolution; raises ShapeError or ConfigError unless the arguments of the function `name` fit."""
    name = where(name)
    if x.ndim != 4 or w.ndim != 4:
        raise ShapeError(f"{name} needs images (N, C, H, W) and filters (K, C/groups, R, S), but got {x.shape} and {w.shape}.")
    if 0 in w.shape:
        raise ShapeError(f"{name} needs at least one filter, one channel and one tap, but the filters are {w.shape}.")
    if not isinstance(groups, Integral) or groups < 1 or w.shape[0] % groups:
        raise ConfigError(f"{name}: groups must be a whole number ≥ 1 that divides the {w.shape[0]} filters, but is {groups!r}.")
    if x.shape[1] != w.shape[1] * groups:
        kind = {1: " (grey images)", 3: " (colour images)"}.get(x.shape[1], "")
        remedy = f"Build the model with in_channels={x.shape[1]}" + (", or load the images as RGB" if x.shape[1] == 1 else "")
        raise ShapeError(f"{name} expects {w.shape[1] * groups} input channels, but the batch {x.shape} has {x.shape[1]}{kind}. {remedy}.")
    if b is not None and b.shape != (w.shape[0],):
        raise ShapeError(f"{name} has {w.shape[0]} filters, so its bias must have shape ({w.shape[0]},), not {b.shape}.")
    if x.dtype != w.dtype:
        remedy = f", or the model: model.to(dtype='{x.dtype}')" if is_float(x.dtype) else " (and bring 0..255 near 0 ± 1)"
        raise ShapeError(
            f"{name}: the batch is {x.dtype} and the filters are {w.dtype}. Convert the batch: x.to(dtype='{w.dtype}'){remedy}."
        )
    g = geometry(w.shape[2:], stride, padding, dilation)
    g.output(*x.shape[2:])  # complains if the window does not fit
    return pair(stride, "stride", 1), pair(padding, "padding", 0), pair(dilation, "dilation", 1), int(groups)
