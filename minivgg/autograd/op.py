"""`Op`: a function with its derivatives, and what calling one leaves behind.

A rule's parameters say what is kept for it: `grad_x(self, gy, w)` keeps w, `grad_x(self, gy, y)` keeps the
result, `x_shape` keeps a tuple of integers. What no rule names is dropped: that is the memory contract.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, dataclass_transform

from ..backend.arrays import Array, array_module, is_float, owner
from ..errors import NumericalError, ShapeError
from . import mode
from .tensor import Node, Saved, Tensor

__all__ = ["Op", "find_kernel", "op", "parameters_of", "reads_of", "require_finite", "rule_of"]

_T = TypeVar("_T")


@dataclass_transform(eq_default=False)
def op(cls: type[_T]) -> type[_T]:
    """Decorate an Op: its annotated fields are hyper-parameters, equality is identity, repr evaluates to the op."""
    return dataclass(eq=False)(cls)


class Op:
    """Base of all ops.

    A subclass has `forward(self, x, …)` on arrays, and a rule `grad_x(self, gy, …)` for each operand that can
    have a gradient. Behind gy a rule names what it reads: operands (`x`), the result (`y`), shapes (`x_shape`).
    A variadic op, `forward(self, *xs)`, has `grad_xs(self, gy, index, …)` or, for all operands at once, `grad_xs(self, gy,
    wanted, …)`, which returns a list with None where `wanted` is False. Subclassing registers the op, unless `listed=False`.

    An op object is a value, to be called many times: each call runs on a shallow copy, which may save state.
    `linear` lists the sets of operands in which `forward` is jointly linear (up to a constant), ("x", "w b") say: checks use
    the adjoint identity. `decisions(self, …)` of an op with kinks reads operands and y by name, as rules do, and gives what
    the op decided (signs, winners): where that changes there is no derivative, and checks go elsewhere.
    """

    registry: ClassVar[list[type[Op]]] = []
    operands: ClassVar[tuple[str, ...]] = ()
    variadic: ClassVar[bool] = False
    linear: ClassVar[tuple[str, ...]] = ()
    forward: ClassVar[Callable[..., Array]]

    def __init_subclass__(cls, listed: bool = True, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not hasattr(cls, "forward"):
            return  # an abstract base of a family
        parameters = list(inspect.signature(cls.forward).parameters.values())[1:]
        cls.operands = tuple(p.name for p in parameters)
        cls.variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        known = {"y", "y_shape", *cls.operands, *(f"{x}_shape" for x in cls.operands), *(["index", "wanted"] if cls.variadic else [])}
        for name in [n for n in dir(cls) if n.startswith("grad_")]:
            if name[5:] not in cls.operands:
                raise TypeError(f"{cls.__name__}.{name} is a rule for an operand that forward{cls.operands} does not have.")
            unknown = sorted({*parameters_of(getattr(cls, name))} - known)
            if unknown:
                raise TypeError(f"{cls.__name__}.{name} reads {unknown}, but a rule can read only {sorted(known)}.")
        if listed:
            Op.registry.append(cls)

    def __call__(self, *inputs: Any) -> Any:
        return self.run(*inputs)[0]

    def run(self, *inputs: Any) -> tuple[Any, Any]:
        """(y, call): the result, and the copy of this op that made it, with the state that `forward` saved on it."""
        call = object.__new__(type(self))
        call.__dict__.update(self.__dict__)
        arrays = [x.data if isinstance(x, Tensor) else x for x in inputs]
        try:
            array_module(*arrays)  # one library, or a DeviceError
            kernel = find_kernel(call, "forward", arrays)
            y = kernel(call, *arrays) if kernel else call.forward(*arrays)
            if mode.state.finite:
                require_finite(y, "made")
        except Exception as error:
            error.add_note(f"in {self!r}{f' of layer {mode.where()}' if mode.where() else ''}")
            if type(error) is ValueError and "broadcast" in str(error):
                shapes = " and ".join(str(x.shape) for x in arrays if hasattr(x, "shape"))
                raise ShapeError(
                    f"{self!r}: shapes {shapes} do not broadcast. From the last axis on, two sizes must be equal, or one of them 1."
                ) from error
            raise
        tensors = [x for x in inputs if isinstance(x, Tensor)]
        if not tensors:
            return y, call
        result = Tensor.of(y, version=next((x.version for x in tensors if owner(x.data) is owner(y)), None))
        if mode.state.recording and any(x.node is not None for x in tensors) and is_float(y.dtype):
            _record(call, inputs, result)
        return result, call


def _record(call: Op, inputs: Sequence[Any], y: Tensor) -> None:
    """Give y its node: parents where a rule exists and a gradient is wanted, and what those rules read."""
    node = y.node = Node(call, y)
    rules = [rule_of(call, i) for i in range(len(inputs))]
    node.parents = tuple(x.node if rule and isinstance(x, Tensor) else None for x, rule in zip(inputs, rules, strict=True))
    node.shapes = tuple(None if x is None else getattr(x, "shape", ()) for x in inputs)
    wanted = {name for rule, parent in zip(rules, node.parents, strict=True) if rule and parent for name in reads_of(call, rule)}
    for name in wanted:
        if name == "y":
            node.saved[name] = Saved(y, own=True)
        elif name in call.operands:
            node.saved[name] = [Saved(x) for x in inputs] if call.variadic else Saved(inputs[call.operands.index(name)])
    for watch in mode.state.observers:
        watch(node, inputs, y)


def find_kernel(call: Op, phase: str, arrays: Iterable[Any]) -> Any:
    """The overlay's kernel for this call, or None: none registered, no overlay, or inside `reference()`."""
    return mode.find_kernel[0](call, phase, arrays) if mode.find_kernel and mode.state.kernels else None


def rule_of(call: Op, i: int) -> str:
    """The name of operand i's rule, "" if it has none (a constant: indices, masks, targets)."""
    name = f"grad_{call.operands[0 if call.variadic else i]}"
    return name if hasattr(call, name) else ""


def reads_of(call: Op, rule: str) -> tuple[str, ...]:
    """What a rule reads behind gy. Looked up each time: a rule may be replaced on its class (by a test, say)."""
    return parameters_of(getattr(type(call), rule))


@functools.cache
def parameters_of(method: Callable[..., Any], skip: int = 2) -> tuple[str, ...]:
    """The names of a method's parameters behind the first `skip`: for a rule, self and gy."""
    return tuple(inspect.signature(method).parameters)[skip:]  # follows functools.wraps to the original


def require_finite(array: Array, verb: str) -> None:
    """Raise NumericalError if a float array holds NaN or Inf, and count them."""
    if is_float(array.dtype):
        xp = array_module(array)
        nan, inf = int(xp.isnan(array).sum()), int(xp.isinf(array).sum())
        if nan or inf:
            raise NumericalError(f"{verb} {nan} NaN and {inf} Inf among {array.size} values of shape {array.shape}")
