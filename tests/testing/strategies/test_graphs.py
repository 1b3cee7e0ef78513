"""Random graphs: connected, moderate, smooth, small when they fail, and printed as code that runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import find, given, settings

from minivgg import ops
from minivgg.autograd.core import Tensor, grad
from minivgg.testing import check_gradients
from minivgg.testing.strategies import Graph, graphs


def values(graph: Graph) -> list[Any]:
    """The inputs and every step's result."""
    found = list(graph.inputs)
    for step in graph.steps:
        found.append(np.asarray(step.op(*(found[i] for i in step.operands))))
    return found


def ancestors(graph: Graph) -> set[int]:
    """The numbers of the values that the result depends on, itself included."""
    reached = {len(graph.inputs) + len(graph.steps) - 1}
    for number in sorted(range(len(graph.inputs) + len(graph.steps)), reverse=True):
        if number in reached and number >= len(graph.inputs):
            reached |= set(graph.steps[number - len(graph.inputs)].operands)
    return reached


@settings(max_examples=100)
@given(graphs())
def test_every_input_reaches_the_output_and_values_are_moderate(graph: Graph) -> None:
    """The result depends on each input; all values are finite, not empty and within ±10."""
    assert set(range(len(graph.inputs))) <= ancestors(graph)
    for value in values(graph):
        assert value.size and np.abs(value).max() <= 10.0


@settings(max_examples=25)
@given(graphs())
def test_gradients_of_drawn_graphs_agree_with_finite_differences(graph: Graph) -> None:
    """Orders 1 and 2 for all inputs: the values are away from every kink and pole."""
    check_gradients(graph, *graph.inputs, order=2, coordinates=4, directions=1).raise_if_failed()


@settings(max_examples=50)
@given(graphs())
def test_tensors_and_arrays_give_the_same(graph: Graph) -> None:
    """The same graph on tensors records and gives the arrays' values, and gradients of the inputs' shapes."""
    tensors = [Tensor(x, requires_grad=True) for x in graph.inputs]
    y = graph(*tensors)
    assert np.array_equal(y.data, graph(*graph.inputs))
    assert [g.shape for g in grad(y, tensors, np.ones(y.shape))] == [x.shape for x in graph.inputs]


KINDS: dict[str, Callable[[Graph], bool]] = {
    "fan-out": lambda g: max(Counter(i for s in g.steps for i in set(s.operands)).values()) > 1,
    "the same value twice": lambda g: any(len(s.operands) == 2 and s.operands[0] == s.operands[1] for s in g.steps),
    "a dead end": lambda g: len(ancestors(g)) < len(g.inputs) + len(g.steps),
    "three inputs": lambda g: len(g.inputs) == 3,
    "broadcasting": lambda g: any(isinstance(s.op, ops.Multiply) and len({values(g)[i].shape for i in s.operands}) == 2 for s in g.steps),
    "matmul": lambda g: any(isinstance(s.op, ops.Matmul) for s in g.steps),
    "max": lambda g: any(isinstance(s.op, ops.Max) for s in g.steps),
    "index": lambda g: any(isinstance(s.op, ops.Index) for s in g.steps),
    "log": lambda g: any(isinstance(s.op, ops.Log) for s in g.steps),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_structure_occurs_and_shrinks_to_few_steps(kind: str) -> None:
    """Hypothesis finds it, and gets down to six steps or fewer of small values."""
    graph = find(graphs(), KINDS[kind], settings=settings(max_examples=2000))
    assert len(graph.steps) <= 6
    assert sum(x.size for x in graph.inputs) <= 12


def test_a_graph_with_a_wrong_rule_shrinks_to_that_op(monkeypatch: pytest.MonkeyPatch) -> None:
    """With tanh's rule scaled by ½ the smallest failing graph is one tanh of one number, or little more."""
    right = ops.Tanh.grad_x
    monkeypatch.setattr(ops.Tanh, "grad_x", lambda self, gy, y: right(self, gy, y) * 0.5)
    failing = find(graphs(), lambda g: not check_gradients(g, *g.inputs, order=1, coordinates=2, directions=1).ok)
    assert [type(step.op) for step in failing.steps].count(ops.Tanh) == 1
    assert len(failing.steps) == 1 and failing.inputs[0].size == 1


@settings(max_examples=20)
@given(graphs())
def test_code_defines_the_function_and_passes_its_check(graph: Graph) -> None:
    """Running what is printed checks the gradients, and its f gives the graph's result."""
    names: dict[str, Any] = {}
    exec(graph.code(), names)
    arguments = [names[f"x{i}"] for i in range(len(graph.inputs))]
    assert all(np.array_equal(x, w) for x, w in zip(arguments, graph.inputs, strict=True))
    assert np.array_equal(names["f"](*arguments), graph(*graph.inputs))
    assert repr(graph) == graph.code()
