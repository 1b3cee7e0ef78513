"""What cannot be checked is named for what it is, with the remedy: it is never a pass, and never a mismatch."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..autograd.core import reachable
from ..autograd.op import Op, rule_of
from ..autograd.tensor import Tensor
from ..backend.arrays import array_module
from ..errors import ConfigError, DeviceError, GraphError, NumericalError
from .overlay_switch import checking
from .problem import Arrays, Function, Problem

__all__ = ["prepare", "refuse_gradient", "subject_of"]


def input_names(f: Callable[..., Any], count: int, names: Sequence[str] | None) -> list[str]:
    """The inputs' names for the report: those given, an op's operands, a function's parameters, or "input 0", …"""
    if names is not None:
        if len(names) != count:
            raise ConfigError(f"names must hold one name for each of the {count} inputs, but has {len(names)}.")
        return list(names)
    found: list[str] = []
    if isinstance(f, Op) and not f.variadic:
        found = list(f.operands)
    elif not isinstance(f, Op):
        try:
            parameters = list(inspect.signature(f).parameters.values())
        except (TypeError, ValueError):  # some built-ins have none
            parameters = []
        found = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return [found[i] if i < len(found) else f"input {i}" for i in range(count)]


def free_inputs(f: Callable[..., Any], arrays: Sequence[Any], names: Sequence[str]) -> list[int]:
    """Which inputs are differentiated: float64 arrays, and of an op those with a rule. Others are held constant.

    DeviceError for a card's, ConfigError for floats of another precision and for memory that overlaps, NumericalError for NaN, Inf,
    GraphError if nothing is left to differentiate.
    """
    for name, x in zip(names, arrays, strict=True):
        if isinstance(x, np.ndarray) and x.dtype.kind in "fc" and x.dtype != np.float64:
            raise ConfigError(
                f"finite differences need float64 inputs, but {name} is {x.dtype}: its rounding hides the gradient. "
                f"Use {name}.astype('float64')."
            )
        if hasattr(x, "dtype") and array_module(x) is not np:
            raise DeviceError(f"finite differences are computed on the CPU, but {name} is on a card. Pass a NumPy array of its values.")
    free = [i for i, x in enumerate(arrays) if isinstance(x, np.ndarray) and x.dtype == np.float64]
    if isinstance(f, Op):
        free = [i for i in free if rule_of(f, i)]
    if not sum(arrays[i].size for i in free):
        kinds = ", ".join(f"{name} is {_kind(x)}" for name, x in zip(names, arrays, strict=True)) or "there are none"
        raise GraphError(f"none of the inputs is a float64 array with elements, so there is nothing to differentiate: {kinds}. "
                         "Whole numbers are held constant; convert what is to be differentiated: x.astype('float64').")  # fmt: skip
    for i in free:
        _refuse_overlap(names, arrays, i, free)
        if not np.isfinite(arrays[i]).all():
            place = np.argwhere(~np.isfinite(arrays[i]))[0].tolist()
            raise NumericalError(f"{names[i]} itself holds NaN or Inf, first at {place}: no gradient exists there. Check finite inputs.")
    return free


def _kind(x: Any) -> str:
    return f"{x.dtype} {x.shape}" if isinstance(x, np.ndarray) else type(x).__name__


def _refuse_overlap(names: Sequence[str], arrays: Sequence[Any], i: int, free: Sequence[int]) -> None:
    x = arrays[i]
    remedy = "Moving one would move the other. Pass copies: x.copy()."
    if x.size and any(stride == 0 and n > 1 for stride, n in zip(x.strides, x.shape, strict=True)):
        raise ConfigError(f"elements of {names[i]} {x.shape} share memory (strides {x.strides}, a broadcast view). {remedy}")
    if x.size > 1 and x.base is not None and np.lib.array_utils.byte_bounds(x)[1] - np.lib.array_utils.byte_bounds(x)[0] < x.nbytes:
        raise ConfigError(f"elements of {names[i]} {x.shape} overlap in memory (strides {x.strides}). {remedy}")
    for j in free:
        if j < i and np.shares_memory(x, arrays[j]):
            raise ConfigError(f"{names[j]} and {names[i]} share memory. {remedy} To use one input twice, write f(x, x) as a function of x.")


