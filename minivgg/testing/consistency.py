"""Is a pullback a function of its arguments? It gives the same numbers again, in any company, and writes nowhere.

A rule can be right once and wrong the next time: it keeps state on the class, reads what a later call of the op left
behind, or writes into the array it was given. Differences of values do not always see that. These comparisons do.
"""

from __future__ import annotations

import numpy as np

from ..autograd.core import grad
from ..autograd.tensor import Tensor
from .outcome import Outcome
from .problem import Arrays, Function

__all__ = ["compare_repeated"]

_BOUND = 1e-10  # of gradient and cotangent: recorded and plain sweeps may add in another order


def compare_repeated(function: Function, arrays: Arrays, rng: np.random.Generator, recording: bool) -> Outcome:
    """Gradients of the first result: swept twice; with a call at another point in between; with a cotangent of twice the size
    (the pullback is linear in it); if asked for, while recording; and whether operands and cotangent are still what they were."""
    outcome = Outcome()
    xs = [Tensor(a.copy(), requires_grad=True) for a in arrays]
    y = function(xs)[0]
    if y.node is None:
        return outcome
    gy = rng.standard_normal(y.shape)
    unit = float(np.abs(gy).max(initial=0.0))

    def compare(what: str, expected: Arrays, found: Arrays) -> None:
        for name, a, b in zip(function.names, expected, found, strict=True):
            outcome.equal(what.format(name), a, b, _BOUND, unit)

    given = gy.copy()
    first = [np.array(g) for g in grad(y, xs, given)]
    outcome.equal("the cotangent after the sweep", gy, given, 0.0)
    compare("{} after the sweep", arrays, [x.data for x in xs])
    compare("gradient of {}, swept twice", first, grad(y, xs, gy.copy()))
    compare("gradient of {}, of twice the cotangent", [2 * g for g in first], grad(y, xs, 2 * gy))
    if recording:
        recorded = grad(y, xs, Tensor(gy.copy(), requires_grad=True), create_graph=True)
        compare("gradient of {}, while recording", first, [g.data for g in recorded])
    function([Tensor(a * 0.75 + 0.125 * np.sign(a), requires_grad=True) for a in arrays])  # nearer to 0, on the same side of it
    compare("gradient of {}, with another call between forward and backward", first, grad(y, xs, gy.copy()))
    return outcome
