"""`check_adjoint`: ⟨A x, v⟩ = ⟨x, Aᵀ v⟩. For a linear map this proves the gradient without any step size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..autograd.op import Op
from ..backend.random import stream
from ..errors import ConfigError
from .outcome import Comparison, Outcome
from .overlay_switch import checking, title, with_and_without_kernels
from .problem import Arrays, Function, Problem, contract, first_order
from .refusals import prepare, subject_of
from .report import GradientReport, Section

__all__ = ["check_adjoint"]

_BOUND = 1e-12


def check_adjoint(
    f: Callable[..., Any], *inputs: Any, linear_in: Sequence[Sequence[int | str]] | None = None, trials: int = 4, seed: int = 0
) -> GradientReport:
    """Compare ⟨A x, v⟩ with ⟨x, Aᵀ v⟩ for random x and v, A being the linear part of f and Aᵀ its rules, to 1e-12.

    linear_in: sets of inputs (positions or names) in which f is jointly linear, the others held as given; each set is a map of
    its own. By default an op's `linear`, and for any other function all float64 inputs together. f may have a constant
    part. Raises ConfigError if f is not linear in such a set, and what `check_gradients` raises for bad inputs.
    """
    function, values = prepare(f, inputs, None)
    sets = _given(function, linear_in) if linear_in is not None else _declared(f, function.free)
    if not sets:
        raise ConfigError(f"{subject_of(f)} declares no operands in which it is linear; name them: linear_in=[[0]].")
    sections = []
    with checking():
        problem = first_order(function, values, stream(seed, "adjoint"))
        for kernels, note in with_and_without_kernels(lambda: problem.pull(values, problem.weights)):
            for positions in sets:
                chosen = [function.free.index(i) for i in positions if i in function.free]
                names = ", ".join(function.names[k] for k in chosen)
                rng = stream(seed, "adjoint", *positions)
                outcome = _compare(problem, chosen, names, trials, rng)
                sections.append(Section(f"adjoint of the map of {names}, {title(kernels)}", outcome, kernels, note))
    return GradientReport(subject_of(f), tuple(sections))


def _given(function: Function, linear_in: Any) -> list[tuple[int, ...]]:
    """The sets as positions; ConfigError unless each holds differentiated inputs, each once."""
    known = {key: i for i in function.free for key in (i, function.all_names[i])}
    sets = [tuple(known.get(key, -1) for key in s) if isinstance(s, (list, tuple, set)) else () for s in linear_in]
    if not sets or any(not s or -1 in s or len(set(s)) < len(s) for s in sets):
        raise ConfigError(
            f"linear_in must be sets of differentiated inputs, [[0], [1, 2]] or [['x']] say, out of {list(known)}, but is {linear_in!r}."
        )
    return sets


def _declared(f: Any, free: Sequence[int]) -> list[tuple[int, ...]]:
    """The sets of positions that an op declares; all free inputs for a function."""
    if not isinstance(f, Op):
        return [tuple(free)]
    if f.variadic:
        return [tuple(free)] if f.linear else []
    sets = [tuple(f.operands.index(name) for name in names.split()) for names in f.linear]
    return [kept for kept in (tuple(i for i in s if i in free) for s in sets) if kept]


def _compare(problem: Problem, chosen: Sequence[int], names: str, trials: int, rng: np.random.Generator) -> Outcome:
    outcome = Outcome()

    def at(values: Arrays) -> Arrays:
        replaced = list(problem.arrays)
        for k, value in zip(chosen, values, strict=True):
            replaced[k] = value
        return replaced

    def image(values: Arrays) -> Arrays:
        return [y - y0 for y, y0 in zip(problem.evaluate(at(values))[0], constant, strict=True)]

    zeros = [np.zeros_like(problem.arrays[k]) for k in chosen]
    constant = problem.evaluate(at(zeros))[0]
    for trial in range(trials):
        x, z = ([rng.standard_normal(zero.shape) for zero in zeros] for _ in range(2))
        ax, az, both = image(x), image(z), image([a - 2.0 * b for a, b in zip(x, z, strict=True)])
        for p, q, r in zip(ax, az, both, strict=True):
            size = float(np.abs(p).max(initial=0.0) + 2 * np.abs(q).max(initial=0.0))
            if not np.abs(p - 2.0 * q - r).max(initial=0.0) <= 1e-9 * (size + float(np.abs(constant[0]).max(initial=0.0)) + 1e-300):
                raise ConfigError(f"the function is not linear in {names}: f(x − 2z) ≠ f(x) − 2f(z) beyond its constant part. "
                                  "Name inputs in which it is, linear_in=[[0]], or use check_gradients.")  # fmt: skip
        v = [rng.standard_normal(y.shape) for y in ax]
        pulled = problem.pull(at(x), v)
        left = contract(v, ax)
        right = contract(x, [pulled[k] for k in chosen])
        size = contract([np.abs(a) for a in v], [np.abs(y) + np.abs(c) for y, c in zip(ax, constant, strict=True)])
        allowed = _BOUND * max(size, float(np.sqrt(sum(a.size for a in x))))
        outcome.comparisons.append(Comparison(f"⟨A x, v⟩, trial {trial}", left, right, allowed))
    return outcome
