"""`blame`: which op's rule is wrong, when the gradient of a whole network is.

A gradient through a chain of ops is a product of local Jacobians; a check from end to end says that the product is wrong,
not which factor. Here every op of a recorded graph is checked alone, at the values that it really had.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..autograd import mode
from ..autograd.core import reachable
from ..autograd.op import Op, reads_of, rule_of
from ..autograd.tensor import Node, Tensor
from ..backend.arrays import to_numpy
from ..backend.random import stream
from ..errors import ConfigError, GradientError, GraphError
from .definition import check_definition
from .gradients import check_gradients
from .overlay_switch import checking
from .problem import Arrays, Function, second_order
from .report import GradientReport
from .sampling import Sampler

__all__ = ["BlameReport", "Suspect", "blame"]


@dataclass(frozen=True)
class Suspect:
    """One call of an op in the graph: its number in the order of computation, its layer, and what checking it alone gave: a
    report, with the wrong rules, such as "Relu.grad_x"; or the reason why it could not be checked."""

    step: int
    op: Op
    layer: str
    report: GradientReport | None
    reason: str = ""
    rules: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Such as "Relu() at features.1, step 2"."""
        return f"{self.op!r}{f' at {self.layer}' if self.layer else ''}, step {self.step}"

    @property
    def first_order(self) -> bool:
        """Whether first derivatives are wrong already."""
        return self.report is not None and any(s.outcome.wrong and not s.title.startswith("order 2") for s in self.report.sections)


@dataclass(frozen=True)
class BlameReport:
    """Every op of a graph, checked alone. `str(report)` names the wrong rule; `ok` if all could be checked and are right."""

    suspects: tuple[Suspect, ...]

    @property
    def culprits(self) -> dict[str, list[Suspect]]:
        """Wrong rule → the calls where it shows. A rule that is wrong at order 1 spoils second derivatives of other ops, so
        those that fail only there are named only if order 1 is right everywhere."""
        failed = [s for s in self.suspects if s.rules]
        found: dict[str, list[Suspect]] = {}
        for suspect in [s for s in failed if s.first_order] or failed:
            for rule in suspect.rules:
                found.setdefault(rule, []).append(suspect)
        return found

    @property
    def unchecked(self) -> list[Suspect]:
        """The calls that could not be checked, each with its reason."""
        return [s for s in self.suspects if s.report is None]

    @property
    def ok(self) -> bool:
        """Whether every op was checked, and is right."""
        return bool(self.suspects) and all(s.report is not None and s.report.ok for s in self.suspects)

    def __bool__(self) -> bool:
        return self.ok

    def raise_if_failed(self) -> None:
        """Raise GradientError with the whole report unless all is well."""
        if not self.ok:
            raise GradientError(str(self))

    def __str__(self) -> str:
        checked = len(self.suspects) - len(self.unchecked)
        lines = []
        for rule, calls in self.culprits.items():
            more = f", and in {len(calls) - 1} more calls" if len(calls) > 1 else ""
            lines.append(f"{rule} is wrong: {calls[0].name}{more}")
            lines += [f"  {line}" for line in str(calls[0].report).splitlines()]
        failed = [s for s in self.suspects if s.report is not None and not s.report.ok]
        if not lines and failed:
            lines.append(f"no rule stands out, but {len(failed)} calls failed: {failed[0].name}\n{failed[0].report}")
        if not lines:
            lines.append(f"all {checked} ops that could be checked are right" + (", but others could not" if self.unchecked else ""))
        lines.append(f"({checked} of {len(self.suspects)} ops were checked, each alone at its own values)")
        lines += [f"not checked: {s.name}: {s.reason}" for s in self.unchecked]
        return "\n".join(lines)


