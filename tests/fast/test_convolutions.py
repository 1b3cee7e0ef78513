"""The three algorithms for convolution, driven directly: every way of cutting the work gives the op's result and gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import minivgg as mv
from minivgg import ops
from minivgg.backend import layout
from minivgg.fast.cpu import columns, taps, winograd_products
from minivgg.fast.cpu.ending import Ending, Upstream
from minivgg.fast.problem import Problem
from minivgg.ops.windows import Geometry

GEOMETRIES = 500
TINY, HUGE = 1, 1 << 40


@contextmanager
def constants(module: Any, **values: int) -> Iterator[None]:
    """Other sizes of portions and pieces for a while."""
    with ExitStack() as stack:
        for name, value in values.items():
            stack.enter_context(patch.object(module, name, value))
        yield


class Case:
    """A convolution with numbers, in the kernels' storage."""

    def __init__(self, problem: Problem, seed: int, relu: bool, biased: bool) -> None:
        rng, g = np.random.default_rng(seed), problem.geometry
        self.problem, self.relu = problem, relu
        self.x = rng.standard_normal((problem.n, *problem.size, problem.c))
        self.w = rng.standard_normal((*g.kernel, problem.c, problem.k))
        self.b = rng.standard_normal(problem.k) if biased else None
        self.gy = rng.standard_normal((problem.n, *problem.output, problem.k))

    def expected(self) -> list[Any]:
        """y, gx and gw by the op itself, channels last."""
        g = self.problem.geometry
        op = (ops.Conv2dRelu if self.relu else ops.Conv2d)(g.stride, g.padding, g.dilation, 1)
        x, w = mv.Tensor(layout.as_nchw(self.x), requires_grad=True), mv.Tensor(layout.as_kcrs(self.w), requires_grad=True)
        with mv.reference():
            y = op(x, w, self.b)
            gx, gw = mv.grad(y, [x, w], layout.as_nchw(self.gy))
        return [layout.nhwc(y.data), layout.nhwc(gx), layout.rsck(gw)]

    def check(self, algorithm: Any, *m: int) -> None:
        """The algorithm gives these, both gradients at once and each by itself."""
        y, gx, gw = self.expected()
        found = algorithm.forward(self.x, self.w, self.problem, *m, Ending(self.b, self.relu))
        upstream = Upstream(self.gy, y if self.relu else None)
        both = algorithm.gradients(upstream, self.x, self.w, self.problem, *m)
        images = algorithm.gradients(upstream, None, self.w, self.problem, *m)
        filters = algorithm.gradients(upstream, self.x, None, self.problem, *m)
        assert images[1] is None and filters[0] is None
        for a, b in ((found, y), (both[0], gx), (both[1], gw), (images[0], gx), (filters[1], gw)):
            assert a.shape == b.shape and a.dtype == b.dtype
            assert np.abs(a - b).max(initial=0.0) <= 1e-12 * max(np.abs(b).max(initial=0.0), self.scale())

    def scale(self) -> float:
        """Terms of order 1 in the longest sum: what their rounding errors are measured by."""
        p, q = self.problem.output
        return float(max(self.problem.c, self.problem.k) * self.problem.geometry.size + self.problem.n * p * q) ** 0.5


@st.composite
def cases(draw: st.DrawFn, kernel: st.SearchStrategy[int], further: st.SearchStrategy[int], most: tuple[int, int, int]) -> Case:
    """Any sizes of images, channels and batch up to `most`, `further` being strides and dilations."""
    sizes, channels, images = most
    pair = lambda values: (draw(values), draw(values))  # noqa: E731
    g = Geometry(pair(kernel), pair(further), pair(st.integers(0, 3)), pair(further))
    size = pair(st.integers(1, sizes))
    for axis in (0, 1):
        assume(size[axis] + 2 * g.padding[axis] >= g.dilation[axis] * (g.kernel[axis] - 1) + 1)
    n, c, k = draw(st.integers(1, images)), draw(st.integers(1, channels)), draw(st.integers(1, channels))
    return Case(Problem(n, size, c, k, g), draw(st.integers(0, 2**16)), draw(st.booleans()), draw(st.booleans()))


plenty = settings(max_examples=GEOMETRIES, deadline=None, suppress_health_check=list(HealthCheck))
limits = st.sampled_from((TINY, 3000, 20_000, HUGE))  # bytes: one row of tiles, some, an image or two, everything