def prepare(f: Callable[..., Any], inputs: Sequence[Any], names: Sequence[str] | None) -> tuple[Function, Arrays]:
    """(f as a function of its free inputs, copies of these), after everything that can be refused was looked for."""
    if isinstance(f, type) or not callable(f):
        remedy = f"Pass an op, {f.__name__}(…), not its class." if isinstance(f, type) else "The function comes first, then its inputs."
        raise ConfigError(f"a check needs a function, a module or an op, but got {f!r:.60}. {remedy}")
    arrays = [np.asarray(x) if isinstance(x, np.generic) else x.data if isinstance(x, Tensor) else x for x in inputs]
    all_names = input_names(f, len(arrays), names)
    free = free_inputs(f, arrays, all_names)
    function = Function(f, [arrays[i] if i in free else x for i, x in enumerate(inputs)], free, all_names)
    values = [np.array(arrays[i]) for i in function.free]
    with checking():
        refuse_function(function, values)
    return function, values


def subject_of(f: Any) -> str:
    """The name of what is checked: an op as its repr, a function by its name."""
    return repr(f) if isinstance(f, Op) else getattr(f, "__name__", repr(f))


def refuse_function(function: Function, arrays: Arrays) -> None:
    """Run the function twice and look: ConfigError if it is not deterministic, writes into its inputs or computes in
    another precision, GraphError if a result is empty or ignores an input, NumericalError for NaN and Inf."""
    tensors = [Tensor(a.copy(), requires_grad=True) for a in arrays]
    ys = function(tensors)
    for name, tensor, before in zip(function.names, tensors, arrays, strict=True):
        if tensor.version[0] or not np.array_equal(tensor.data, before):
            raise ConfigError(f"the function writes into its input {name}: its value depends on the call. Work on a copy inside.")
    if not sum(y.size for y in ys):
        raise GraphError(f"the function's result {ys[0].shape if ys else '()'} has no elements, so nothing depends on the inputs.")
    for y in ys:
        if y.dtype != np.float64:
            raise ConfigError(
                f"the function's result is {y.dtype} though its inputs are float64: it converts inside, and that rounding hides the "
                "gradient. Build its constants and parameters in float64 too: model.to(dtype='float64')."
            )
        if not np.isfinite(y.data).all():
            place = np.argwhere(~np.isfinite(y.data))[0].tolist()
            raise NumericalError(
                f"the function's value holds {int((~np.isfinite(y.data)).sum())} NaN or Inf among {y.size}, first at {place}: "
                "no gradient exists there. Check it inside its domain; `with minivgg.check_finite():` names the op."
            )
    _refuse_chance(ys, function([Tensor(a.copy(), requires_grad=True) for a in arrays]))
    _refuse_ignored(function, tensors, ys)


def _refuse_chance(ys: Sequence[Tensor], again: Sequence[Tensor]) -> None:
    for y, other in zip(ys, again, strict=True):
        if y.shape != other.shape or not np.array_equal(y.data, other.data):
            places = np.argwhere(y.data != other.data) if y.shape == other.shape else np.zeros((1, y.ndim), int)
            raise ConfigError(
                f"the function is not deterministic: called twice at one point it gave different results, first at {places[0].tolist()} "
                f"({len(places)} of {y.size}). Fix what it draws: dropout from `stream(seed, …)` made inside the function, "
                "or a layer inside `mode.step(0)`."
            )


def _refuse_ignored(function: Function, tensors: Sequence[Tensor], ys: Sequence[Tensor]) -> None:
    """GraphError for an input that neither the graph nor the value knows. One that only the graph ignores is detached: an
    error of the gradient, which the comparison will find."""
    reached = {node for y in ys if y.node is not None for node in reachable(y.node)}
    for i, tensor in enumerate(tensors):
        if tensor.node in reached or not tensor.size:
            continue
        moved = [Tensor(t.data * 1.01 + 0.01 if i == j else t.data, requires_grad=True) for j, t in enumerate(tensors)]
        if all(np.array_equal(a.data, b.data) for a, b in zip(function(moved), ys, strict=True)):
            name = function.names[i]
            raise GraphError(
                f"the function ignores its input {name}: no result depends on it, so its gradient 0 proves nothing. "
                f"Use {name} in the function, or leave it out of the check."
            )


def refuse_gradient(problem: Problem, order: int) -> None:
    """NumericalError if the rules give NaN or Inf where the function's values are finite."""
    for name, g in zip(problem.names, problem.pull(problem.arrays, problem.weights), strict=True):
        if not np.isfinite(g).all():
            place = np.argwhere(~np.isfinite(g))[0].tolist()
            raise NumericalError(
                f"the gradient of order {order} by {name} holds NaN or Inf, first at {place}, where the function is finite: a rule "
                "divides by zero or overflows. `with minivgg.check_finite():` names the op; or check at another point."
            )