def blame(loss: Tensor | Callable[[], Tensor], *, order: int = 2, seed: int = 0, coordinates: int = 12, directions: int = 1) -> BlameReport:
    """Check each op of a recorded graph by itself, with `check_gradients`, at the values that it had in the graph.

    loss: a function without arguments that computes a tensor, which is run once with every operand noted; or a tensor
    that has been computed, whose graph is not freed. A graph keeps only what its rules read, so values that were dropped are
    computed again from those before; a constant that was dropped (a number that was added, say) is taken as 0, since no rule
    reads it. Values are checked in float64, whatever they were. Of a fused op the ops that it joins are checked, too, so that
    the rule that is named is the one that is wrong. Works for ops of your own. Gradients, running
    statistics and the graph stay as they are. Raises GraphError if nothing was recorded or the graph was freed.
    """
    if order not in {1, 2}:
        raise ConfigError(f"order must be 1 or 2, but is {order!r}.")
    operands: dict[Node, list[Any]] = {}
    if callable(loss) and not isinstance(loss, Tensor):
        loss, operands = _run(loss)
    if not isinstance(loss, Tensor):
        raise GraphError(f"blame() needs a Tensor, or a function without arguments that computes one, but got {type(loss).__name__}.")
    if loss.node is None or loss.node.op is None:
        raise GraphError("blame() needs a tensor that was made from tensors with requires_grad=True: there is no graph otherwise.")
    nodes = [node for node in reachable(loss.node) if node.op is not None or node.freed]
    if any(node.freed for node in nodes):
        raise GraphError("blame() needs the graph, but a backward() has freed it. Call blame before, or backward(retain_graph=True).")
    if not operands:
        operands = _recover(loss, nodes)
    options = {"order": order, "seed": seed, "coordinates": coordinates, "directions": directions}
    return BlameReport(tuple(suspect for i, node in enumerate(nodes) for suspect in _check_joined(node, i, operands, options)))


def _run(function: Callable[[], Any]) -> tuple[Any, dict[Node, list[Any]]]:
    """What the function returns, and the operands of every op that was recorded."""
    operands: dict[Node, list[Any]] = {}

    def note(node: Node, inputs: Sequence[Any], y: Tensor) -> None:
        operands[node] = [x.data if isinstance(x, Tensor) else x for x in inputs]

    with mode.observe(note), checking():
        return function(), operands


def _check_joined(node: Node, step: int, operands: dict[Node, list[Any]], options: dict[str, int]) -> list[Suspect]:
    """Check one call; of a fused op first the ops that it joins, whose rules it calls. If they are right it is compared with
    them, which needs no finite differences: nearly each of those would cross a kink of the rectifier."""
    if not hasattr(node.op, "joins") or node not in operands:
        return [_check(node, step, operands, options)]
    op: Any = _fresh(node.op)
    arrays = [_as_float64(x) for x in operands[node]]
    inputs = [x if parent is None else Tensor(x, requires_grad=True) for x, parent in zip(arrays, node.parents, strict=True)]
    with mode.scope(node.layer):
        y, found = _run(lambda: op.definition(*inputs))
        parts = [_check(part, step, found, options) for part in reachable(y.node) if part.op is not None]
        if any(part.rules for part in parts):
            return parts
        try:
            report = check_definition(op, *arrays, seed=options["seed"])
        except Exception as error:  # whatever a wrong rule raises
            return [*parts, Suspect(step, op, node.layer, None, _raised(error))]
    named = Suspect(step, op, node.layer, report) if report.ok else _check(node, step, operands, options)
    return [*parts, named if report.ok or named.rules else replace(named, report=report)]


def _raised(error: Exception) -> str:
    return f"{type(error).__name__}: {error} {' '.join(getattr(error, '__notes__', []))}"


def _check(node: Node, step: int, operands: dict[Node, list[Any]], options: dict[str, int]) -> Suspect:
    """Check one call alone."""
    op = _fresh(node.op)
    if node not in operands:
        return Suspect(step, op, node.layer, None, "a value that it read was dropped. Pass a function: blame(lambda: loss(…)).")
    arrays = [_as_float64(x) for x in operands[node]]
    free = [i for i, parent in enumerate(node.parents) if parent is not None and arrays[i].size]
    names = [f"{op.operands[0]}[{i}]" if op.variadic else op.operands[i] for i in free]

    def local(*tensors: Any) -> Any:
        inputs = list(arrays)
        for i, tensor in zip(free, tensors, strict=True):
            inputs[i] = tensor
        return op(*inputs)

    local.__name__ = repr(op)
    try:
        with mode.scope(node.layer):
            points = [arrays[i] for i in free]
            report = check_gradients(local, *points, miss=1e-2, names=names, **options)
    except Exception as error:  # whatever a wrong rule raises
        return Suspect(step, op, node.layer, None, _raised(error))
    return Suspect(step, op, node.layer, report, rules=_wrong_rules(op, report, Function(local, points, range(len(points)), names), points))


