"""Layers and arrays → the bytes of an ONNX file.

Opset 17 with IR version 8, both of 2022: every operator that a VGG needs is in it (BatchNormalization last changed in 15), and ONNX
Runtime reads it since 1.12; later opsets add nothing here, and would shut out older programs. The file names no time, machine or path,
so that equal networks give equal bytes.

A protocol buffer, which the file is, has at most 2³¹ − 1 bytes. VGG-19 has 575 MB.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ... import __version__
from ...backend.arrays import Array, to_numpy
from ...errors import ConfigError
from ...nn import Layer
from .nodes import IMAGES, Node, Nodes, Shape, chain

__all__ = ["OPSET", "Dimension", "Written", "write"]

OPSET = 17

_IR_VERSION = 8
_LARGEST = 2**31 - 1
_SPARE = 1 << 20  # for all that is no constant

Dimension = int | str  # a size, or the name of one that is open


@dataclass(frozen=True)
class Written:
    """An ONNX file, not yet in a folder: its bytes, how many nodes it has, and the shapes of its input and output, by their names."""

    content: bytes
    nodes: int
    input: tuple[Dimension, ...]
    output_name: str
    output: tuple[Dimension, ...]


def write(
    layers: Iterable[Layer],
    arrays: Mapping[str, Array],
    shape: Shape,
    *,
    mean: Array | None = None,
    std: Array | None = None,
    softmax: bool = False,
    description: str = "",
    metadata: Mapping[str, str] | None = None,
) -> Written:
    """An ONNX graph of `layers` in evaluation, checked by onnx.checker, float32 throughout: other arrays are converted, rounded once.

    Input   "images" float32 (N, *shape), shape = (C, H, W); N is open, and so are H and W that are None: "height", "width"
    Output  "logits" float32 (N, classes), or of a convolutional network (N, classes, rows, columns); with `softmax` "probabilities", the
            soft-max over the classes

    mean, std: (C,); the first nodes are then (images − mean) / std. description and metadata: texts that the file carries.

    Raises ConfigError if the package onnx is not installed, the network is larger than a file can be, or as `nodes.chain` does.
    """
    made = chain(layers, arrays, shape, mean, std)
    if softmax:
        made.put("Softmax", "softmax", axis=1)
    if not made.nodes:
        raise ConfigError("the network has no layers that do anything, so there is nothing to write.")
    name = "probabilities" if softmax else "logits"
    made.name_output(name)
    size = sum(4 * math.prod(array.shape) for array in made.constants.values())
    if size > _LARGEST - _SPARE:
        raise ConfigError(f"the network's arrays have {size / 1e6:,.0f} MB, but an ONNX file can have at most {_LARGEST / 1e6:,.0f} MB.")
    given = ("N", *_named(shape, ("", "height", "width")))
    gives = ("N", *_named(made.shape, ("", "rows", "columns")))
    content = _serialised(made, given, name, gives, description, metadata or {})
    return Written(content, len(made.nodes), given, name, gives)


def _named(shape: Shape, names: tuple[str, ...]) -> tuple[Dimension, ...]:
    return tuple(name if size is None else size for size, name in zip(shape, names, strict=False))


def _package() -> Any:
    try:
        return importlib.import_module("onnx")
    except ImportError:
        raise ConfigError("writing ONNX files needs the package onnx: pip install 'minivgg[onnx]'.") from None


def _serialised(
    made: Nodes, given: tuple[Dimension, ...], name: str, gives: tuple[Dimension, ...], description: str, metadata: Mapping[str, str]
) -> bytes:
    """The file's bytes, checked."""
    onnx = _package()
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [_node(onnx, node) for node in made.nodes],
        "minivgg",
        [onnx.helper.make_tensor_value_info(IMAGES, kind, given)],
        [onnx.helper.make_tensor_value_info(name, kind, gives)],
    )
    model = onnx.helper.make_model(
        graph,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
        producer_name="minivgg",
        producer_version=__version__,
        doc_string=description,
    )
    for key, array in made.constants.items():  # one after the other into the model itself: make_graph would copy all of them
        values = np.ascontiguousarray(to_numpy(array), "<f4")
        model.graph.initializer.add(name=key, dims=values.shape, data_type=kind, raw_data=values.tobytes())
    for key, text in metadata.items():
        model.metadata_props.add(key=key, value=text)
    content: bytes = model.SerializeToString(deterministic=True)
    del model
    onnx.checker.check_model(content, full_check=True)
    return content


def _node(onnx: Any, node: Node) -> Any:
    return onnx.helper.make_node(node.operator, node.inputs, [node.output], name=node.name, **node.attributes)
