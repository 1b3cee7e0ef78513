"""`read_graph`: an ONNX file as the list of a network's layers with their arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from ...errors import CheckpointError
from ...nn import Layer
from .chain import Chain
from .messages import Declared, Messages, Model, Node
from .operators import OPERATORS
from .step import Constant, Flow, Step, Value
from .tensors import FLOATS, Source

__all__ = ["Graph", "read_graph", "read_onnx"]

_ANYWHERE = {
    "Identity",
    "Cast",
    "Mul",
    "Add",
    "Sub",
    "Div",
    "Constant",
    "Shape",
    "Gather",
    "Slice",
    "Concat",
    "Unsqueeze",
    "Squeeze",
    "Reshape",
}


@dataclass(frozen=True)
class Graph:
    """What an ONNX file says, ready for `nn.build_chain(graph.layers, shapes)` and `load_state_dict(graph.arrays)`.

    layers         in order, named "0", "1", …
    arrays         by "<layer's name>.weight" and so on, in the dtype of the file (bfloat16 as float32)
    input_shape    (N, C, H, W), None where the file leaves a size open
    channels_last  whether the file's own input is (N, H, W, C); the layers here take (N, C, H, W) all the same
    classes        number of scores, (N, classes); 0 if the graph ends in a map of features (N, C, H, W)
    softmax        whether the graph ended with a softmax, which is left out: the layers give logits
    notes          what was done to make the graph a chain, a sentence each
    """

    layers: tuple[Layer, ...]
    arrays: Mapping[str, Any]
    input_shape: tuple[int | None, int | None, int | None, int | None]
    channels_last: bool
    classes: int
    softmax: bool
    notes: tuple[str, ...]


def read_graph(file: BinaryIO, path: str) -> Graph:
    """The network in an ONNX file; `path` is for messages.

    Raises CheckpointError, in one line that names node and operator, for a damaged file or a graph that is not one chain of known layers.
    """
    model, source = _model(file, path), Source(file, path)
    given, result = _ends(model, path)
    chain, channels_last = _begin(model, given, source)
    values: dict[str, Value] = {name: Constant(tensor, tensor.shape) for name, tensor in model.tensors.items()}
    values[given.name] = Flow.of(chain)
    with np.errstate(all="ignore"):  # NaN and Inf among the weights are the business of whoever uses them
        for node in model.nodes:
            _pass(node, chain, values, model.opset)
        chain.flush()
    last = values.get(result.name)
    if not isinstance(last, Flow) or last.version != chain.version:
        raise CheckpointError(f'{path}: its output "{result.name}" is not what its last layer makes: the graph is no chain.')
    return _finish(chain, given, channels_last)


def read_onnx(file: BinaryIO, path: str) -> tuple[dict[str, Any], dict[str, str]]:
    """(floating-point initialisers by name, {}) of an ONNX file, whatever its graph; `path` is for messages. Raises CheckpointError."""
    model, source = _model(file, path), Source(file, path)
    return {name: source.array(tensor) for name, tensor in model.tensors.items() if tensor.floating}, {}


def _model(file: BinaryIO, path: str) -> Model:
    """The messages; the file's contents are let go of before the first array is made."""
    file.seek(0)
    return Messages(file.read(), path).model()


def _ends(model: Model, path: str) -> tuple[Declared, Declared]:
    """The one input that is no initialiser (in older files these are inputs as well), and the one output."""
    inputs = [declared for declared in model.inputs if declared.name not in model.tensors]
    for what, ends in (("input", inputs), ("output", model.outputs)):
        if len(ends) != 1:
            names = ", ".join(declared.name for declared in ends[:5]) or "none"
            raise CheckpointError(f"{path}: has {len(ends)} {what}s ({names}); a network for images has one.")
    given = inputs[0]
    if given.kind not in FLOATS or given.sizes is None or len(given.sizes) != 4:
        sizes = None if given.sizes is None else list(given.sizes)
        raise CheckpointError(f'{path}: its input "{given.name}" has type {given.kind} and sizes {sizes}; images are (N, C, H, W), float.')
    return given, model.outputs[0]


def _begin(model: Model, given: Declared, source: Source) -> tuple[Chain, bool]:
    """A chain without layers, and whether the file's images are (N, H, W, C): its first operator that is not one place by place is
    then a Transpose to (N, C, H, W)."""
    first = next((node for node in model.nodes if node.operator not in _ANYWHERE), None)
    channels_last = first is not None and first.operator == "Transpose" and first.attributes.get("perm") == (0, 3, 1, 2)
    letters = "NHWC" if channels_last else "NCHW"
    return Chain(letters, dict(zip(letters, given.sizes or (), strict=True)), source), channels_last


def _pass(node: Node, chain: Chain, values: dict[str, Value], opset: int) -> None:
    """One node: its first output gets a value; its others cannot be read from."""
    path, rule = chain.source.path, OPERATORS.get(node.operator)
    if rule is None:
        raise CheckpointError(f"{path}: {node.label} is an operator that cannot be read. Known are: {', '.join(OPERATORS)}.")
    if not rule.inputs[0] <= len(node.inputs) <= rule.inputs[1] or not node.outputs or not node.outputs[0]:
        raise CheckpointError(f"{path}: {node.label} has {len(node.inputs)} inputs and {len(node.outputs)} outputs, which is not its way.")
    if node.outputs[0] in values:
        raise CheckpointError(f'{path}: {node.label} makes "{node.outputs[0]}", which is there already. The file is damaged.')
    values[node.outputs[0]] = rule.function(Step(node, chain, values, opset, rule.attributes))


def _finish(chain: Chain, given: Declared, channels_last: bool) -> Graph:
    path, single = chain.source.path, (chain.sizes["H"], chain.sizes["W"]) == (1, 1)
    if not chain.flat and (chain.letters == "NC" or single):
        chain.add("flatten", {"channels_last": False})
        chain.notes += ["The scores (N, C, 1, 1) at the end as (N, C)."] if chain.letters != "NC" else []
        chain.flat = True
    classes = chain.sizes["C"]
    if classes is None:
        raise CheckpointError(f"{path}: the graph does not say how many scores it gives.")
    dropouts = [layer.name for layer in chain.layers if layer.kind == "dropout"]
    notes = [*chain.notes, *([f"Dropout kept as layer {', '.join(dropouts)}: it acts in training only."] if dropouts else [])]
    n, *rest = given.sizes or ()
    h_w_c = rest if channels_last else [*rest[1:], rest[0]]
    shape = (n, h_w_c[2], h_w_c[0], h_w_c[1])
    return Graph(tuple(chain.layers), chain.arrays, shape, channels_last, classes if chain.flat else 0, chain.softmax, tuple(notes))
