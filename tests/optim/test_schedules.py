"""Schedules at hand-worked steps; Plateau as an automaton."""

from __future__ import annotations

import json

import pytest

from minivgg.errors import CheckpointError, ConfigError
from minivgg.optim import Constant, Cosine, OneCycle, Plateau, Step


def test_one_cycle_rises_and_falls_in_straight_lines():
    """Peak 1, 12 steps, 4 of warm-up from .2: .2 .4 .6 .8 1 … down to 0 at step 12."""
    schedule = OneCycle(1.0, 12, 4, start=0.2)
    assert [schedule.lr(step) for step in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert schedule.lr(8) == pytest.approx(0.5) and schedule.lr(12) == schedule.lr(99) == 0.0
    assert OneCycle(1.0, 12, 4, final=0.1).lr(12) == pytest.approx(0.1)
    assert OneCycle(1.0, 1, 0).lr(0) == 1.0


def test_cosine_passes_the_middle_at_half():
    """Without warm-up: lr at 0, half in the middle, floor at the end; with warm-up the first steps are thirds."""
    schedule = Cosine(2.0, 10)
    assert [schedule.lr(step) for step in (0, 5, 10, 11)] == pytest.approx([2.0, 1.0, 0.0, 0.0])
    assert Cosine(2.0, 10, floor=0.5).lr(10) == pytest.approx(1.0)
    assert [Cosine(3.0, 10, warmup=2).lr(step) for step in (0, 1, 2)] == pytest.approx([1.0, 2.0, 3.0])


def test_step_drops_at_multiples():
    """Every 3 steps a factor ½; constant never."""
    assert [Step(8.0, 3, 0.5).lr(step) for step in (0, 2, 3, 5, 6)] == [8, 8, 4, 4, 2]
    assert Constant(0.3).lr(0) == Constant(0.3).lr(10**9) == 0.3


def test_plateau_drops_after_patience_and_at_most_so_often():
    """Patience 2: two epochs without a better value drop the rate; an equal value is no better; drops end at 2."""
    schedule, rates = Plateau(1.0, patience=2, factor=0.1, drops=2), []
    for accuracy in [0.5, 0.6, 0.6, 0.5, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7]:
        schedule.update(accuracy)
        rates.append(schedule.lr(0))
    assert rates == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.01])


def test_plateau_goes_on_from_its_state():
    """Its state survives JSON; an equal schedule that loads it makes the same decisions."""
    a, b = Plateau(1.0, patience=2), Plateau(1.0, patience=2)
    for accuracy in [0.5, 0.4]:
        a.update(accuracy)
    b.load_state(json.loads(json.dumps(a.state())))
    for schedule in (a, b):
        schedule.update(0.3)
    assert a.lr(0) == b.lr(0) == pytest.approx(0.1)
    with pytest.raises(CheckpointError, match="Plateau expects the state"):
        b.load_state({})


@pytest.mark.parametrize(
    "make",
    [
        lambda: Constant(0.0),
        lambda: Constant(float("inf")),
        lambda: Constant(1.0, -1),
        lambda: Step(1.0, 0),
        lambda: Step(1.0, 1, 2.0),
        lambda: Cosine(1.0, 5, 5),
        lambda: Cosine(1.0, 5, floor=2.0),
        lambda: OneCycle(1.0, 4, 4),
        lambda: OneCycle(1.0, 4, start=-1.0),
        lambda: Plateau(1.0, patience=0),
        lambda: Plateau(1.0, factor=1.0),
        lambda: Plateau(1.0, drops=-1),
    ],
)
def test_impossible_schedules_are_refused(make):
    """Out of range: ConfigError that says "must" and the value."""
    with pytest.raises(ConfigError, match=r"must|exceed|is a share"):
        make()


def test_plateau_ends_when_patience_runs_out_after_the_last_drop():
    """Patience 2, one drop: worked by hand. `finished_after` knows it before the epoch is counted, and changes nothing."""
    schedule, ends = Plateau(1.0, patience=2, drops=1), []
    for accuracy in [0.5, 0.4, 0.4, 0.6, 0.6, 0.7, 0.7, 0.6]:  # the drop comes after the third, the end after the eighth
        before = schedule.state()
        foreseen = schedule.finished_after(accuracy)
        assert schedule.state() == before
        schedule.update(accuracy)
        ends.append((foreseen, schedule.finished))
    assert ends == [(False, False)] * 7 + [(True, True)] and schedule.dropped == 1


def test_plateau_without_drops_is_early_stopping_and_the_others_never_end():
    """No drop: patience ends the training at once. A constant rate hears the same and goes on."""
    schedule, constant = Plateau(1.0, patience=1, drops=0), Constant(1.0)
    for accuracy in (0.5, 0.5):
        schedule.update(accuracy)
        constant.update(accuracy)
    assert schedule.finished and not constant.finished and not constant.finished_after(0.0)
