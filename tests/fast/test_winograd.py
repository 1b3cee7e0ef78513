"""Winograd's convolution: its matrices in exact fractions, its transforms as linear maps, and its rounding errors."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from minivgg.fast.cpu import columns, winograd, winograd_products
from minivgg.fast.cpu.ending import Ending, Upstream
from minivgg.fast.cpu.winograd import Tiling
from minivgg.fast.cpu.winograd_points import exact, growth, matrices
from minivgg.fast.problem import Problem
from minivgg.ops.windows import Geometry

TILINGS = [
    Tiling(m, (h, w), (h + 2 * p - 2, w + 2 * q - 2), (p, q))
    for m in (2, 4)
    for (h, w), (p, q) in itertools.product([(1, 5), (4, 4), (7, 10), (13, 6)], [(1, 1), (0, 2), (3, 0)])
    if h + 2 * p >= 3 and w + 2 * q >= 3
]
every_tiling = pytest.mark.parametrize("g", TILINGS, ids=lambda g: f"{g.m}, {g.size}, {g.padding}")


def times(matrix: list[list[Fraction]], v: list[Fraction]) -> list[Fraction]:
    """A matrix times a vector, in fractions."""
    return [sum((a * b for a, b in zip(row, v, strict=True)), Fraction(0)) for row in matrix]


@pytest.mark.parametrize("m", [2, 4])
def test_the_matrices_give_the_correlation_exactly(m: int) -> None:
    """Aᵀ[(Gg) ⊙ (Bᵀd)] = Σ_j g_j·d_{k+j} for whole numbers, without any rounding."""
    bt, at, g = exact(m)
    rng = np.random.default_rng(m)
    for _ in range(20):
        d, taps = ([Fraction(int(v)) for v in rng.integers(-99, 100, size)] for size in (m + 2, 3))
        found = times(at, [a * b for a, b in zip(times(g, taps), times(bt, d), strict=True)])
        assert found == [sum(taps[j] * d[k + j] for j in range(3)) for k in range(m)]


@pytest.mark.parametrize("m", [2, 4])
def test_transforms_of_images_and_products_have_no_rounding_of_their_own(m: int) -> None:
    """Bᵀ and Aᵀ are exact in float32, so that only G is rounded."""
    bt, at, _ = exact(m)
    single = matrices(m, np.dtype(np.float32))
    for rows, array in ((bt, single.bt), (at, single.at)):
        assert array.dtype == np.float32 and [[Fraction(float(v)) for v in row] for row in array] == rows


def test_growth_of_errors() -> None:
    """κ as the module derives it: 5/3 by hand for F(2×2), and less than 5 for F(4×4), where the usual points have 10.8."""
    assert growth(2) == pytest.approx(5 / 3, rel=1e-14)
    assert 4 < growth(4) < 5


def bands(g: Tiling) -> list[slice]:
    """Rows of tiles: one, then two, then what is left."""
    ends = sorted({0, min(1, g.tiles[0]), min(3, g.tiles[0]), g.tiles[0]})
    return [slice(start, stop) for start, stop in itertools.pairwise(ends)]


def test_some_tilings_have_several_bands() -> None:
    """So that the tests below see what bands share."""
    assert max(len(bands(g)) for g in TILINGS if g.m == 4) > 1 and max(len(bands(g)) for g in TILINGS if g.m == 2) > 2


@every_tiling
def test_gather_and_its_transpose_are_adjoint(g: Tiling) -> None:
    """⟨gather(x), v⟩ = ⟨x, gather_transposed(v)⟩, band by band, in every order of sizes and padding."""
    rng, n, c = np.random.default_rng(0), 2, 3
    x, back, total = rng.standard_normal((n, *g.size, c)), np.full((n, *g.size, c), np.nan), 0.0
    for band in bands(g):
        tiles = np.full(((g.m + 2) ** 2, n * (band.stop - band.start) * g.tiles[1], c), np.nan)
        winograd.gather(x, g, band, tiles)
        v = rng.standard_normal(tiles.shape)
        winograd.gather_transposed(v, g, band, back)
        total += float((tiles * v).sum())
    assert total == pytest.approx(float((x * back).sum()), rel=1e-11, abs=1e-9)


@every_tiling
def test_scatter_and_its_transpose_are_adjoint(g: Tiling) -> None:
    """⟨scatter(M), gy⟩ = ⟨M, scatter_transposed(gy)⟩, and every output is written."""
    rng, n, k = np.random.default_rng(0), 2, 3
    gy, y, total = rng.standard_normal((n, *g.output, k)), np.full((n, *g.output, k), np.nan), 0.0
    for band in bands(g):
        products = rng.standard_normal(((g.m + 2) ** 2, n * (band.stop - band.start) * g.tiles[1], k))
        back = np.full(products.shape, np.nan)
        winograd.scatter(products, g, band, None, y)
        winograd.scatter_transposed(gy[:, g.written(band)], g, band, back)
        total += float((products * back).sum())
    assert total == pytest.approx(float((y * gy).sum()), rel=1e-11, abs=1e-9)


def test_filters_and_their_transpose_are_adjoint() -> None:
    """⟨filters(w), u⟩ = ⟨w, filters_transposed(u)⟩."""
    rng = np.random.default_rng(0)
    for m in (2, 4):
        w, u = rng.standard_normal((9, 20)), rng.standard_normal(((m + 2) ** 2, 20))
        there, back = np.empty_like(u), np.empty_like(w)
        winograd.filters(w, m, there)
        winograd.filters_transposed(u, m, back)
        assert float((there * u).sum()) == pytest.approx(float((w * back).sum()), rel=1e-12)


def layer(n: int, size: int, c: int, dtype: Any = np.float64) -> tuple[Problem, Any, Any, Any]:
    """(problem, x, w, gy): 3×3 with padding 1, C = K; unit variance and He's weights, representable in float32."""
    rng = np.random.default_rng(c)
    x, gy = rng.standard_normal((2, n, size, size, c)).astype(np.float32).astype(dtype)
    w = (rng.standard_normal((3, 3, c, c)) * (2 / (9 * c)) ** 0.5).astype(np.float32).astype(dtype)
    return Problem(n, (size, size), c, c, Geometry((3, 3), (1, 1), (1, 1))), x, w, gy


