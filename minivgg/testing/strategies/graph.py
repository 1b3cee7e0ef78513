"""`graphs`: random small graphs of ops, smooth at their inputs, with fan-out, values used twice and dead ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from ... import ops
from ...autograd.core import Op
from .samples import apart
from .source import source
from .steps import draw_step
from .values import seeds

__all__ = ["Graph", "Step", "graphs"]

Array = Any  # numpy.ndarray
_FULL = ((), (2,), (3,), (2, 2), (3, 3), (2, 3), (1, 2, 2), (2, 3, 2))  # an input has such a shape, or sides of 1 in it


@dataclass(frozen=True, eq=False)
class Step:
    """An op and the numbers of its operands among the values so far: first the inputs, then one result a step."""

    op: Op
    operands: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Graph:
    """A function of tensors or arrays: `steps` one after the other, the last one's result is returned.

    `inputs` are float64 arrays around which it is smooth. `graph(*graph.inputs)` evaluates it, and
    `check_gradients(graph, *graph.inputs)` checks it.
    """

    inputs: tuple[Array, ...]
    steps: tuple[Step, ...]

    def __call__(self, *inputs: Any) -> Any:
        values = list(inputs)
        for step in self.steps:
            values.append(step.op(*(values[i] for i in step.operands)))
        return values[-1]

    @property
    def __name__(self) -> str:
        """What a gradient check calls the function."""
        return "graph"

    def code(self) -> str:
        """A module that defines the function and its inputs and checks its gradients."""
        names = [f"x{i}" for i in range(len(self.inputs))]
        lines = ["import numpy as np", *(f"from minivgg.{part} import *" for part in ("autograd.core", "ops"))]
        lines += ["from minivgg.testing import check_gradients", "", "", f"def f({', '.join(names)}):"]
        arguments = ", ".join(names)
        for i, step in enumerate(self.steps):
            lines.append(f"    v{i} = {source(step.op)}({', '.join(names[operand] for operand in step.operands)})")
            names.append(f"v{i}")
        lines += [f"    return {names[-1]}", "", ""]
        lines += [f"x{i} = {source(x)}" for i, x in enumerate(self.inputs)]
        return "\n".join([*lines, f"check_gradients(f, {arguments}).raise_if_failed()", ""])

    def __repr__(self) -> str:
        """The code, to be pasted."""
        return self.code()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Hypothesis prints a failing graph so, too."""
        printer.text(self.code())


@st.composite
def graphs(draw: st.DrawFn, *, max_inputs: int = 3, max_steps: int = 8) -> Graph:
    """Graphs of one to `max_inputs` inputs and one to `max_steps` drawn steps, and as many more as connect every input.

    The steps are elementwise functions, arithmetic that broadcasts (one value may be both operands), reductions,
    soft-max, ReLU and maxima away from their kinks, matrix products, and moves. Each takes values already there, the
    latest or an earlier one; a value that nobody takes is a dead end. All values stay within ±10. They shrink to few
    steps in a chain.
    """
    full = draw(st.sampled_from(_FULL))
    shapes = [tuple(draw(st.sampled_from((side, side, 1))) for side in full) for _ in range(draw(st.integers(1, max_inputs)))]
    seed = draw(seeds())
    inputs = tuple(apart(seed, f"x{i}", shape, -1.5, 1.5, 0.015) for i, shape in enumerate(shapes))
    values, steps = list(inputs), []
    for number in range(max_steps):
        if number and not draw(st.integers(0, 4)):
            break
        steps.append(Step(*draw_step(draw, values)))
        values.append(_value(steps[-1], values))
    for i in _unconnected(steps, len(inputs)):
        steps.append(Step(ops.Mean(None, False), (i,)))
        values.append(_value(steps[-1], values))
        steps.append(Step(ops.Add(), (len(values) - 2, len(values) - 1)))
        values.append(_value(steps[-1], values))
    return Graph(inputs, tuple(steps))


def _value(step: Step, values: list[Array]) -> Array:
    return np.asarray(step.op(*(values[i] for i in step.operands)))


def _unconnected(steps: list[Step], inputs: int) -> list[int]:
    """The inputs that the last step's result does not depend on."""
    reached = {inputs + len(steps) - 1}
    for number in reversed(range(inputs, inputs + len(steps))):
        if number in reached:
            reached |= set(steps[number - inputs].operands)
    return [i for i in range(inputs) if i not in reached]