@pytest.mark.parametrize("together", [False, True], ids=["alone", "together"])
@pytest.mark.parametrize("m", [2, 4])
@plenty
@given(case=cases(st.just(3), st.just(1), (17, 9, 9)), own=limits, common=limits, piece=limits)
def test_winograd_equals_the_op_however_its_work_is_cut(m: int, together: bool, case: Case, own: int, common: int, piece: int) -> None:
    """3×3, stride 1, padding 0 to 3, images of 1×1 to 17×17: bands, portions and pieces of every size, each thread on its own or all
    together, with bias, rectifier, both or neither."""
    sizes = {"_OWN_FILTERS": 0 if together else HUGE, "_OWN_PORTION": own, "_COMMON_PORTION": common, "_PIECE": piece}
    with constants(winograd_products, **sizes):
        case.check(winograd_products, m)


@pytest.mark.parametrize("together", [False, True], ids=["alone", "together"])
@pytest.mark.parametrize("m", [2, 4])
@pytest.mark.parametrize("padding", [(4, 4), (0, 5), (6, 0), (7, 9)])
def test_winograd_in_bands_that_lie_in_the_padding(padding: tuple[int, int], m: int, together: bool) -> None:
    """Rows of tiles above, below and beside the image, which see nothing but padding: the bias, and no gradient."""
    sizes = {"_OWN_FILTERS": 0 if together else HUGE, "_OWN_PORTION": TINY, "_COMMON_PORTION": TINY, "_PIECE": TINY}
    for size in ((3, 4), (6, 3)):
        with constants(winograd_products, **sizes):
            Case(Problem(2, size, 2, 3, Geometry((3, 3), padding=padding)), 0, relu=False, biased=True).check(winograd_products, m)


@plenty
@given(case=cases(st.integers(1, 4), st.integers(1, 3), (9, 5, 9)), tile=limits)
def test_columns_equal_the_op_however_they_are_cut(case: Case, tile: int) -> None:
    """Any kernel, stride, padding and dilation; tiles of one row, of some rows, of an image or two, or one tile."""
    with constants(columns, _TILE=tile):
        case.check(columns)


@plenty
@given(case=cases(st.integers(1, 4), st.integers(1, 3), (9, 5, 9)), block=st.sampled_from((1, 2, 128)))
def test_taps_equal_the_op_however_they_are_cut(case: Case, block: int) -> None:
    """Any kernel, stride, padding and dilation, taps that see no pixel among them; channels one by one, two by two, all at once."""
    with constants(taps, _BLOCK=block):
        case.check(taps)


def naive(case: Case) -> list[Any]:
    """y, gx and gw by the definition: one product after the other, in loops."""
    g, x, w, gy = case.problem.geometry, case.x, case.w, case.gy
    y, gx, gw = np.zeros(gy.shape), np.zeros(x.shape), np.zeros(w.shape)
    for n, p, q, r, s in np.ndindex(*gy.shape[:3], *g.kernel):
        i, j = (at * g.stride[a] + tap * g.dilation[a] - g.padding[a] for a, (at, tap) in enumerate(((p, r), (q, s))))
        if 0 <= i < x.shape[1] and 0 <= j < x.shape[2]:
            for c, k in np.ndindex(*w.shape[2:]):
                y[n, p, q, k] += x[n, i, j, c] * w[r, s, c, k]
                gx[n, i, j, c] += gy[n, p, q, k] * w[r, s, c, k]
                gw[r, s, c, k] += gy[n, p, q, k] * x[n, i, j, c]
    return [y, gx, gw]


@pytest.mark.parametrize(
    ("size", "geometry"),
    [
        ((7, 6), Geometry((3, 3), (1, 1), (1, 1))),
        ((5, 9), Geometry((3, 3), (1, 1), (0, 2))),
        ((2, 2), Geometry((3, 3), (1, 1), (1, 1))),
        ((6, 5), Geometry((2, 3), (2, 1), (1, 0), (1, 2))),
        ((1, 4), Geometry((1, 2), (3, 2), (2, 3))),
    ],
)
def test_every_algorithm_equals_naive_loops(size: tuple[int, int], geometry: Geometry) -> None:
    """The definition in loops, without anything of this package's: an oracle that shares nothing with the kernels."""
    case = Case(Problem(2, size, 3, 2, geometry), 0, relu=False, biased=False)
    expected = naive(case)
    algorithms: list[tuple[Any, ...]] = [(columns,), (taps,)]
    if geometry.kernel == (3, 3):
        algorithms += [(winograd_products, 2), (winograd_products, 4)]
    for algorithm, *m in algorithms:
        y = algorithm.forward(case.x, case.w, case.problem, *m, Ending())
        found = [y, *algorithm.gradients(Upstream(case.gy), case.x, case.w, case.problem, *m)]
        for a, b in zip(found, expected, strict=True):
            assert np.abs(a - b).max() <= 1e-13 * max(np.abs(b).max(), 1.0) * 10
