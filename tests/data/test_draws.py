"""Draws: a sample's numbers are its row of the purpose's stream, however they are come by."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minivgg.backend.random import stream
from minivgg.data import Draws


@given(st.lists(st.integers(0, 9000), max_size=40), st.integers(1, 7))
def test_a_sample_draws_its_row_of_the_stream(indices, count):
    """Any samples, in any order, repeated or not: the rows of the whole table, to the bit."""
    table = stream(3, "crop", 2).random((9001, count))
    assert np.array_equal(Draws(3, 2, np.array(indices, int)).uniform("crop", count), table[indices])


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_many_small_batches_draw_what_one_large_one_does(count):
    """Samples one at a time, far into the stream, whose blocks are of four numbers."""
    indices = np.arange(99_990, 100_007)
    draws = Draws(0, 1, indices)
    whole = stream(0, "mirror", 1).random((100_007, count))[indices]
    assert np.array_equal(draws.uniform("mirror", count), whole)
    assert np.array_equal(np.concatenate([draws.of(k).uniform("mirror", count) for k in range(len(indices))]), whole)


def test_rows_before_are_not_drawn():
    """A sample at ten billion is drawn without a table of that size, which no memory would hold."""
    assert Draws(0, 0, np.array([10_000_000_000])).uniform("crop", 2).shape == (1, 2)
