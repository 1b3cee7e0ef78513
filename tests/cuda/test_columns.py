"""Convolution over columns on the card."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from minivgg.fast.cuda import columns, pieces

from .convolution import Case, errors, image_bytes, orders, problem
from .pretend_cupy.raw_module import LAUNCHES

PROBLEMS = [
    problem((7, 6), 5, 3),
    problem((6, 5), 1, 1, padding=(0, 0)),
    problem((5, 5), 3, 17, padding=(2, 2)),
    problem((2, 1), 16, 2, padding=(1, 2)),  # smaller than a window
    problem((9, 8), 8, 16, stride=(2, 1), padding=(2, 0), dilation=(1, 2)),
    problem((7, 9), 4, 5, kernel=(2, 3), stride=(3, 2), padding=(3, 0)),  # pixels that no window holds
    problem((6, 7), 17, 4, kernel=(3, 1), padding=(3, 1)),  # windows in nothing but padding
    problem((5, 4), 3, 2, kernel=(1, 1), padding=(0, 0)),  # no columns are made
    problem((5, 4), 16, 2, kernel=(1, 1), padding=(0, 0), stride=(2, 3)),
    problem((4, 3), 8, 3, kernel=(1, 1)),
    problem((3, 3), 1, 5, n=1, kernel=(3, 3), padding=(0, 0)),
    problem((11, 10), 16, 8, n=3, kernel=(5, 4), stride=(1, 1), padding=(2, 1), dilation=(2, 3)),
]


@pytest.mark.parametrize("case", PROBLEMS, ids=str)
def test_columns_equal_the_definition(card, case):
    """y, gx and gw by loops over windows and taps: exact sums in float64, a sum's rounding in float32, the types' own in half precision."""
    for dtype, bound in (("float64", 1e-14), ("float32", 1e-6), ("float16", 1e-3), (ml_dtypes.bfloat16, 6e-3)):
        drawn = Case(case, dtype)
        found = drawn.run(card, columns)
        assert {a.dtype for a in found} == {np.dtype(dtype)}
        assert max(errors(found, drawn.naive())) <= bound


def test_channels_are_moved_16_bytes_at_a_time_where_they_can_be(card):
    """4 channels of float32 at an address of 16 are; 5 are not, nor are 4 that begin between."""
    drawn = Case(problem((5, 4), 4, 3, stride=(2, 2)), "float32")
    shifted = card.empty(drawn.x.size + 1, np.float32)[1:]
    shifted = shifted.reshape(drawn.x.shape)
    shifted[...] = card.asarray(drawn.x)
    LAUNCHES.clear()
    y = columns.forward(card.asarray(drawn.x), card.asarray(drawn.w), drawn.problem)
    other = columns.forward(shifted, card.asarray(drawn.w), drawn.problem)
    gx = columns.image_gradient(card.asarray(drawn.gy), card.asarray(drawn.w), drawn.problem)
    assert LAUNCHES == ["columns_gather_packed", "columns_gather", "columns_add_packed"]
    assert np.array_equal(y.get(), other.get())
    assert max(errors([y.get(), gx.get()], drawn.naive()[:2])) <= 1e-6
    LAUNCHES.clear()
    Case(problem((5, 4), 5, 3), "float32").run(card, columns)
    assert set(LAUNCHES) == {"columns_gather"}


@pytest.mark.parametrize("stride", [1, 2])
def test_a_small_workspace_cuts_the_batch(card, monkeypatch, stride):
    """5 images two at a time, and one at a time where one is too large: the same but for the order of sums; the pieces' sums of
    half precision are added in float32."""
    drawn = Case(problem((6, 5), 4, 3, n=5, stride=(stride, stride)))
    whole, image = drawn.run(card, columns), image_bytes(9 * 4 * 8, drawn.problem)
    for limit, parts in ((2 * image, 3), (image - 1, 5)):
        monkeypatch.setattr(pieces, "WORKSPACE", limit)
        assert max(errors(drawn.run(card, columns), whole)) <= 1e-15
        LAUNCHES.clear()
        columns.forward(card.asarray(drawn.x), card.asarray(drawn.w), drawn.problem)
        assert len(LAUNCHES) == parts
    many = Case(problem((1, 1), 1, 1, n=3000, kernel=(1, 1), padding=(0, 0)), "float16")
    many.x[:], many.gy[:] = 1, 0.5
    monkeypatch.setattr(columns, "_bytes", lambda *_: 1)
    monkeypatch.setattr(pieces, "WORKSPACE", 1)
    assert many.run(card, columns)[2] == 1500  # half counts by twos from 2048 on, and by ones from 1024: halves would be lost


def test_columns_do_not_depend_on_the_order_of_threads(card):
    """Every number is written by one thread, and read by none that another writes."""
    drawn = Case(problem((6, 5), 5, 3, stride=(2, 1)), "float32")
    in_order, *others = [drawn.run(card, columns) for _ in orders()]
    assert all(np.array_equal(a, b) for found in others for a, b in zip(found, in_order, strict=True))
