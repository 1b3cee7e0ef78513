"""Winograd's convolution on the card."""

from __future__ import annotations

import re
from fractions import Fraction

import numpy as np
import pytest

from minivgg.fast.cpu.winograd_points import exact
from minivgg.fast.cuda import pieces, winograd

from .convolution import Case, errors, orders, problem
from .pretend_cupy.raw_module import LAUNCHES


@pytest.mark.parametrize(("name", "matrix"), list(zip(("BT", "AT", "G"), exact(4), strict=True)))
def test_the_source_has_the_matrices_of_the_cpu(name, matrix):
    """The fractions in winograd.cu are those that winograd_points derives."""
    text = re.search(rf"#define {name} (.*?[^\\])\n", winograd._PROGRAM.source(), re.DOTALL)[1]
    rows = [row.split(",") for row in re.findall(r"\{([^{}\\]+)\}", text)]
    assert [[Fraction(v.replace(". ", "").replace(" ", "")) for v in row] for row in rows] == matrix


@pytest.mark.parametrize("padding", [(1, 1), (0, 2), (2, 0)])
@pytest.mark.parametrize(("size", "c", "k", "n"), [((4, 4), 16, 17, 1), ((9, 7), 5, 3, 2), ((1, 1), 1, 1, 3), ((3, 13), 33, 8, 1)], ids=str)
def test_winograd_equals_the_definition(card, size, c, k, n, padding):
    """y, gx and gw, for whole tiles and cut ones, images smaller than a window, and channels around a block's 32."""
    if min(s + 2 * p for s, p in zip(size, padding, strict=True)) < 3:
        padding = (1, 1)
    for dtype, bound in (("float64", 1e-14), ("float32", 4e-6)):
        drawn = Case(problem(size, c, k, n, padding=padding), dtype)
        assert winograd.serves(drawn.problem, dtype)
        found = drawn.run(card, winograd)
        assert {a.dtype.name for a in found} == {dtype}
        assert max(errors(found, drawn.naive())) <= bound


@pytest.mark.parametrize(("c", "size"), [(16, 16), (128, 4)])
def test_float32_loses_about_three_bits(card, c, size):
    """As on the CPU: at most 4e-6 of the result in the L2 norm, with unit-variance images and He's filters."""
    drawn = Case(problem((size, size), c, c), "float32")
    assert 1e-8 < max(errors(drawn.run(card, winograd), drawn.naive())) <= 4e-6


def test_bias_and_rectifier_are_added_at_the_end(card):
    """max(y + b, 0), or y + b, or max(y, 0); a NaN stays one."""
    drawn = Case(problem((5, 6), 3, 4))
    drawn.x[1, 2, 3, 0] = np.nan
    x, w, b = (card.asarray(a) for a in (drawn.x, drawn.w, drawn.b))
    y = winograd.forward(x, w, drawn.problem).get()
    assert np.isnan(y[1, 1:4, 2:5]).all() and np.isfinite(y[0]).all()
    assert np.array_equal(winograd.forward(x, w, drawn.problem, b, False).get(), y + drawn.b, equal_nan=True)
    assert np.array_equal(winograd.forward(x, w, drawn.problem, b, True).get(), np.maximum(y + drawn.b, 0), equal_nan=True)
    assert np.array_equal(winograd.forward(x, w, drawn.problem, None, True).get(), np.maximum(y, 0), equal_nan=True)


def test_a_small_workspace_cuts_the_batch(card, monkeypatch):
    """5 images two at a time, and one at a time: y and gx stay the same, and gw but for the sum's order."""
    drawn = Case(problem((6, 5), 4, 3, n=5))
    whole, image = drawn.run(card, winograd), 36 * 4 * (4 + 3) * 8
    for limit, parts in ((2 * image, 3), (image - 1, 5)):
        monkeypatch.setattr(pieces, "WORKSPACE", limit)
        LAUNCHES.clear()
        found = drawn.run(card, winograd)
        assert LAUNCHES.count("winograd_images_turned") == parts  # one for each piece of gw
        assert max(errors(found[:2], whole[:2])) <= 1e-15 and errors(found[2:], whole[2:])[0] <= 1e-14


def test_the_filters_gradient_is_summed_in_groups_of_tiles(card, monkeypatch):
    """Where channels are few there are several groups, the last of them not full; none is counted twice."""
    drawn = Case(problem((31, 33), 3, 2, n=3))  # 3·72 tiles: 3 groups of 72
    assert winograd._groups(216, drawn.problem) == (3, 72)
    assert errors(drawn.run(card, winograd), drawn.naive())[2] <= 1e-14
    other = Case(problem((29, 33), 3, 2, n=2))  # 2·72 tiles in 2 groups; forced into 4 of 40, the last with 24
    monkeypatch.setattr(winograd, "_groups", lambda *_: (4, 40))
    assert errors(other.run(card, winograd), other.naive())[2] <= 1e-14


def test_winograd_does_not_depend_on_the_order_of_threads(card):
    """No thread reads what another writes, but behind a barrier."""
    drawn = Case(problem((9, 6), 3, 2), "float32")
    in_order, *others = [drawn.run(card, winograd) for _ in orders()]
    assert all(np.array_equal(a, b) for found in others for a, b in zip(found, in_order, strict=True))


def test_winograd_leaves_other_convolutions_alone():
    """A stride, a dilation, another kernel, more padding than 2, half precision."""
    assert not any(
        winograd.serves(p, "float32")
        for p in (
            problem((9, 9), 16, 16, stride=(1, 2)),
            problem((9, 9), 16, 16, dilation=(2, 1)),
            problem((9, 9), 16, 16, kernel=(3, 5)),
            problem((9, 9), 16, 16, padding=(3, 1)),
        )
    )
    assert not winograd.serves(problem((9, 9), 16, 16), "float16")
