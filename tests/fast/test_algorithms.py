"""Every algorithm for convolutions, forced, in every way it cuts its work: the op's own results, forwards and backwards."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings

from minivgg.fast.cpu import columns, taps, winograd_products
from minivgg.fast.cpu.problem import Problem
from minivgg.ops.windows import Geometry

from .problems import Case, assert_close, cases, expected, loops

TINY, HUGE = 1, 1 << 40
WINOGRAD_WAYS = {
    "as they are": {},
    "own portions, whole images": {"_OWN_FILTERS": HUGE, "_OWN_PORTION": HUGE, "_PIECE": HUGE},
    "own portions, bands": {"_OWN_FILTERS": HUGE, "_OWN_PORTION": TINY, "_PIECE": TINY},
    "own portions, some images": {"_OWN_FILTERS": HUGE, "_OWN_PORTION": 1 << 15, "_PIECE": HUGE},
    "together, one portion": {"_OWN_FILTERS": TINY, "_COMMON_PORTION": HUGE, "_PIECE": HUGE},
    "together, portions and bands": {"_OWN_FILTERS": TINY, "_COMMON_PORTION": TINY, "_PIECE": TINY},
    "together, pieces of some images": {"_OWN_FILTERS": TINY, "_COMMON_PORTION": TINY, "_PIECE": 1 << 14},
}
SIZES = {"as it is": None, "tiny": TINY, "middling": 1 << 12, "huge": HUGE}
PADDED = Case(Problem(2, (4, 5), 2, 3, Geometry((3, 3), padding=(1, 1))))
ONE_PIXEL = Case(Problem(1, (1, 1), 1, 1, Geometry((3, 3), padding=(1, 1))), relu=True)
UNPADDED = Case(Problem(2, (3, 4), 2, 1, Geometry((3, 3))), bias=False)
WIDE = Case(Problem(1, (2, 7), 1, 2, Geometry((3, 3), padding=(3, 1))))
DILATED = Case(Problem(2, (5, 6), 2, 3, Geometry((2, 3), (2, 1), (1, 0), (1, 2))))
GAPS = Case(Problem(2, (3, 3), 3, 2, Geometry((1, 1), (2, 2))))


class Winograd:
    """F(m×m, 3×3) as columns and taps are called."""

    def __init__(self, m: int) -> None:
        self.m = m

    def forward(self, x: Any, w: Any, problem: Problem, ending: Any) -> Any:
        """y (N, P, Q, K)."""
        return winograd_products.forward(x, w, problem, self.m, ending)

    def gradients(self, gy: Any, x: Any, w: Any, problem: Problem) -> Any:
        """(gx, gw)."""
        return winograd_products.gradients(gy, x, w, problem, self.m)


def changed(module: Any, constants: dict[str, Any]) -> Any:
    """A block in which the module's constants are these; a name that it doesn't have is an error."""
    return mock.patch.multiple(module, **constants) if constants else nullcontext()


def agree(algorithm: Any, case: Case, oracle: Callable[[Case], Any]) -> None:
    """y, gx and gw, and either gradient alone, are the oracle's; what was given is not written to."""
    x, w, b, gy = given_arrays = case.arrays()
    for array in given_arrays:
        if array is not None:
            array.flags.writeable = False
    y, gx, gw = oracle(case)
    assert_close(algorithm.forward(x, w, case.problem, case.ending(b)), y)
    both = algorithm.gradients(gy, x, w, case.problem)
    only_x, none_w = algorithm.gradients(gy, None, w, case.problem)
    none_x, only_w = algorithm.gradients(gy, x, None, case.problem)
    assert none_w is None and none_x is None
    for found, wanted in ((both[0], gx), (both[1], gw), (only_x, gx), (only_w, gw)):
        assert_close(found, wanted)


@pytest.mark.parametrize("case", [PADDED, ONE_PIXEL, UNPADDED, WIDE, DILATED, GAPS])
def test_the_oracle_is_the_definition(case: Case) -> None:
    """The op's formula and rules, without kernels, are sums over every output and every tap."""
    for found, wanted in zip(expected(case), loops(case), strict=True):
        assert_close(found, wanted)