@pytest.mark.parametrize(("m", "limit"), [(4, 4e-6), (2, 1.5e-6)])
@pytest.mark.parametrize(("c", "size"), [(16, 32), (64, 16), (256, 8), (512, 4)])
def test_float32_loses_about_three_bits_at_most(m: int, limit: float, c: int, size: int) -> None:
    """Relative L2 error against float64's columns of y, gx and gw, from 16 to 512 channels; the usual points would lose twice as much."""
    problem, x, w, gy = layer(2, size, c)
    exactly = [columns.forward(x, w, problem, Ending()), *columns.gradients(Upstream(gy), x, w, problem)]
    x, w, gy = (v.astype(np.float32) for v in (x, w, gy))
    found = [winograd_products.forward(x, w, problem, m, Ending())]
    found += winograd_products.gradients(Upstream(gy), x, w, problem, m)
    errors = [float(np.linalg.norm(a - b) / np.linalg.norm(b)) for a, b in zip(found, exactly, strict=True)]
    assert all(a.dtype == np.float32 for a in found)
    assert 1e-8 < max(errors) <= limit, errors


@pytest.mark.parametrize("together", [False, True], ids=["alone", "together"])
@pytest.mark.parametrize("m", [2, 4])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_in_one_image_stays_in_it(value: float, m: int, together: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A NaN or an infinity in an image, or in its gradient, leaves the other images' results as they were, bit by bit; in its own image
    nothing that depends on it is finite."""
    monkeypatch.setattr(winograd_products, "_OWN_FILTERS", 0 if together else 1 << 40)
    problem, x, w, gy = layer(3, 9, 4)
    clean = winograd_products.forward(x, w, problem, m, Ending()), winograd_products.gradients(Upstream(gy), None, w, problem, m)[0]
    x[1, 4, 5, 2] = gy[1, 4, 5, 2] = value
    with np.errstate(invalid="ignore"):
        found = winograd_products.forward(x, w, problem, m, Ending()), winograd_products.gradients(Upstream(gy), None, w, problem, m)[0]
    for a, b in zip(found, clean, strict=True):
        assert np.array_equal(a[[0, 2]], b[[0, 2]])
        assert not np.isfinite(a[1, 3:6, 4:7]).any()
