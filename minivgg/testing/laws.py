"""Laws that losses and norms obey: what leaves a function unchanged, and what its gradient is orthogonal to.

A function that does not change along a direction has a gradient without a part in that direction; one that commutes with a
rearrangement has a gradient that does, too. Such laws need no step size and no second implementation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..autograd.core import grad
from ..autograd.tensor import Tensor
from ..backend.random import stream
from ..errors import ShapeError
from .outcome import Comparison, Outcome
from .overlay_switch import checking, title, with_and_without_kernels
from .problem import Function, joined
from .refusals import prepare, subject_of
from .report import GradientReport, Section

__all__ = ["check_equivariance", "check_invariance", "check_linearity", "check_loss", "check_norm", "check_orthogonality"]

_BOUND = 1e-10
Law = Callable[[Function, Outcome, int], None]


def check_equivariance(
    f: Callable[..., Any], before: Callable[[Any], Any], after: Callable[[Any], Any], *inputs: Any, seed: int = 0
) -> GradientReport:
    """Check f(before(x), …) = after(f(x, …)), and that both sides have the same gradients. `before` maps the first input,
    `after` the result; both are written with operators and ops, a permutation `lambda x: x[order]`, say."""
    return _check(f, inputs, {"rearranged": _same(before, after)}, seed)


def check_invariance(f: Callable[..., Any], change: Callable[[Any], Any], *inputs: Any, seed: int = 0) -> GradientReport:
    """Check f(change(x), …) = f(x, …), and that both sides have the same gradients; `change` maps the first input."""
    return _check(f, inputs, {"unchanged": _same(change, lambda y: y)}, seed)


def check_linearity(f: Callable[..., Any], *inputs: Any, seed: int = 0) -> GradientReport:
    """Check that the pullback is linear in the cotangent: Jᵀ(2u − 3v) = 2·Jᵀu − 3·Jᵀv, for random u and v."""
    return _check(f, inputs, {"linear in the cotangent": _linear}, seed)


def check_orthogonality(
    f: Callable[..., Any], directions: Callable[[Any], Sequence[Any]], *inputs: Any, bound: float = _BOUND, seed: int = 0
) -> GradientReport:
    """Check ⟨gx, d⟩ = 0 for the gradient gx of a randomly weighted result by the first input x, and each d of directions(x),
    an array that broadcasts against x; up to `bound` times |gx|·|d|."""
    return _check(f, inputs, {"orthogonal": _orthogonal(directions, bound)}, seed)


def check_loss(f: Callable[..., Any], logits: Any, targets: Any, seed: int = 0) -> GradientReport:
    """The laws of soft-max cross-entropy, f(logits (N, C), targets (N,)): each row of the gradient sums to 0; a constant added
    to a row changes nothing; nor does another order of the images, or of the classes; the pullback is linear."""
    rng = stream(seed, "loss")
    logits, targets = _plain(logits), np.asarray(_plain(targets))
    if getattr(logits, "ndim", 0) != 2 or targets.shape != logits.shape[:1] or targets.dtype.kind not in "iu":
        raise ShapeError(
            f"check_loss needs logits (N, C) and whole-number targets (N,), but got {getattr(logits, 'shape', type(logits).__name__)} "
            f"and {targets.dtype} {targets.shape}."
        )
    n, c = logits.shape
    shift, order, classes = rng.standard_normal((n, 1)), rng.permutation(n), rng.permutation(c)
    inside = (targets >= 0) & (targets < c)  # others stand for no class
    renamed = np.where(inside, np.argsort(classes)[np.where(inside, targets, 0)], targets)  # class k is where `classes` is k
    rows = [np.eye(n)[:, [i]] * np.ones((n, c)) for i in range(n)]
    shuffled = Function(lambda x, t: f(x[order], np.asarray(t)[order]), [logits, targets], [0], ["logits"])
    permuted = Function(lambda x: f(x[:, classes], renamed), [logits], [0], ["logits"])
    laws: dict[str, Law] = {
        "each row of the gradient sums to 0": _orthogonal(lambda x: rows, _BOUND),
        "a constant added to each row": _same(lambda x: x + shift, lambda y: y),
        "linear in the cotangent": _linear,
        "images in another order": _against(shuffled, lambda y: y if y.ndim == 0 else y[order]),
        "classes in another order": _against(permuted, lambda y: y),
    }
    return _check(f, (logits, targets), laws, seed)


def check_norm(f: Callable[..., Any], x: Any, *parameters: Any, bound: float = 1e-4, seed: int = 0) -> GradientReport:
    """The laws of batch norm, f(x (N, C, …), …): the gradient by x is orthogonal, channel by channel, to 1 and to x̂ (to
    `bound`, as ε breaks the second a little); a constant added to a channel changes nothing; images in another order come
    out in that order; the pullback is linear."""
    rng = stream(seed, "norm")
    x = _plain(x)
    if getattr(x, "ndim", 0) < 2 or bool((x.std((0, *range(2, x.ndim))) == 0).any()):
        raise ShapeError("check_norm needs images or rows x (N, C, …) in which no channel is constant.")
    axes = (0, *range(2, x.ndim))
    channels = [np.eye(x.shape[1])[k].reshape((1, -1) + (1,) * (x.ndim - 2)) * np.ones(x.shape) for k in range(x.shape[1])]
    normal = (x - x.mean(axes, keepdims=True)) / x.std(axes, keepdims=True)
    shift, order = rng.standard_normal((1, x.shape[1]) + (1,) * (x.ndim - 2)), rng.permutation(len(x))
    laws: dict[str, Law] = {
        "gradient orthogonal to 1": _orthogonal(lambda _: channels, _BOUND),
        "gradient orthogonal to x̂": _orthogonal(lambda _: [c * normal for c in channels], bound),
        "a constant added to each channel": _same(lambda x: x + shift, lambda y: y),
        "images in another order": _same(lambda x: x[order], lambda y: y[order]),
        "linear in the cotangent": _linear,
    }
    return _check(f, (x, *parameters), laws, seed)


def _plain(x: Any) -> Any:
    return x.data if isinstance(x, Tensor) else x


def _check(f: Callable[..., Any], inputs: Sequence[Any], laws: dict[str, Law], seed: int) -> GradientReport:
    function = prepare(f, inputs, None)[0]
    sections = []
    with checking():
        for kernels, note in with_and_without_kernels(lambda: _gradients(function, seed)):
            for name, law in laws.items():
                law(function, outcome := Outcome(), seed)
                sections.append(Section(f"{name}, {title(kernels)}", outcome, kernels, note))
    return GradientReport(subject_of(f), tuple(sections))


def _tensors(function: Function) -> list[Tensor]:
    return [Tensor(function.inputs[i], requires_grad=True) for i in function.free]


def _gradients(function: Function, seed: int, before: Any = None, after: Any = None) -> list[Any]:
    """[value, gradients …] of after(f(before(x), …)) for a random cotangent."""
    xs = _tensors(function)
    y = joined(function([before(xs[0]) if before else xs[0], *xs[1:]]))
    y = after(y) if after else y
    return [y.data, *grad(y, xs, stream(seed, "laws").standard_normal(y.shape))]


def _note(outcome: Outcome, names: Sequence[str], expected: Sequence[Any], found: Sequence[Any]) -> None:
    for name, a, b in zip(["value", *(f"gradient of {x}" for x in names)], expected, found, strict=True):
        outcome.equal(name, a, b, _BOUND)


def _same(before: Callable[[Any], Any], after: Callable[[Any], Any]) -> Law:
    def law(function: Function, outcome: Outcome, seed: int) -> None:
        _note(outcome, function.names, _gradients(function, seed, after=after), _gradients(function, seed, before=before))

    return law


def _against(other: Function, after: Callable[[Any], Any]) -> Law:
    def law(function: Function, outcome: Outcome, seed: int) -> None:
        _note(outcome, function.names, _gradients(function, seed, after=after), _gradients(other, seed))

    return law


def _linear(function: Function, outcome: Outcome, seed: int) -> None:
    xs = _tensors(function)
    y = joined(function(xs))
    rng = stream(seed, "cotangents")
    u, v = rng.standard_normal(y.shape), rng.standard_normal(y.shape)
    apart, together = (grad(y, xs, w) for w in (u, v)), grad(y, xs, 2.0 * u - 3.0 * v)
    for name, a, b, c in zip(function.names, *apart, together, strict=True):
        outcome.equal(f"gradient of {name}", 2.0 * a - 3.0 * b, c, _BOUND)


def _orthogonal(directions: Callable[[Any], Sequence[Any]], bound: float) -> Law:
    def law(function: Function, outcome: Outcome, seed: int) -> None:
        x = function.inputs[function.free[0]]
        gx = _gradients(function, seed)[1]
        for i, d in enumerate(directions(x)):
            product = float(np.vdot(gx, np.broadcast_to(d, gx.shape)))
            allowed = bound * max(float(np.linalg.norm(gx)), 1e-6) * float(np.linalg.norm(d))
            outcome.comparisons.append(Comparison(f"direction {i}", 0.0, product, allowed))

    return law
