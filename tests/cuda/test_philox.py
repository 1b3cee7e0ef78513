"""Dropout's mask on the card against NumPy's own draws."""

from __future__ import annotations

import numpy as np
import pytest

from minivgg.backend.random import stream
from minivgg.backend.substitutes import substituted

from .pretend_cupy.raw_module import LAUNCHES


def same_state(a: np.random.Generator, b: np.random.Generator) -> bool:
    """Whether two generators are in one state, to the last bit."""
    return repr(a.bit_generator.state) == repr(b.bit_generator.state)


@pytest.mark.parametrize("count", [1, 7, 8, 9, 1000, 2101])
@pytest.mark.parametrize("p", [0.5, 0.1, 1 / 3, 1e-9, 1 - 1e-9])
def test_masks_are_numpys(card, count, p):
    """For several keys, sizes and probabilities the kernel keeps what `rng.random(float32) >= p` keeps, twice in a row, and the
    generator goes on as if NumPy had drawn."""
    for key in range(3):
        ours, numpys = stream(key, "dropout", "features.0"), stream(key, "dropout", "features.0")
        for _ in range(2):
            expected = numpys.random(count, dtype=np.float32) >= p
            LAUNCHES.clear()
            assert np.array_equal(substituted("draws", card)(card, ours, (count,), p).get(), expected)
            assert LAUNCHES == ["keep"]
            assert same_state(ours, numpys)
        assert ours.random() == numpys.random()


@pytest.mark.parametrize("drawn", range(18))
def test_draws_go_on_where_the_generator_stands(card, drawn):
    """Behind any number of float32 draws, also amid a block and amid a 64-bit word."""
    ours, numpys = stream(5, "go on"), stream(5, "go on")
    for rng in (ours, numpys):
        rng.random(drawn, dtype=np.float32)
    expected = numpys.random(21, dtype=np.float32) >= 0.5
    assert np.array_equal(substituted("draws", card)(card, ours, (21,), 0.5).get(), expected)
    assert same_state(ours, numpys)


def test_a_number_equal_to_p_is_kept(card):
    """p is one of the numbers that are drawn: `>=` keeps it, in each of a block's eight places."""
    numbers = stream(6, "ties").random(8, dtype=np.float32)
    for i, p in enumerate(numbers):
        kept = substituted("draws", card)(card, stream(6, "ties"), (8,), float(p)).get()
        assert kept[i]
        assert np.array_equal(kept, numbers >= p)


@pytest.mark.parametrize("doubles", range(1, 9))
def test_draws_go_on_behind_doubles(card, doubles):
    """Doubles take whole 64-bit words; what follows is in the stream's order."""
    ours, numpys = stream(5, "go on"), stream(5, "go on")
    for rng in (ours, numpys):
        rng.random(doubles)
    expected = numpys.random(21, dtype=np.float32) >= 0.5
    assert np.array_equal(substituted("draws", card)(card, ours, (21,), 0.5).get(), expected)
    assert same_state(ours, numpys)


def test_the_counter_carries(card):
    """At the ends of the counter's 64-bit words the next word counts up, and behind the last block comes block 0."""
    full = 2**64 - 1
    for counter in ([full - 1, 0, 0, 0], [full - 1, full, 5, 0], [full - 1, full, full, 0], [full - 1, full, full, full]):
        ours, numpys = (np.random.Generator(np.random.Philox(key=7, counter=np.array(counter, np.uint64))) for _ in range(2))
        expected = numpys.random(40, dtype=np.float32) >= 0.5
        assert np.array_equal(substituted("draws", card)(card, ours, (40,), 0.5).get(), expected)
        assert same_state(ours, numpys)


def test_an_older_half_word_is_left_to_the_host(card):
    """A float32, a double, then float32: NumPy begins with half a word that lies behind the stream's place. And other generators."""
    rng = stream(0, "mixed")
    rng.random(1, dtype=np.float32)
    rng.random()
    draws = substituted("draws", card)
    assert draws(card, rng, (4,), 0.5) is None
    assert draws(card, np.random.default_rng(0), (4,), 0.5) is None


def test_no_elements_draw_nothing(card):
    """An empty mask changes no state and launches nothing."""
    rng = stream(0, "none")
    LAUNCHES.clear()
    assert substituted("draws", card)(card, rng, (0, 3), 0.5).shape == (0, 3)
    assert same_state(rng, stream(0, "none"))
    assert LAUNCHES == []
