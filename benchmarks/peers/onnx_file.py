"""The network as an ONNX file, for the peers that read one: written by hand, since the layers of a VGG are nine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from measuring.architecture import Layer, layers
from measuring.job import Job

__all__ = ["write"]


def write(job: Job, state: dict[str, Any], path: Path) -> None:
    """Write the network in evaluation, with `state`'s weights, for a batch of exactly job.batch images."""
    nodes, weights, last = [], [], "images"
    for layer in layers(job):
        kind, attributes, names = _NODES[layer.kind](layer)
        parameters = [f"{layer.name}.{name}" for name in names]
        weights += [numpy_helper.from_array(np.ascontiguousarray(state[name], np.float32), name) for name in parameters]
        if kind:
            nodes.append(helper.make_node(kind, [last, *parameters], [layer.name], layer.name, **attributes))
            last = layer.name
    shape = [job.batch, job.channels, job.size, job.size]
    graph = helper.make_graph(
        nodes,
        job.model,
        [helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(last, onnx.TensorProto.FLOAT, [job.batch, job.classes])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))


def _convolution(layer: Layer) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    p, k = layer.kernel // 2, layer.kernel
    return "Conv", {"kernel_shape": [k, k], "pads": [p] * 4}, ("weight", "bias")


_NODES: dict[str, Any] = {
    "conv": _convolution,
    "bn": lambda _: ("BatchNormalization", {"epsilon": 1e-5}, ("weight", "bias", "running_mean", "running_var")),
    "relu": lambda _: ("Relu", {}, ()),
    "pool": lambda _: ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}, ()),
    "lrn": lambda _: ("LRN", {"size": 5, "alpha": 5e-4, "beta": 0.75, "bias": 2.0}, ()),  # ONNX divides alpha by the size
    "mean": lambda _: ("GlobalAveragePool", {}, ()),
    "flatten": lambda _: ("Flatten", {"axis": 1}, ()),
    "linear": lambda _: ("Gemm", {"transB": 1}, ("weight", "bias")),
    "dropout": lambda _: ("", {}, ()),
}
