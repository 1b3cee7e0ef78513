"""Small ONNX graphs, as torch's and Keras' exporters write them and with each operator that can be read, made with onnx.helper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

__all__ = ["IMAGE", "model", "node", "samples"]

IMAGE = (2, 3, 8, 8)  # of all samples, (N, C, H, W)


def node(operator: str, inputs: str, outputs: str, **attributes: Any) -> NodeProto:
    """A node; names are separated by spaces, and "-" leaves one out."""
    names = ([name.replace("-", "") for name in text.split()] for text in (inputs, outputs))
    return helper.make_node(operator, *names, name=f"{operator}_{outputs.split()[0]}", **attributes)


def model(
    nodes: Sequence[NodeProto],
    arrays: dict[str, Any],
    *,
    opset: int = 13,
    nhwc: bool = False,
    batch: int | None = None,
    image: tuple[int | None, ...] = IMAGE[1:],
    kind: int = TensorProto.FLOAT,
    out: tuple[int | None, ...] = (None, 5),
    **fields: Any,
) -> bytes:
    """A model's file: input "x", output "y", and initialisers, arrays or tensors."""
    shape = [batch, *image]
    given = helper.make_tensor_value_info("x", kind, [shape[0], *shape[2:], shape[1]] if nhwc else shape)
    tensors = [a if isinstance(a, TensorProto) else numpy_helper.from_array(np.asarray(a), name) for name, a in arrays.items()]
    for tensor, name in zip(tensors, arrays, strict=True):
        tensor.name = name
    graph = helper.make_graph(list(nodes), "g", [given], [helper.make_tensor_value_info("y", kind, out)], tensors)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8 if opset < 22 else 10, **fields)
    return bytes(made.SerializeToString())


