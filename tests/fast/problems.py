"""Drawn convolutions for one algorithm at a time, and what they must give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

import minivgg as mv
from minivgg import ops
from minivgg.backend import layout
from minivgg.fast.cpu.problem import Ending, Problem
from minivgg.ops.windows import Geometry

__all__ = ["Case", "assert_close", "cases", "expected", "loops"]


@dataclass(frozen=True)
class Case:
    """A problem, whether it has a bias and the rectifier, and the seed of its numbers."""

    problem: Problem
    bias: bool = True
    relu: bool = False
    seed: int = 0

    def arrays(self, dtype: Any = np.float64) -> tuple[Any, Any, Any, Any]:
        """x (N, H, W, C), w (R, S, C, K), b (K,) or None and gy (N, P, Q, K): normal numbers, w divided by √(R·S·C)."""
        p, rng = self.problem, np.random.default_rng(self.seed)
        shapes = (p.n, *p.size, p.c), (*p.geometry.kernel, p.c, p.k), (p.k,), (p.n, *p.output, p.k)
        x, w, b, gy = (rng.standard_normal(shape) for shape in shapes)
        w /= np.sqrt(p.geometry.size * p.c)
        return x.astype(dtype), w.astype(dtype), b.astype(dtype) if self.bias else None, gy.astype(dtype)

    def ending(self, b: Any) -> Ending:
        """The kernels' ending for bias b."""
        return Ending(b, self.relu)


@st.composite
def cases(draw: st.DrawFn, winograd: bool) -> Case:
    """Small convolutions; with `winograd` 3×3 ones with stride 1 and dilation 1. Rows and columns often differ."""
    pair = lambda low, high: (draw(st.integers(low, high)), draw(st.integers(low, high)))  # noqa: E731
    if winograd:
        g, more = Geometry((3, 3), padding=pair(0, 3)), pair(0, 16)
    else:
        g, more = Geometry(pair(1, 4), pair(1, 3), pair(0, 4), pair(1, 3)), pair(0, 8)
    reach = [d * (k - 1) + 1 for d, k in zip(g.dilation, g.kernel, strict=True)]
    least = [max(1, r - 2 * p) for r, p in zip(reach, g.padding, strict=True)]
    size = (min(least[0] + more[0], 17), min(least[1] + more[1], 17))
    n, c, k = (draw(st.integers(1, 9)) for _ in range(3))
    return Case(Problem(n, size, c, k, g), draw(st.booleans()), draw(st.booleans()), draw(st.integers(0, 99)))


def expected(case: Case) -> tuple[Any, Any, Any]:
    """(y, gx, gw), stored as the kernels store them, by the op's own formula and rules; gx and gw without the rectifier."""
    g, (x, w, b, gy) = case.problem.geometry, case.arrays()
    fields = (g.stride, g.padding, g.dilation, 1)
    images, filters, arrived = layout.as_nchw(x), layout.as_kcrs(w), layout.as_nchw(gy)
    with mv.reference():
        y = ops.Conv2d(*fields)(images, filters, b)
        gx = ops.Conv2dInput(*fields, images.shape)(arrived, filters)
        gw = ops.Conv2dWeight(*fields, filters.shape)(arrived, images)
    return layout.nhwc(np.maximum(y, 0) if case.relu else y), layout.nhwc(gx), layout.rsck(gw)


def loops(case: Case) -> tuple[Any, Any, Any]:
    """(y, gx, gw) as `expected`, written out: every output, every tap."""
    p, (x, w, b, gy) = case.problem, case.arrays()
    g, y, gx, gw = p.geometry, np.zeros(gy.shape), np.zeros(x.shape), np.zeros(w.shape)
    for n, i, j in np.ndindex(p.n, *p.output):
        for r, s in np.ndindex(g.kernel):
            row = i * g.stride[0] + r * g.dilation[0] - g.padding[0]
            column = j * g.stride[1] + s * g.dilation[1] - g.padding[1]
            if 0 <= row < p.size[0] and 0 <= column < p.size[1]:
                for c, k in np.ndindex(p.c, p.k):
                    y[n, i, j, k] += x[n, row, column, c] * w[r, s, c, k]
                    gx[n, row, column, c] += gy[n, i, j, k] * w[r, s, c, k]
                    gw[r, s, c, k] += gy[n, i, j, k] * x[n, row, column, c]
        y[n, i, j] += 0 if b is None else b
    return np.maximum(y, 0) if case.relu else y, gx, gw


def assert_close(found: Any, wanted: Any, bound: float = 1e-12) -> None:
    """Same shape and dtype, and no element further off than `bound` times the largest, or 1."""
    assert found.shape == wanted.shape and found.dtype == wanted.dtype
    assert np.abs(found - wanted).max(initial=0.0) <= bound * max(np.abs(wanted).max(initial=0.0), 1.0)