def _wrong_rules(op: Op, report: GradientReport, function: Function, points: Arrays) -> tuple[str, ...]:
    """The rules that the report finds wrong: at order 1 those of the operands that disagree; at order 2 those whose own
    derivatives do, found by weighting one gradient at a time; "the kernel of …" if the rules are right."""
    wrong = [s for s in report.sections if s.outcome.wrong]
    if not wrong:
        return ()
    name = type(op).__name__
    if all(s.kernels for s in wrong):
        return (f"the kernel of {name}",)
    operands = {c.operand for s in wrong if s.title.startswith("order 1") for c in s.outcome.wrong if c.operand}
    if not operands and any(s.title.startswith("order 2") for s in wrong):
        with mode.reference(), checking():
            problem = second_order(function, points, stream(0, "blame"))
            for i, operand in enumerate(function.names):
                alone = [u if i == j else np.zeros_like(u) for j, u in enumerate(problem.weights)]
                sampler = Sampler(replace(problem, weights=alone), stream(0, "blame", i))
                sampler.coordinates(64, jacobian=False)
                operands |= {operand} if sampler.outcome.wrong else set()
    operands = operands or set(function.names)
    return tuple(dict.fromkeys(f"{name}.grad_{operand.partition('[')[0]}" for operand in sorted(operands)))


def _fresh(call: Op) -> Op:
    """The op of a call, without what the call saved."""
    op = object.__new__(type(call))
    fields = getattr(call, "__dataclass_fields__", vars(call))
    op.__dict__.update({name: value for name, value in vars(call).items() if name in fields})
    return op


def _as_float64(x: Any) -> Any:
    """An operand on the host, of its own memory, floats as float64."""
    if not hasattr(x, "dtype"):
        return x
    array = np.array(to_numpy(x))
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _recover(loss: Tensor, nodes: Sequence[Node]) -> dict[Node, list[Any]]:
    """The operands of each node, as far as they can be found: kept by a rule, still alive, or computed again."""
    values: dict[Node, Any] = {}
    for node in reachable(loss.node) if loss.node else ():
        tensor = node.tensor()
        if tensor is not None:
            values[node] = tensor.data
        for name, saved in node.saved.items():
            for s in saved if isinstance(saved, list) else [saved]:
                maker = node if name == "y" else s.node
                if maker is not None:
                    values.setdefault(maker, s.array)
    operands: dict[Node, list[Any]] = {}
    for node in nodes:
        found = [_operand(node, i, values) for i in range(len(node.parents))]
        if all(known for known, _ in found):
            operands[node] = [value for _, value in found]
            if node not in values:
                with mode.no_grad(), np.errstate(all="ignore"):
                    values[node] = _fresh(node.op)(*operands[node])
    return operands


def _operand(node: Node, i: int, values: dict[Node, Any]) -> tuple[bool, Any]:
    """(whether it is known, the value) of operand i."""
    parent, op = node.parents[i], node.op
    if parent is not None:
        return parent in values, values.get(parent)
    saved = node.saved.get(op.operands[0 if op.variadic else i])
    if saved is not None:
        return True, (saved[i] if isinstance(saved, list) else saved).array
    read = {name for j, p in enumerate(node.parents) if p is not None for name in reads_of(op, rule_of(op, j))}
    if op.operands[0 if op.variadic else i] in read or "y" in read:
        return False, None
    shape = node.shapes[i]
    return True, None if shape is None else np.zeros(shape, node.dtype) if shape else 0.0
