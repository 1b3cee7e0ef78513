"""Random streams: the key alone decides the bits, in every version."""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
import pytest

from minivgg.backend.random import stream


def test_the_first_numbers_are_pinned():
    """Runs of other versions are reproduced only if these never change."""
    assert stream(0, "shuffle", 3).integers(0, 2**32, 4).tolist() == [4159816791, 3439725313, 269136321, 451693164]
    assert stream(7).integers(0, 2**32, 4).tolist() == [3167903182, 981967587, 2648171971, 872212998]
    assert stream(0, "shuffle", 3).random(2).tolist() == [0.8008734588438022, 0.10516801012276278]


def test_the_construction_is_philox_keyed_by_sha256():
    """Anybody can rebuild a stream: SHA-256 of the key's text, its first 16 bytes as the key of Philox."""
    digest = hashlib.sha256(b"(5, 'dropout', 'features.3', 2)").digest()
    key = [int.from_bytes(digest[i : i + 8], "little") for i in (0, 8)]
    expected = np.random.Generator(np.random.Philox(key=np.array(key, dtype="uint64")))
    assert stream(5, "dropout", "features.3", 2).random() == expected.random()


def test_equal_keys_repeat_and_different_keys_do_not():
    """Every key has its own numbers, also 1 and "1", and ("a", "b") and ("ab",)."""
    keys = [
        (0,),
        (1,),
        (0, "a"),
        (0, "b"),
        (0, "a", "b"),
        (0, "ab"),
        (0, "a", 1),
        (0, "a", "1"),
        (0, 1),
        (0, 1, 0),
        (0, 0, 1),
        (-1,),
        (2**70,),
    ]
    firsts = [stream(*key).integers(0, 2**63) for key in keys]
    assert len(set(firsts)) == len(keys) and firsts == [stream(*key).integers(0, 2**63) for key in keys]


def test_numpy_integers_are_the_same_key():
    """A key from an array is the key of the same Python number."""
    assert stream(np.int64(3), "a", np.int32(4)).random() == stream(3, "a", 4).random()


def test_drawing_from_one_stream_does_not_move_another():
    """The order of calls, and NumPy's global state, change nothing."""
    expected = stream(0, "b").random(3).tolist()
    other, generator = stream(0, "a"), stream(0, "b")
    other.random(1000)
    np.random.default_rng(0).random(10)
    assert generator.random(3).tolist() == expected


def test_streams_are_uncorrelated():
    """Among 20 neighbouring streams of 10,000 numbers no correlation exceeds 5 deviations (1/√n = 0.01)."""
    draws = np.array([stream(0, "epoch", i).standard_normal(10_000) for i in range(20)])
    correlations = np.corrcoef(draws)
    assert max(abs(correlations[i, j]) for i, j in itertools.combinations(range(20), 2)) < 0.05


def test_a_key_of_neither_word_nor_number_is_refused():
    """None has no place in a key."""
    with pytest.raises(TypeError):
        stream(0, None)
