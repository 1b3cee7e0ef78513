"""No false alarm: calls of every op and small graphs, drawn at random and correct, all pass the gradient check.

A case that fails is a finding, in the engine or in the checker; Hypothesis shrinks it and prints it as code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, seed, settings

from minivgg import ops
from minivgg.autograd.core import Op
from minivgg.testing import check_gradients
from minivgg.testing.strategies import calls, graphs

OWN = [cls for cls in Op.registry if cls.__module__.startswith("minivgg.")]
CASES = 44  # calls of each op
GRAPHS = 40  # in each of GROUPS groups
GROUPS = 5


Record = Callable[[str, Any], None]


def check_cases(strategy: Any, count: int, number: int, record: Record, check: Callable[[Any], None]) -> None:
    """Check `count` examples of a strategy, drawn from the seed `number`, and record how many there were, or that one failed."""
    seen: list[int] = []

    @seed(number)
    @settings(max_examples=count, database=None, derandomize=False, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def run(case: Any) -> None:
        note(repr(case))
        seen.append(1)
        check(case)

    try:
        run()
    except Exception:
        record("false alarms", [1, count])
        raise
    record("false alarms", [0, len(seen)])
    assert len(seen) >= count


@pytest.mark.parametrize("cls", OWN, ids=lambda cls: cls.__name__)
def test_correct_calls_pass(cls: type[Op], record_property: Record) -> None:
    """Orders 1 and 2 of calls with drawn fields, shapes and values, with kernels and without."""

    def check(call: Any) -> None:
        check_gradients(call.op, *call.arrays, coordinates=6, directions=1).raise_if_failed()

    check_cases(calls(cls), CASES, 0, record_property, check)


@pytest.mark.parametrize("group", range(GROUPS))
def test_correct_graphs_pass(group: int, record_property: Record) -> None:
    """Orders 1 and 2 of graphs of several ops, with shared operands."""

    def check(graph: Any) -> None:
        check_gradients(graph, *graph.inputs, coordinates=6, directions=1).raise_if_failed()

    check_cases(graphs(), GRAPHS, group, record_property, check)


def test_an_image_without_a_label_is_no_reason_for_doubt() -> None:
    """An element whose gradient is 0 neither decides the step nor what is too rough."""
    x = np.random.default_rng(0).standard_normal((3, 4))
    weights = np.eye(4)[[1, 3, 0]] * np.array([[1.0], [0.0], [1.0]])
    assert check_gradients(ops.CrossEntropy(), x, weights, coordinates=8, directions=1).ok


def test_there_are_two_thousand_cases() -> None:
    """The numbers above make at least 2,000."""
    assert CASES * len(OWN) + GRAPHS * GROUPS >= 2000
