"""Ratios, turns and clocks, with times made by hand."""

from __future__ import annotations

import mmap
import time

import pytest

from measuring import timing


def test_ratio_is_the_median_of_the_rounds_with_its_spread():
    """2/1, 6/2 and 4/4: not the ratio of the medians, which would be 4/2 = 2 here and 4/1 below."""
    found = timing.ratio([2.0, 6.0, 4.0], [1.0, 2.0, 4.0])
    assert found == (2.0, 1.0, 3.0) and str(found) == "2.00 (1.00–3.00)"
    assert timing.ratio([4.0, 1.0, 9.0], [1.0, 1.0, 3.0]) == (3.0, 1.0, 4.0)
    with pytest.raises(ValueError, match="shorter"):
        timing.ratio([1.0, 2.0], [1.0])


def test_opponents_take_turns_and_times_are_those_of_one_step():
    """Every second round goes backwards; warm-up is not timed; a round's time is divided by its steps."""
    now, turns, rounds = [0.0], [], []

    def run(name, seconds):
        def steps(count):
            turns.append((name, count))
            now[0] += count * seconds

        return steps

    runs = {"a": run("a", 2.0), "b": run("b", 5.0)}
    times = timing.alternate(runs, rounds=3, steps=4, warm_up=1, between=lambda: rounds.append(len(turns)), clock=lambda: now[0], pause=0)
    assert turns == [("a", 1), ("b", 1), ("a", 4), ("b", 4), ("b", 4), ("a", 4), ("a", 4), ("b", 4)]
    assert rounds == [2, 4, 6]
    assert times["a"].seconds == [2.0] * 3 and times["b"].seconds == [5.0] * 3 and len(times["a"].faults) == 3


def test_a_stopwatch_leaves_out_what_passes_while_it_is_paused(monkeypatch):
    """Of ten seconds three were paused."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    watch = timing.Stopwatch()
    start = watch()
    now[0] += 4.0
    with watch.paused():
        now[0] += 3.0
    now[0] += 3.0
    assert watch() - start == 7.0


def test_new_pages_are_counted_as_faults():
    """Writing to fresh memory raises the count; nothing else is asked of the system's choice of page size."""
    before = timing.faults_of_this_process()
    with mmap.mmap(-1, 1 << 24) as fresh:
        fresh[:] = b"x" * (1 << 24)
    assert timing.faults_of_this_process() > before
