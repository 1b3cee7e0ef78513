"""What kind of mistake a wrong gradient looks like: hypotheses, tried in turn on the whole gradient of one input.

Let n be the gradient by finite differences and a the one by the rules, both of the input's shape. Each hypothesis says
how a would have come out of n by a slip that people make, and holds if it explains all of a.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .outcome import Comparison
from .problem import Problem
from .stencil import Slope, slope

__all__ = ["Evidence", "diagnose", "gather", "sampled"]

_MOST_ELEMENTS = 1024  # differentiated one by one for a diagnosis
_MOST_AXES = 6  # whose orders and sets are all tried
_CLOSE = 1e-5


@dataclass(frozen=True)
class Evidence:
    """n and a of one input; `uses[k]` is what output k contributes to n (outputs, *shape); `sizes` are the numbers that a
    wrong mean could divide by, with what they count."""

    numeric: Any
    analytic: Any
    uses: Any
    sizes: Sequence[tuple[int, str]]
    elements: str = "elements"

    def explains(self, predicted: Any) -> bool:
        """Whether a is `predicted`."""
        scale = max(float(np.abs(self.numeric).max()), float(np.abs(self.analytic).max()))
        return predicted.shape == self.analytic.shape and bool(np.abs(predicted - self.analytic).max() <= _CLOSE * scale)


def gather(problem: Problem, i: int, analytic: Any, step: float, centre: Any) -> Evidence | None:
    """The evidence on input i: its gradient element by element. None if it is too large, or kinks are in the way."""
    x = problem.arrays[i]
    if not 0 < x.size <= _MOST_ELEMENTS or not np.isfinite(analytic).all():
        return None
    numeric, columns = np.zeros(x.size), []
    for j in range(x.size):
        vector: list[Any] = [None] * len(problem.arrays)
        vector[i] = np.eye(1, x.size, j).reshape(x.shape)
        point = slope(problem, vector, step, centre)
        if not isinstance(point, Slope):
            return None
        numeric[j] = point.value
        columns.append(np.concatenate([(u * d).reshape(-1) for u, d in zip(problem.weights, point.outputs, strict=True)]))
    uses = np.stack(columns, axis=-1)
    sizes = [(n, f"the length of axis {k} of {name}") for name, a in zip(problem.names, problem.arrays, strict=True)
             for k, n in enumerate(a.shape)]  # fmt: skip
    sizes += [(a.size, f"all elements of {name}") for name, a in zip(problem.names, problem.arrays, strict=True)]
    sizes += [(a.size // a.shape[1], f"the elements of a channel of {name}")
              for name, a in zip(problem.names, problem.arrays, strict=True) if a.ndim > 1 and a.size]  # fmt: skip
    sizes.append((len(uses), "the number of outputs"))
    return Evidence(numeric.reshape(x.shape), np.asarray(analytic), uses.reshape(-1, *x.shape), [s for s in sizes if s[0] > 1])


def sampled(comparisons: Sequence[Comparison], name: str) -> Evidence | None:
    """What the elements of a large input that were compared tell: enough for the sign, a factor, and a gradient that is 0."""
    elements = [c for c in comparisons if c.operand == name and c.where.startswith(f"{name}[")]
    numeric, analytic = (np.array([getattr(c, kind) for c in elements]) for kind in ("numeric", "analytic"))
    return Evidence(numeric, analytic, numeric[None], (), "elements that were compared one by one") if len(elements) > 1 else None


def diagnose(evidence: Evidence) -> str:
    """The first hypothesis that explains the analytic gradient, in words; what is known if none does."""
    for hypothesis in HYPOTHESES:
        found = hypothesis(evidence)
        if found:
            return found
    wrong = ~np.isclose(evidence.numeric, evidence.analytic, rtol=_CLOSE, atol=_CLOSE * float(np.abs(evidence.numeric).max()))
    count = int(wrong.sum())
    where = f", first at {np.argwhere(wrong)[0].tolist()}" if count < wrong.size and evidence.elements == "elements" else ""
    return f"no common slip explains it: {count} of {wrong.size} {evidence.elements} are wrong{where}"


def sign(e: Evidence) -> str | None:
    """a = −n."""
    return "sign: the gradient is the right one negated" if e.explains(-e.numeric) else None


def factor(e: Evidence) -> str | None:
    """a = c·n with one constant c: ½, 2, 1/N, N for a number N that occurs in the shapes, or another."""
    j = np.unravel_index(int(np.argmax(np.abs(e.numeric))), e.numeric.shape)
    if not e.numeric[j] or not e.analytic[j]:
        return None
    c = float(e.analytic[j] / e.numeric[j])
    if not e.explains(c * e.numeric):
        return None
    if abs(abs(c) - 0.5) < _CLOSE or abs(abs(c) - 2.0) < _CLOSE:
        name = "½" if abs(c) < 1 else "2"
        more = "; or one of two equal uses of the input is detached" if c > 0 and name == "½" else ""
        return f"factor {'−' if c < 0 else ''}{name}: everywhere the gradient is {c:.6g} times the right one{more}"
    for n, what in e.sizes:
        for ratio, text in ((1.0 / n, f"1/{n}"), (float(n), f"{n}")):
            if abs(abs(c) / ratio - 1.0) < _CLOSE:
                return f"factor {'−' if c < 0 else ''}{text}, and {n} is {what}: a mean in place of a sum, or the other way round"
    return f"factor: everywhere the gradient is {c:.6g} times the right one"


def transposed(e: Evidence) -> str | None:
    """a is n with axes exchanged, or turned end for end (a kernel not turned by 180°)."""
    for order in itertools.permutations(range(e.numeric.ndim)) if e.numeric.ndim <= _MOST_AXES else ():
        if order != tuple(range(e.numeric.ndim)) and e.explains(e.numeric.transpose(order)):
            return f"transposed: the gradient is the right one with its axes in the order {order}"
    for axes in _axes(e.numeric.ndim):
        if e.explains(np.flip(e.numeric, axes)):
            return f"transposed: the gradient is the right one turned end for end along axes {axes}, as a kernel that was (not) flipped"
    return None


def wrong_axis(e: Evidence) -> str | None:
    """a is constant along an axis along which n is not: the sum or the mean of n over it, or over another in its place."""
    for axes in _axes(e.numeric.ndim):
        for name, reduced in (("sum", e.numeric.sum(axes, keepdims=True)), ("mean", e.numeric.mean(axes, keepdims=True))):
            if e.explains(np.broadcast_to(reduced, e.numeric.shape)):
                return f"wrong axis summed: the gradient is the right one's {name} over axes {axes}, repeated"
    if not e.analytic.any():
        return None
    spread = [float(np.ptp(e.analytic, axis=k).max()) for k in range(e.analytic.ndim)]
    right = [float(np.ptp(e.numeric, axis=k).max()) for k in range(e.numeric.ndim)]
    scale = _CLOSE * max(float(np.abs(e.analytic).max()), 1e-300)
    for k in range(e.analytic.ndim):
        if spread[k] <= scale < right[k]:
            return f"wrong axis summed: the gradient does not vary along axis {k}, the right one does"
    return None


def detached(e: Evidence) -> str | None:
    """a = 0: nothing flows back, though the value depends on the input."""
    return "detached operand: the gradient is 0, though the value depends on the input" if not e.analytic.any() else None


def missing_accumulation(e: Evidence) -> str | None:
    """Where several outputs use an element, a holds one contribution, or all but one, instead of their sum."""
    counts = (np.abs(e.uses) > _CLOSE * np.abs(e.numeric).max()).sum(axis=0)
    wrong = np.abs(e.numeric - e.analytic) > _CLOSE * np.abs(e.numeric).max()
    if not wrong.any() or (counts[wrong] < 2).any():
        return None
    tolerance = _CLOSE * np.abs(e.numeric).max()
    single = (np.abs(e.uses - e.analytic) <= tolerance).any(axis=0)
    all_but_one = (np.abs(e.numeric - e.uses - e.analytic) <= tolerance).any(axis=0)
    if (single | all_but_one)[wrong].all():
        return f"missing accumulation: {int(wrong.sum())} elements that several outputs use received only some of the contributions"
    return None


def shifted(e: Evidence) -> str | None:
    """a is n moved by one along some axes, or right but for the border: an offset, or padding, that is off by one."""
    scale = _CLOSE * max(float(np.abs(e.numeric).max()), float(np.abs(e.analytic).max()))
    for axes in _axes(e.numeric.ndim):
        for by in (1, -1):
            inner = tuple(slice(max(by, 0), n + min(by, 0)) if k in axes else slice(None) for k, n in enumerate(e.numeric.shape))
            moved = np.roll(e.numeric, by, axes)[inner]
            if moved.size and np.abs(moved).max() > scale and np.abs(moved - e.analytic[inner]).max() <= scale:
                return f"off by one: the gradient is the right one moved by {by} along axes {axes}, as from wrong padding or a wrong offset"
    wrong = np.abs(e.numeric - e.analytic) > scale
    for k in reversed(range(wrong.ndim)):
        inside = np.take(wrong, range(1, wrong.shape[k] - 1), axis=k)
        if wrong.shape[k] > 2 and wrong.any() and not inside.any():
            return f"off by one in padding: only elements at the border along axis {k} are wrong"
    return None


def _axes(ndim: int) -> Iterator[tuple[int, ...]]:
    """All non-empty sets of axes, the smallest first."""
    return itertools.chain.from_iterable(itertools.combinations(range(ndim), r) for r in range(1, ndim + 1 if ndim <= _MOST_AXES else 2))


HYPOTHESES: list[Callable[[Evidence], str | None]] = [
    sign, factor, transposed, wrong_axis, detached, missing_accumulation, shifted,
]  # fmt: skip