def samples() -> dict[str, bytes]:
    """Name → contents of a file of a few KB. All take IMAGE, in the file's order of axes, float32."""
    rng = np.random.default_rng(0)

    def w(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(np.float32) / 2

    def positive(*shape: int) -> Any:
        return np.abs(w(*shape)) + np.float32(0.5)

    def i(*values: int) -> Any:
        return np.array(values, np.int64)

    made: dict[str, bytes] = {}
    pads = [1, 1, 1, 1]
    three = {"kernel_shape": [3, 3], "pads": pads, "strides": [1, 1], "dilations": [1, 1], "group": 1}
    pool = {"kernel_shape": [2, 2], "strides": [2, 2]}
    trunk = [
        node("Conv", "x w0 b0", "c0", **three),
        node("Relu", "c0", "r0"),
        node("MaxPool", "r0", "p0", **pool),
        node("Conv", "p0 w1 b1", "c1", **three),
        node("Relu", "c1", "r1"),
    ]
    filters = {"w0": w(4, 3, 3, 3), "b0": w(4), "w1": w(6, 4, 3, 3), "b1": w(6)}

    made["torch"] = model(
        [
            *trunk,
            node("AveragePool", "r1", "a", kernel_shape=[1, 1], strides=[1, 1]),
            node("Flatten", "a", "f", axis=1),
            node("Gemm", "f w2 b2", "g", transB=1, alpha=1.0, beta=1.0),
            node("Relu", "g", "h"),
            node("Dropout", "h ratio -", "d"),
            node("Gemm", "d w3 b3", "y", transB=1),
        ],
        {**filters, "w2": w(8, 96), "b2": w(8), "w3": w(5, 8), "b3": w(5), "ratio": np.float32(0.3)},
    )  # fmt: skip
    made["torch_view"] = model(
        [
            node("Constant", "", "zero", value=numpy_helper.from_array(np.array(0))),
            node("Constant", "", "rest", value_ints=[-1]),
            *trunk,
            node("Shape", "r1", "s"),
            node("Gather", "s zero", "n", axis=0),
            node("Unsqueeze", "n", "n1", axes=[0]),
            node("Concat", "n1 rest", "t", axis=0),
            node("Reshape", "r1 t", "f"),
            node("Gemm", "f w2", "g", alpha=0.5),
            node("Softmax", "g", "y", axis=1),
        ],
        {**filters, "w2": w(96, 5)},
        opset=12,
    )  # fmt: skip
    same = {**three, "auto_pad": "SAME_UPPER"}
    del same["pads"]
    made["keras"] = model(
        [
            node("Transpose", "x", "t", perm=[0, 3, 1, 2]),
            node("Conv", "t w0 b0", "c0", **same),
            node("Relu", "c0", "r0"),
            node("MaxPool", "r0", "p0", **pool, auto_pad="SAME_UPPER"),
            node("Transpose", "p0", "u", perm=[0, 2, 3, 1]),
            node("Shape", "p0", "s"),
            node("Gather", "s nhwc", "o"),
            node("Cast", "o", "o32", to=TensorProto.INT32),
            node("Slice", "o32 zero one zero", "n"),
            node("Concat", "n rest", "target", axis=0),
            node("Cast", "target", "target64", to=TensorProto.INT64),
            node("Reshape", "u target64", "f"),
            node("MatMul", "f w1", "m1"),
            node("Add", "m1 b1", "d1"),
            node("Relu", "d1", "e1"),
            node("Mul", "e1 gamma", "g1"),
            node("Add", "g1 beta", "h1"),
            node("MatMul", "h1 w2", "m2"),
            node("Add", "b2 m2", "d2"),
            node("Softmax", "d2", "y"),
        ],
        {
            "w0": w(4, 3, 3, 3), "b0": w(4), "w1": w(64, 8), "b1": w(8), "gamma": w(8), "beta": w(8), "w2": w(8, 5), "b2": w(5),
            "nhwc": i(0, 2, 3, 1), "zero": i(0), "one": i(1), "rest": np.array([-1], np.int32),
        },
        nhwc=True,
    )  # fmt: skip
    made["keras_pooled"] = model(
        [
            node("Sub", "x mean", "x0"),
            node("Div", "x0 scale", "x1"),
            node("Transpose", "x1", "t", perm=[0, 3, 1, 2]),
            node("Conv", "t w0", "c0", auto_pad="VALID", kernel_shape=[3, 3], strides=[2, 1]),
            node("Add", "c0 b0", "c1"),
            node("Transpose", "c1", "back", perm=[0, 2, 3, 1]),
            node("Mul", "gamma back", "g"),
            node("Relu", "g", "r"),
            node("Transpose", "r", "again", perm=[0, 3, 1, 2]),
            node("GlobalAveragePool", "again", "p"),
            node("Squeeze", "p axes", "q"),
            node("MatMul", "q w1", "m"),
            node("Sub", "one m", "y"),
        ],
        {
            "mean": w(3), "scale": np.float32(2.0), "w0": w(4, 3, 3, 3), "b0": w(4, 1, 1), "gamma": w(1, 1, 1, 4),
            "axes": i(2, 3), "w1": w(4, 5), "one": np.float32(1.0),
        },
        nhwc=True,
    )  # fmt: skip
    made["keras_open"] = model(
        [
            node("Transpose", "x", "t", perm=[0, 3, 1, 2]),
            node("Conv", "t w0 b0", "c", auto_pad="SAME_LOWER", strides=[1, 1]),
            node("MaxPool", "c", "p", kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_UPPER"),
            node("Relu", "p", "r"),
            node("MaxPool", "r", "q", kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 1, 1]),
            node("Transpose", "q", "u", perm=[0, 2, 3, 1]),
            node("ReduceMean", "u", "m", axes=[1, 2], keepdims=0),
            node("MatMul", "m w1", "y"),
        ],
        {"w0": w(4, 3, 3, 3), "b0": w(4), "w1": w(4, 5)},
        nhwc=True,
        image=(3, None, None),
    )  # fmt: skip
    norm = {f"{name}{k}": v for k in (0, 1) for name, v in (("g", w(4)), ("h", w(4)), ("m", w(4)), ("v", positive(4)))}
    made["batch_norm"] = model(
        [
            node("Identity", "w0", "w"),
            node("Conv", "x w", "c", **three),
            node("BatchNormalization", "c g0 h0 m0 v0", "n", epsilon=1e-3, momentum=0.99),
            node("Relu", "n", "r"),
            node("ReduceMean", "r", "p", axes=[2, 3], keepdims=0),
            node("Dropout", "p", "d", ratio=0.25),
            node("Transpose", "w1", "w1t", perm=[1, 0]),
            node("Gemm", "d w1t none", "e", beta=2.0),
            node("BatchNormalization", "e g1 h1 m1 v1", "f"),
            node("Gemm", "f w2 b2", "y", transB=1, beta=0.5),
        ],
        {"w0": w(4, 3, 3, 3), **norm, "w1": w(4, 4), "none": np.float32(0.5), "w2": w(5, 4), "b2": w(1, 5)},
        opset=9,
        batch=2,
    )  # fmt: skip
    made["caffe"] = model(
        [
            node("Conv", "x w0 b0", "c0", kernel_shape=[3, 3], pads=[2, 1, 2, 1], dilations=[2, 1]),
            node("Relu", "c0", "r0"),
            node("LRN", "r0", "l0", size=3, alpha=0.2, beta=0.6, bias=1.5),
            node("MaxPool", "l0", "p0", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
            node("Conv", "p0 w1 b1", "c1", kernel_shape=[3, 3], pads=pads, group=2),
            node("Reshape", "c1 target", "f"),
            node("Gemm", "f w2 b2", "g", transB=1),
            node("Dropout", "g", "d", ratio=0.4),
            node("Identity", "d", "y"),
        ],
        {"w0": w(4, 3, 3, 3), "b0": w(4), "w1": w(6, 2, 3, 3), "b1": w(6), "target": i(-1, 96), "w2": w(5, 96), "b2": w(1)},
        opset=10,
    )  # fmt: skip
    made["convolutional"] = model(
        [
            *trunk,
            node("AveragePool", "r1", "a", kernel_shape=[2, 2], strides=[2, 2], count_include_pad=1),
            node("Conv", "a w2", "c2"),
            node("ReduceMean", "c2 axes", "m", keepdims=1),
            node("Squeeze", "m axes", "f"),
            node("Relu", "f", "r"),
            node("Unsqueeze", "r back", "u"),
            node("Conv", "u w3 b3", "y"),
        ],
        {**filters, "w2": w(7, 6, 1, 1), "axes": i(-1, -2), "back": i(2, 3), "w3": w(5, 7, 1, 1), "b3": w(5)},
        opset=21,
        out=(None, 5, 1, 1),
    )  # fmt: skip
    return made


if __name__ == "__main__":
    for name, contents in samples().items():
        onnx.checker.check_model(onnx.load_from_string(contents))
        print(f"{name:16}{len(contents):8,} bytes")
