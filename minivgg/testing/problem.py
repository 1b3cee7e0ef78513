"""What a check compares: a map of float64 arrays to arrays, and its pullback Jᵀu, both taken from the engine.

Order 1 is the function f itself. Order 2 is the map (x, u) ↦ Jᵀu that the engine's first derivatives make, checked
in the same way: its own pullback is what a Hessian-vector product and a penalty on gradients use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..autograd.core import grad
from ..autograd.tensor import Tensor
from ..errors import GraphError
from ..ops.shaping import concatenate, reshape
from .kinks import Pattern, watch_kinks

__all__ = ["Arrays", "Function", "Problem", "contract", "first_order", "joined", "second_order"]

Arrays = list[Any]


class Function:
    """f with some inputs held constant: free tensors in, a list of tensors out."""

    def __init__(self, f: Callable[..., Any], inputs: Sequence[Any], free: Sequence[int], names: Sequence[str]) -> None:
        self.f, self.inputs, self.free, self.all_names = f, list(inputs), list(free), list(names)
        self.names = [names[i] for i in free]

    def __call__(self, tensors: Sequence[Any]) -> list[Tensor]:
        """The results of f, one or several. GraphError if f returns anything but tensors of floats."""
        inputs = list(self.inputs)
        for i, tensor in zip(self.free, tensors, strict=True):
            inputs[i] = tensor
        with np.errstate(all="ignore"):  # what is not finite is looked for by name
            y = self.f(*inputs)
        ys = list(y) if isinstance(y, (tuple, list)) else [y]
        for result in ys:
            if not isinstance(result, Tensor):
                kind = type(result).__name__
                raise GraphError(f"the function must return a Tensor (or several), but returned {kind}: build it from tensors and ops.")
        return ys


@dataclass(frozen=True)
class Problem:
    """A map to be checked at `arrays`. `weights` are random cotangents u: compared is φ = Σ ⟨u, outputs⟩.

    evaluate(at) → (outputs, kinks' pattern);  pull(at, u) → the gradients of φ by the inputs, as the rules give them.
    """

    names: Sequence[str]
    arrays: Arrays
    weights: Arrays
    evaluate: Callable[[Arrays], tuple[Arrays, Pattern]]
    pull: Callable[[Arrays, Arrays], Arrays]


def contract(us: Sequence[Any], arrays: Sequence[Any]) -> float:
    """Σ ⟨u, a⟩."""
    return sum(float(np.vdot(u, a)) for u, a in zip(us, arrays, strict=True))


def joined(ys: Sequence[Tensor]) -> Tensor:
    """Several results as one row; one result as it is."""
    return ys[0] if len(ys) == 1 else concatenate([reshape(y, (-1,)) for y in ys])


def _tensors(at: Arrays, copies: bool = False) -> list[Tensor]:
    """Leaves; of copies, where a rule that writes into what it reads could spoil the point."""
    return [Tensor(a.copy() if copies else a, requires_grad=True) for a in at]


def _pull(ys: Sequence[Tensor], xs: Sequence[Tensor], us: Sequence[Any], create_graph: bool = False) -> list[Any]:
    """Σ Jᵀu over several results: one sweep for each, added up."""
    with np.errstate(all="ignore"):
        parts = [grad(y, xs, u, create_graph) for y, u in zip(ys, us, strict=True)]
    total = parts[0]
    for part in parts[1:]:
        total = [a + b for a, b in zip(total, part, strict=True)]
    return total


def first_order(function: Function, arrays: Arrays, rng: np.random.Generator) -> Problem:
    """f and its gradients."""

    def evaluate(at: Arrays) -> tuple[Arrays, Pattern]:
        with watch_kinks() as watch:
            ys = function(_tensors(at))
        return [y.data for y in ys], watch.pattern(ys)

    def pull(at: Arrays, us: Arrays) -> Arrays:
        xs = _tensors(at, copies=True)
        return _pull(function(xs), xs, [u.copy() for u in us])

    weights = [rng.standard_normal(y.shape) for y in function(_tensors(arrays))]
    return Problem(function.names, arrays, weights, evaluate, pull)


def second_order(function: Function, arrays: Arrays, rng: np.random.Generator) -> Problem:
    """(x, u) ↦ Jᵀu, the first derivatives as ordinary sweeps give them, and its gradients as recorded sweeps give them."""
    n = len(arrays)

    def evaluate(at: Arrays) -> tuple[Arrays, Pattern]:
        xs = _tensors(at[:n])
        with watch_kinks() as watch:
            ys = function(xs)
        return _pull(ys, xs, at[n:]), watch.pattern(ys)

    def pull(at: Arrays, vs: Arrays) -> Arrays:
        xs, us = _tensors(at[:n], copies=True), _tensors(at[n:], copies=True)
        gradients = _pull(function(xs), xs, us, create_graph=True)
        total = Tensor(np.zeros(()))
        for g, v in zip(gradients, vs, strict=True):
            total = total + (g * v).sum()
        with np.errstate(all="ignore"):
            return grad(total, [*xs, *us]) if total.node is not None else [np.zeros_like(a) for a in at]

    cotangents = [rng.standard_normal(y.shape) for y in function(_tensors(arrays))]
    names = [*function.names, *(["cotangent"] if len(cotangents) == 1 else [f"cotangent {i}" for i in range(len(cotangents))])]
    weights = [rng.standard_normal(a.shape) for a in arrays]
    return Problem(names, [*arrays, *cotangents], weights, evaluate, pull)