@pytest.mark.parametrize("m", [2, 4])
@pytest.mark.parametrize("way", WINOGRAD_WAYS)
def test_winograd_equals_the_op(m: int, way: str) -> None:
    """Images, sizes and padding that tiles do and do not fit, whichever way the tiles are shared out; to 1e-12 in float64."""

    @settings(max_examples=80)
    @given(cases(winograd=True))
    def drawn(case: Case) -> None:
        agree(Winograd(m), case, expected)

    with changed(winograd_products, WINOGRAD_WAYS[way]):
        for case in (PADDED, ONE_PIXEL, UNPADDED, WIDE):
            agree(Winograd(m), case, loops)
        drawn()


@pytest.mark.parametrize("padding", [(4, 4), (0, 5), (6, 0), (7, 9)])
@pytest.mark.parametrize("m", [2, 4])
@pytest.mark.parametrize("way", WINOGRAD_WAYS)
def test_winograd_with_more_padding_than_a_tile_reaches(m: int, padding: tuple[int, int], way: str) -> None:
    """Tiles, and bands of them, that see nothing but padding give the bias, and no gradient."""
    with changed(winograd_products, WINOGRAD_WAYS[way]):
        for size in ((3, 4), (6, 3)):
            agree(Winograd(m), Case(Problem(2, size, 2, 3, Geometry((3, 3), padding=padding))), expected)


@pytest.mark.parametrize(("algorithm", "constant"), [(columns, "_TILE"), (taps, "_BLOCK")], ids=["columns", "taps"])
@pytest.mark.parametrize("size", SIZES)
def test_direct_algorithms_equal_the_op(algorithm: Any, constant: str, size: str) -> None:
    """Any kernel, stride, padding and dilation, in tiles of any size; to 1e-12 in float64."""

    @settings(max_examples=130)
    @given(cases(winograd=False))
    def drawn(case: Case) -> None:
        agree(algorithm, case, expected)

    with changed(algorithm, {} if SIZES[size] is None else {constant: SIZES[size]}):
        for case in (PADDED, ONE_PIXEL, UNPADDED, WIDE, DILATED, GAPS):
            agree(algorithm, case, loops)
        drawn()


def test_the_ways_of_working_are_really_different() -> None:
    """Whole images, bands, portions and pieces occur in the ways that are named after them."""
    problem = Problem(9, (16, 16), 4, 5, Geometry((3, 3), padding=(1, 1)))
    g, portions = winograd_products.tiling(problem, 2), winograd_products._portions
    every = slice(0, 9)
    assert len(portions(every, g, 5, 8, HUGE)) == 1
    bands = portions(every, g, 5, 8, TINY)
    assert len(bands) == 9 * 8 and all(p.images.stop - p.images.start == 1 for p in bands)
    some = portions(every, g, 5, 8, TINY, least=4)
    assert len(some) == 2 and all(p.band == slice(0, 8) for p in some)
    seen = []
    for way in ({"_OWN_FILTERS": HUGE}, {"_OWN_FILTERS": TINY}):
        with (
            changed(winograd_products, way),
            mock.patch.object(winograd_products._Backward, "alone", lambda job: seen.append("alone")),
            mock.patch.object(winograd_products._Backward, "together", lambda job: seen.append("together")),
        ):
            x, w, _, gy = Case(problem).arrays()
            winograd_products.gradients(gy, x, w, problem, 2)
    assert seen == ["alone", "together"]


def test_tiles_of_columns_depend_on_shapes_alone_and_cover_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each output row of each image lies in exactly one tile, in order, whatever a tile's size and the number of threads."""
    problem = Problem(5, (12, 9), 3, 2, Geometry((3, 2), (2, 1), (1, 1)))
    p = problem.output[0]
    for size in (TINY, 1 << 10, 1 << 13, HUGE):
        monkeypatch.setattr(columns, "_TILE", size)
        found = []
        for threads in ("1", "7"):
            monkeypatch.setenv("MINIVGG_THREADS", threads)
            found.append(columns._tiles(slice(0, 5), problem, 4))
        assert found[0] == found[1]
        seen = np.zeros((5, p), int)
        for images, rows in found[0]:
            seen[images, rows] += 1
        assert (seen == 1).all()
