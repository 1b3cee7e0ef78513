"""`check_definition`: an op against its spelling in simpler ops, values and derivatives of both orders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backend.random import stream
from ..errors import ConfigError
from .outcome import Outcome
from .overlay_switch import checking, title, with_and_without_kernels
from .problem import Function, first_order, second_order
from .refusals import prepare, subject_of
from .report import GradientReport, Section

__all__ = ["check_definition"]

_BOUND = 1e-12


def check_definition(f: Callable[..., Any], *inputs: Any, definition: Callable[..., Any] | None = None, seed: int = 0) -> GradientReport:
    """Compare f with `definition`, by default the op's own: values, gradients for random cotangents, and second derivatives
    along random vectors, to 1e-12 of the largest element. No step size is involved.

    Raises ConfigError if there is no definition, and what `check_gradients` raises for bad inputs.
    """
    definition = definition or getattr(f, "definition", None)
    if definition is None:
        raise ConfigError(f"{subject_of(f)} has no method definition, and none was passed: definition=lambda x: ….")
    function, values = prepare(f, inputs, None)
    spelled = Function(definition, function.inputs, function.free, function.all_names)
    sections = []
    with checking():
        first = first_order(function, values, stream(seed, "definition"))
        for kernels, note in with_and_without_kernels(lambda: first.pull(values, first.weights)):
            outcome = Outcome()
            for order, make in ((1, first_order), (2, second_order)):
                ours, theirs = (make(g, values, stream(seed, "definition", order)) for g in (function, spelled))
                if order == 1:
                    for a, b in zip(theirs.evaluate(values)[0], ours.evaluate(values)[0], strict=True):
                        outcome.equal("value", a, b, _BOUND)
                pairs = zip(ours.names, theirs.pull(theirs.arrays, ours.weights), ours.pull(ours.arrays, ours.weights), strict=True)
                for name, a, b in pairs:
                    outcome.equal(f"derivative of order {order} by {name}", a, b, _BOUND)
            sections.append(Section(f"definition, {title(kernels)}", outcome, kernels, note))
    return GradientReport(subject_of(f), tuple(sections))
