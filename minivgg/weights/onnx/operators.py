"""The table of ONNX's operators that can be read: which rule, how many inputs, and the attributes with their defaults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import shapes, values, windows
from .messages import Defaults
from .step import Step, Value

__all__ = ["OPERATORS", "Rule"]


@dataclass(frozen=True)
class Rule:
    """`function` makes the node's first output; it has `inputs`, at least and at most."""

    function: Callable[[Step], Value]
    inputs: tuple[int, int]
    attributes: Defaults


_CONSTANT: Defaults = dict.fromkeys(("value", "value_int", "value_ints", "value_float", "value_floats"))

OPERATORS: dict[str, Rule] = {
    "Add": Rule(values.add, (2, 2), {}),
    "AveragePool": Rule(windows.average_pool, (1, 1), windows.AVERAGE_POOL),
    "BatchNormalization": Rule(values.batch_norm, (5, 5), values.BATCH_NORM),
    "Cast": Rule(shapes.identity, (1, 1), {"to": 0, "saturate": 1}),
    "Concat": Rule(shapes.concat, (1, 64), {"axis": 0}),
    "Constant": Rule(shapes.constant, (0, 0), _CONSTANT),
    "Conv": Rule(windows.conv, (2, 3), windows.CONV),
    "Div": Rule(values.div, (2, 2), {}),
    "Dropout": Rule(values.dropout, (1, 3), {"ratio": 0.5, "seed": 0}),
    "Flatten": Rule(shapes.flatten, (1, 1), {"axis": 1}),
    "Gather": Rule(shapes.gather, (2, 2), {"axis": 0}),
    "Gemm": Rule(values.gemm, (2, 3), values.GEMM),
    "GlobalAveragePool": Rule(windows.global_average_pool, (1, 1), {}),
    "Identity": Rule(shapes.identity, (1, 1), {}),
    "LRN": Rule(values.lrn, (1, 1), values.LRN),
    "MatMul": Rule(values.matmul, (2, 2), {}),
    "MaxPool": Rule(windows.max_pool, (1, 1), windows.MAX_POOL),
    "Mul": Rule(values.mul, (2, 2), {}),
    "ReduceMean": Rule(windows.reduce_mean, (1, 2), {"axes": (), "keepdims": 1, "noop_with_empty_axes": 0}),
    "Relu": Rule(values.relu, (1, 1), {}),
    "Reshape": Rule(shapes.reshape, (2, 2), {"allowzero": 0}),
    "Shape": Rule(shapes.shape, (1, 1), {"start": 0, "end": 0}),
    "Slice": Rule(shapes.slice_, (1, 5), {"starts": (), "ends": (), "axes": (), "steps": ()}),
    "Softmax": Rule(values.softmax, (1, 1), {"axis": 1}),
    "Squeeze": Rule(shapes.squeeze, (1, 2), {"axes": ()}),
    "Sub": Rule(values.sub, (2, 2), {}),
    "Transpose": Rule(shapes.transpose, (1, 1), {"perm": ()}),
    "Unsqueeze": Rule(shapes.unsqueeze, (1, 2), {"axes": ()}),
}
