"""The page on staged training: its cells and its verdict follow from the runs' metrics."""

from __future__ import annotations

import staged
from staged import Row


def run(correct, epochs=3):
    """The metrics of a run with so many of 1,000 test images right."""
    rows = [{"seconds": 2.0 * epoch} for epoch in range(1, epochs + 1)]
    return [*rows[:-1], {**rows[-1], "test_correct": correct, "test_count": 1000}]


ROWS = {
    "A": Row(None, run(800), None, 0.0027),
    "D": Row(run(830), run(100, 6), 3.4e-4, 5.7e-6),
    "E": Row(run(700), run(650, 6), 1.5e-5, 3.8e-7),
}


def test_the_table_shows_the_staged_and_the_random_start():
    """Accuracies in per cent with their epochs; a shallow network has no other start; the seconds are those of all runs."""
    lines = staged.page(ROWS, "python benchmarks/staged.py")
    assert "| A | 0.01 | 80.0 (3) | – | 2.7e-03 | – |" in lines
    assert "| D | 0.0125 | 10.0 (6) | 83.0 (3) | 5.7e-06 | 3.4e-04 |" in lines
    assert lines[0] == "`python benchmarks/staged.py`" and f"{3 * 6 + 2 * 12} s of training" in "".join(lines)


def test_the_verdict_is_computed():
    """D gains 73 points, E five: one holds, one does not. Without D and E nothing is claimed."""
    assert "D: 83.0 against 10.0, holds; E: 70.0 against 65.0, does not hold." in staged.verdict(ROWS)
    assert "not tried" in staged.verdict({"A": ROWS["A"]})
