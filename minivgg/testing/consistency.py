"""Is a pullback a function of its arguments? It gives the same numbers again, in any company, and writes nowhere.

A rule can be right once and wrong the next time: it keeps state on the class, reads what a later call of the op or
another rule left behind, trusts that every operand is differentiated, or writes into the array it was given. Differences of
values do not always see that. These comparisons do.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from ..autograd.core import grad
from ..autograd.tensor import Tensor
from .outcome import Outcome
from .problem import Arrays, Function, joined

__all__ = ["compare_repeated"]

_BOUND = 1e-10  # of gradient and cotangent: recorded and plain sweeps may add in another order
_MOST_SINGLE = 8  # inputs that are differentiated one at a time


def compare_repeated(function: Function, arrays: Arrays, rng: np.random.Generator, recording: bool) -> Outcome:
    """Gradients (of several results, joined) against those of the first sweep: swept twice; asked for one at a time, and with the other
    inputs constant; for twice the cotangent (the pullback is linear in it); after another call, which decides otherwise; and
    whether operands and cotangent are still what they were. With `recording` also those of recorded sweeps, and second
    derivatives with a constant cotangent."""
    outcome = Outcome()
    check = _Repeated(function, arrays, rng, outcome)
    if check.y.node is not None:
        check.plain()
        check.alone(recording)
        if recording:
            check.recorded()
        check.after_another_call(recording)
    return outcome


class _Repeated:
    """One call of the function, and the gradients that its first sweep gave."""

    def __init__(self, function: Function, arrays: Arrays, rng: np.random.Generator, outcome: Outcome) -> None:
        self.function, self.arrays, self.rng, self.outcome = function, arrays, rng, outcome
        self.xs = [Tensor(a.copy(), requires_grad=True) for a in arrays]
        self.y = joined(function(self.xs))
        self.gy = rng.standard_normal(self.y.shape)
        self.first: Arrays = []

    def plain(self) -> None:
        """Ordinary sweeps of the one call."""
        given = self.gy.copy()
        self.first = [np.array(g) for g in grad(self.y, self.xs, given)]
        self.outcome.equal("the cotangent after the sweep", self.gy, given, 0.0)
        self.compare("{} after the sweep", self.arrays, [x.data for x in self.xs])
        self.compare("gradient of {}, swept twice", self.first, grad(self.y, self.xs, self.gy.copy()))
        self.compare("gradient of {}, of twice the cotangent", [2 * g for g in self.first], grad(self.y, self.xs, 2 * self.gy))

    def alone(self, recording: bool) -> None:
        """Each gradient asked for by itself, and each with all other inputs held constant: a rule may rely on neither."""
        chosen = list(range(len(self.xs)))[:_MOST_SINGLE] if len(self.xs) > 1 else []
        for i in chosen:
            self.compare_one("gradient of {}, asked for alone", i, grad(self.y, [self.xs[i]], self.gy.copy())[0])
            single = Function(self.function.f, self._constants(), [self.function.free[i]], self.function.all_names)
            x = Tensor(self.arrays[i].copy(), requires_grad=True)
            y = joined(single([x]))
            title = "gradient of {}, the other inputs constant"
            self.compare_one(title, i, grad(y, [x], self.gy.copy())[0])
            if recording:
                self.compare_one(f"{title}, while recording", i, grad(y, [x], self.gy.copy(), create_graph=True)[0].data)

    def recorded(self) -> None:
        """Recorded sweeps: the same values, the cotangent untouched, and second derivatives that do not depend on whether
        the cotangent itself is differentiated."""
        directions = [self.rng.standard_normal(a.shape) for a in self.arrays]
        seconds = []
        for free in (True, False):
            given = Tensor(self.gy.copy(), requires_grad=free)
            gradients = grad(self.y, self.xs, given, create_graph=True)
            self.compare("gradient of {}, while recording", self.first, [g.data for g in gradients])
            self.outcome.equal("the cotangent after the recorded sweep", self.gy, given.data, 0.0)
            total = Tensor(np.zeros(()))
            for g, v in zip(gradients, directions, strict=True):
                total = total + (g * v).sum()
            seconds.append(grad(total, self.xs) if total.node is not None else [np.zeros_like(a) for a in self.arrays])
        self.compare("second derivative by {}, the cotangent constant", *seconds)

    def after_another_call(self, recording: bool) -> None:
        """The function is called elsewhere before the sweep: with the inputs' values in reverse order and nearer to 0 (so
        that signs and winners differ, and no value leaves the domain), and with its masks reversed."""
        elsewhere = [_reversed(a * 0.75 + 0.125 * np.sign(a)) for a in self.arrays]
        masks = [_reversed(x) if isinstance(x, np.ndarray) and x.dtype.kind == "b" else x for x in self.function.inputs]
        other = Function(self.function.f, masks, self.function.free, self.function.all_names)
        with suppress(Exception):  # a function may refuse the other point
            other([Tensor(a, requires_grad=True) for a in elsewhere])
        title = "gradient of {}, with another call between forward and backward"
        self.compare(title, self.first, grad(self.y, self.xs, self.gy.copy()))
        if recording:
            found = grad(self.y, self.xs, Tensor(self.gy.copy(), requires_grad=True), create_graph=True)
            self.compare(f"{title}, while recording", self.first, [g.data for g in found])

    def compare(self, what: str, expected: Sequence[Any], found: Sequence[Any]) -> None:
        """One comparison for each input."""
        for name, a, b in zip(self.function.names, expected, found, strict=True):
            self.outcome.equal(what.format(name), a, b, _BOUND, float(np.abs(self.gy).max(initial=0.0)))

    def compare_one(self, what: str, i: int, found: Any) -> None:
        """The gradient of input i against that of the first sweep."""
        self.outcome.equal(what.format(self.function.names[i]), self.first[i], found, _BOUND, float(np.abs(self.gy).max(initial=0.0)))

    def _constants(self) -> list[Any]:
        """All inputs, those that can be differentiated as constant tensors."""
        inputs = list(self.function.inputs)
        for i, a in zip(self.function.free, self.arrays, strict=True):
            inputs[i] = Tensor(a.copy())
        return inputs


def _reversed(x: Any) -> Any:
    """The elements in reverse order."""
    return x.reshape(-1)[::-1].reshape(x.shape)
