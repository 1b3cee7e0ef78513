"""`check_gradients`: the rules of a function against finite differences of its values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from ..backend.random import stream
from ..errors import ConfigError
from .blocks import compare_blocks
from .consistency import compare_repeated
from .diagnosis import diagnose, gather, sampled
from .outcome import Outcome
from .overlay_switch import checking, title, with_and_without_kernels
from .problem import Arrays, Function, Problem, first_order, second_order
from .refusals import prepare, refuse_gradient, subject_of
from .report import GradientReport, Section
from .sampling import Sampler

__all__ = ["check_gradients"]


def check_gradients(
    f: Callable[..., Any],
    *inputs: Any,
    order: int = 2,
    seed: int = 0,
    coordinates: int = 48,
    directions: int = 4,
    miss: float = 1e-4,
    names: Sequence[str] | None = None,
) -> GradientReport:
    """Compare the gradients of f at `inputs` with five-point finite differences.

    f is an op or a function of tensors that returns a tensor, or several. float64 arrays among the inputs are
    differentiated; whole numbers, truths and other values are held constant, and so are parameters of a module (to check
    them too: `nn.functional_call`, as `check_model` does). Results are weighted by random cotangents,
    since a cotangent of ones is blind for soft-max, batch norm and whatever else has a constant sum.

    Up to `coordinates` elements are compared one by one, at order 1 output by output if these are all; larger inputs in
    blocks too, in as many as it takes (up to 128) until one element, lost or doubled at a random place, is missed with
    a probability of at most `miss`; the report states what was reached. Then `directions` directions of unit length over
    all inputs. The same for order 2, of the map that the first derivatives make, if `order` is 2. The step is taken from
    an error curve, the allowed difference from the noise that it shows. Samples that cross a kink are named, counted and
    replaced. Everything is done with the overlay's kernels and without: a good kernel would hide a wrong rule. All
    samples follow from `seed`. `names` are the inputs' names in the report.

    Raises ConfigError for floats other than float64, memory that overlaps, a function that is not deterministic, writes
    into its inputs or computes in float32; GraphError if nothing is differentiated, the function returns no tensor or
    ignores an input; NumericalError for NaN and Inf in inputs, values or gradients.
    """
    if order not in (1, 2):
        raise ConfigError(f"order must be 1 or 2, but is {order!r}.")
    for name, count in {"seed": seed, "coordinates": coordinates, "directions": directions}.items():
        if not isinstance(count, Integral) or count < 0:
            raise ConfigError(f"{name} must be a whole number ≥ 0, but is {count!r}.")
    if not isinstance(miss, Real) or not 0 <= miss <= 1:
        raise ConfigError(f"miss must be a probability in [0, 1], but is {miss!r}.")
    function, values = prepare(f, inputs, names)
    sections = []
    with checking():
        for kernels, note in with_and_without_kernels(lambda: _run_once(function, values)):
            for k in range(1, order + 1):
                rng = stream(seed, "check", k)
                problem = (first_order if k == 1 else second_order)(function, values, rng)
                refuse_gradient(problem, k)
                outcome = _compare(problem, rng, coordinates, directions, miss, jacobian=k == 1)
                sections.append(Section(f"order {k}, {title(kernels)}", outcome, kernels, note))
            repeated = compare_repeated(function, values, stream(seed, "repeated"), recording=order == 2)
            if repeated.comparisons:
                sections.append(Section(f"repeated, {title(kernels)}", repeated, kernels))
    return GradientReport(subject_of(f), tuple(sections))


def _run_once(function: Function, arrays: Arrays) -> None:
    """Forwards and backwards, to see which kernels serve."""
    problem = first_order(function, arrays, stream(0, "run once"))
    problem.pull(arrays, problem.weights)


def _compare(problem: Problem, rng: np.random.Generator, coordinates: int, directions: int, miss: float, jacobian: bool) -> Outcome:
    """All comparisons of one problem, and a diagnosis for each input whose gradient is wrong."""
    sampler = Sampler(problem, rng)
    if not sampler.coordinates(coordinates, jacobian):
        compare_blocks(sampler, miss)
    sampler.directions(directions)
    sampler.look_for_the_drowned()
    outcome = sampler.outcome
    for i, name in enumerate(problem.names) if outcome.wrong else ():
        evidence = gather(problem, i, sampler.gradient[i], sampler.step, sampler.pattern) or sampled(outcome.comparisons, name)
        if evidence is not None and not evidence.explains(evidence.numeric):
            outcome.diagnoses.append(f"gradient of {name}: {diagnose(evidence)}")
    return outcome
