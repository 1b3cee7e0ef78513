"""The tape of a graph, to be read: what ran forwards, what is kept, and what flows backwards by which rule."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TextIO

from ..backend.arrays import Array
from ..backend.memory import bytes_held
from ..errors import GraphError
from . import mode
from .core import reachable, sweep
from .op import reads_of, rule_of
from .tensor import Node, Saved, Tensor

__all__ = ["Row", "Tape", "keep_statistics", "kept_bytes", "trace"]

Statistics = tuple[float, float, float, float]


@dataclass(frozen=True)
class Row:
    """One step of the tape: number, op, layer, shape, the numbers of the operands' steps, what is kept for which
    rules, and (mean, deviation, smallest, largest) of the value and of the gradient, where known."""

    number: int
    op: str
    layer: str
    shape: tuple[int, ...]
    operands: tuple[int | None, ...]
    rules: tuple[str, ...]
    keeps: tuple[str, ...]
    value: Statistics | None
    gradient: Statistics | None


class Tape:
    """The rows of a graph in order of computation; `str(tape)` prints them forwards, then backwards."""

    def __init__(self, rows: list[Row], kept: int) -> None:
        self.rows = rows
        self.kept = kept

    def __repr__(self) -> str:
        return f"<Tape of {len(self.rows)} steps, {self.kept:,} bytes kept for the backward pass>"

    def __str__(self) -> str:
        forward = [["step", "op", "layer", "shape", "from", "kept", "mean", "deviation", "least", "largest"]]
        backward = [["step", "op", "layer", "rules", "gradient's mean", "deviation", "least", "largest"]]
        for row in self.rows:
            sources = ", ".join("const" if i is None else str(i) for i in row.operands)
            forward.append([str(row.number), row.op, row.layer, _times(row.shape), sources, ", ".join(row.keeps), *_numbers(row.value)])
        for row in reversed(self.rows):
            backward.append([str(row.number), row.op, row.layer, ", ".join(row.rules) or "leaf", *_numbers(row.gradient)])
        note = f"{self.kept:,} bytes are kept for the backward pass. A value shown as … was dropped: no rule reads it."
        return "\n".join(["FORWARDS", *_aligned(forward), "", "BACKWARDS", *_aligned(backward), "", note])


def statistics(array: Array) -> Statistics:
    """(mean, standard deviation, smallest, largest) of an array that is not empty."""
    return float(array.mean()), float(array.std()), float(array.min()), float(array.max())


def _note(node: Node, inputs: Any, y: Tensor) -> None:
    if y.size:
        node.statistics = statistics(y.data)


@contextmanager
def keep_statistics() -> Iterator[None]:
    """Let every recorded node note mean, deviation, smallest and largest of its value."""
    with mode.observe(_note):
        yield


def trace(loss: Tensor | Callable[[], Tensor], file: TextIO | None = None) -> Tape:
    """Print the recorded graph of `loss`, forwards and backwards, and return it as a Tape.

    `loss` is a tensor of one element, or a function without arguments that computes one; the function is run with
    `keep_statistics`, so that the statistics of every value are known. For a tensor they are known for the values
    that the graph kept. The gradients are computed on the way; `.grad` is not touched and the graph is kept.
    """
    if not isinstance(loss, Tensor):
        with keep_statistics(), mode.frozen_state():
            loss = loss()
    if loss.node is None:
        raise GraphError("trace() needs a tensor that was made from tensors with requires_grad=True: there is no tape otherwise.")
    nodes = reachable(loss.node)
    gradients = sweep(loss, set(nodes), None, record=False, free=False)
    values = _known_values(nodes)
    numbers = {node: i for i, node in enumerate(nodes)}
    rows = []
    for node in nodes:
        tensor = node.tensor()
        own = tensor.name if tensor is not None else node.name  # a parameter is named after it was made
        name = own or "leaf" if node.op is None else type(node.op).__name__
        operands = tuple(None if parent is None else numbers[parent] for parent in node.parents)
        active = [rule_of(node.op, i) for i, parent in enumerate(node.parents) if parent is not None]
        rules = tuple(f"{rule}(gy{''.join(', ' + name for name in reads_of(node.op, rule))})" for rule in active)
        value = node.statistics or values.get(node)
        gradient = gradients.get(node)
        measured = None if gradient is None or gradient.size == 0 else statistics(gradient)
        rows.append(Row(numbers[node], name, node.layer, node.shape, operands, rules, tuple(sorted(node.saved)), value, measured))
    tape = Tape(rows, kept_bytes(loss))
    print(tape, file=file or sys.stdout)
    return tape


def kept_bytes(loss: Tensor, leaves: bool = False) -> int:
    """Bytes of memory that the graph of `loss` keeps for the backward pass, each array counted once.

    Saved operands, constants among them (images, masks), and what ops saved for themselves. The memory of leaves that
    require a gradient, the parameters, counts only if `leaves`: it is there anyway.
    """
    if loss.node is None:
        return 0
    arrays: list[Any] = []
    for node in reachable(loss.node):
        arrays += [saved.array for saved, maker in _saved(node) if leaves or maker is None or maker.op is not None]
        if node.op is not None:
            fields = getattr(node.op, "__dataclass_fields__", {})
            arrays += [value for name, value in vars(node.op).items() if name not in fields]
    sizes: dict[int, int] = {}
    for array in arrays:
        if hasattr(array, "nbytes"):
            memory, size = bytes_held(array)
            sizes[memory] = max(size, sizes.get(memory, 0))
    return sum(sizes.values())


def _saved(node: Node) -> list[tuple[Saved, Node | None]]:
    """(saved array, the node that made it, None for a constant) for all that a node keeps."""
    flat = [(name, s) for name, value in node.saved.items() for s in (value if isinstance(value, list) else [value])]
    return [(s, node if name == "y" else s.node) for name, s in flat]


def _known_values(nodes: list[Node]) -> dict[Node, Statistics]:
    """Statistics of the values that the graph kept, or that the caller still holds."""
    arrays = {maker: saved.array for node in nodes for saved, maker in _saved(node) if maker is not None}
    for node in nodes:
        tensor = node.tensor()
        if tensor is not None:
            arrays[node] = tensor.data
    return {node: statistics(array) for node, array in arrays.items() if getattr(array, "size", 0)}


def _numbers(measured: Statistics | None) -> list[str]:
    return ["…"] * 4 if measured is None else [f"{number:.3g}" for number in measured]


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "1"


def _aligned(table: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
