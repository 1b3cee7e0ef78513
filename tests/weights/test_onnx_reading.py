"""weights.onnx: chains of layers that give ONNX Runtime's outputs, and every other file refused in one line, within bounds."""

from __future__ import annotations

import io
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, load_from_string, numpy_helper

from minivgg import models, nn, no_grad, weights
from minivgg.errors import CheckpointError
from minivgg.weights.onnx import Graph, read_graph, read_onnx, write

from .sample_onnx import model, node, samples

SAMPLES = samples()


def read(contents: bytes) -> Graph:
    """The graph of a file of these contents."""
    return read_graph(io.BytesIO(contents), "a.onnx")


def scores(graph: Graph, images: Any) -> Any:
    """What our network gives for images (N, C, H, W); probabilities where the file's graph gives them."""
    network = nn.build_chain(graph.layers, {name: array.shape for name, array in graph.arrays.items()})
    network.load_state_dict(graph.arrays)
    with no_grad():
        logits = network.eval()(images).numpy()
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True) if graph.softmax else logits


@pytest.mark.parametrize("name", SAMPLES)
def test_outputs_are_onnx_runtimes(name: str) -> None:
    """Graphs as torch, Keras and Caffe converters write them, opsets 9 to 21: outputs within 1e-6 of the largest."""
    import onnxruntime

    graph = read(SAMPLES[name])
    images = np.random.default_rng(1).standard_normal([n or m for n, m in zip(graph.input_shape, (2, 3, 7, 9), strict=True)])
    images = images.astype(np.float32)
    session = onnxruntime.InferenceSession(SAMPLES[name], providers=["CPUExecutionProvider"])
    (theirs,) = session.run(None, {"x": images.transpose(0, 2, 3, 1) if graph.channels_last else images})
    assert np.abs(scores(graph, images) - theirs.reshape(len(images), -1)).max() <= 1e-6 * np.abs(theirs).max()


def test_what_keras_writes_is_read_as_layers() -> None:
    """NHWC in and in front of the flatten, a product with its bias, a batch norm as scale and shift, a softmax left out."""
    graph = read(SAMPLES["keras"])
    assert [layer.kind for layer in graph.layers] == ["conv2d", "relu", "max_pool", "flatten", "linear", "relu", "affine", "linear"]
    assert [layer.name for layer in graph.layers] == list("01234567")
    assert graph.layers[3].options == {"channels_last": True}
    assert (graph.input_shape, graph.channels_last, graph.classes, graph.softmax) == ((None, 3, 8, 8), True, 5, True)
    assert graph.notes == (
        "Mul Mul_g1, Add Add_h1: one scale and shift of each channel, layer 6.",
        "Softmax Softmax_y: left out, so that the network gives logits.",
    )
    caffe = {layer.kind: layer.options for layer in read(SAMPLES["caffe"]).layers}
    assert caffe["max_pool"] == {"kernel_size": [3, 3], "stride": [2, 2], "padding": [0, 0], "ceil_mode": True}
    assert caffe["dropout"]["p"] == pytest.approx(0.4)


@pytest.mark.parametrize("name", ["vgg11_lrn", "vgg16_bn"])
def test_what_is_written_is_read_again(name: str) -> None:
    """A network of the paper, written as ONNX and read again, computes the same bits."""
    network = models.build(name, num_classes=5, image_size=32, width=1 / 16).eval()
    images = np.random.default_rng(0).standard_normal((2, 3, 32, 32)).astype(np.float32)
    graph = read(write(models.layers(network), network.state_dict(), (3, 32, 32)).content)
    with no_grad():
        np.testing.assert_array_equal(scores(graph, images), network(images).numpy())


def test_a_graph_without_scores_gives_features() -> None:
    """Convolutions alone: no classes, and the arrays are the file's, bit by bit."""
    w = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
    graph = read(model([node("Conv", "x w", "c"), node("Relu", "c", "y")], {"w": w}, out=(None, 4, 6, 6)))
    assert graph.classes == 0
    np.testing.assert_array_equal(graph.arrays["0.weight"], w)


def stored(values: Any, kind: int, field: str) -> TensorProto:
    """A tensor with its numbers in one of the fields that may hold them."""
    made = helper.make_tensor("w", kind, values.shape, values.ravel().astype(np.float64))
    if field == "raw_data" and kind == TensorProto.BFLOAT16:
        bits = np.array(made.int32_data, np.uint16)
        made.ClearField("int32_data")
        made.raw_data = bits.tobytes()
    elif field == "raw_data":
        made = numpy_helper.from_array(numpy_helper.to_array(made), "w")
    assert made.WhichOneof is not None and (getattr(made, field))
    return made


@pytest.mark.parametrize(
    ("kind", "field", "dtype"),
    [
        (TensorProto.FLOAT, "raw_data", "f4"),
        (TensorProto.FLOAT, "float_data", "f4"),
        (TensorProto.DOUBLE, "raw_data", "f8"),
        (TensorProto.DOUBLE, "double_data", "f8"),
        (TensorProto.FLOAT16, "raw_data", "f2"),
        (TensorProto.FLOAT16, "int32_data", "f2"),
        (TensorProto.BFLOAT16, "raw_data", "f4"),
        (TensorProto.BFLOAT16, "int32_data", "f4"),
    ],
)
def test_every_field_of_numbers_is_read(kind: int, field: str, dtype: str) -> None:
    """Each floating-point type, from raw_data and from its own field: the values, which all these types have exactly."""
    w = np.random.default_rng(0).integers(-9, 9, (5, 12)) / 4
    arrays, metadata = read_onnx(io.BytesIO(model([node("Flatten", "x", "y")], {"w": stored(w, kind, field)})), "a.onnx")
    assert metadata == {} and arrays["w"].dtype == dtype
    np.testing.assert_array_equal(arrays["w"], w)


def test_load_gives_initialisers_by_name(tmp_path: Path) -> None:
    """weights.load of an .onnx file: its floating-point arrays, without the shapes among its initialisers."""
    (tmp_path / "a.onnx").write_bytes(SAMPLES["caffe"])
    assert {name: array.shape for name, array in weights.load(tmp_path / "a.onnx").items()} == {
        "w0": (4, 3, 3, 3), "b0": (4,), "w1": (6, 2, 3, 3), "b1": (6,), "w2": (5, 96), "b2": (1,),
    }  # fmt: skip


W = np.ones((4, 3, 3, 3), np.float32)
CONV = node("Conv", "x w", "c")
HEAD = [node("GlobalAveragePool", "c", "p"), node("Flatten", "p", "y")]


def changed(change: Callable[[ModelProto], Any], name: str = "torch") -> bytes:
    """A sample after a change to its messages."""
    made = load_from_string(SAMPLES[name])
    change(made)
    return bytes(made.SerializeToString())


def outside(made: ModelProto) -> None:
    """Its first weights in another file."""
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def with_body(made: ModelProto) -> None:
    """A subgraph in place of an attribute."""
    made.graph.node[0].attribute.append(helper.make_attribute("body", made.graph.__class__()))


REFUSED: dict[str, tuple[bytes, str]] = {
    "unknown operator": (model([CONV, node("Sigmoid", "c", "y")], {"w": W}), r"Sigmoid Sigmoid_y .*cannot be read. Known are: Add, "),
    "branch": (model([CONV, node("Relu", "c", "r"), node("Add", "r c", "y")], {"w": W}), "Add Add_y joins two values"),
    "skip": (model([CONV, node("Relu", "c", "r"), node("Relu", "c", "y")], {"w": W}), 'Relu_y reads "c", which another node has read'),
    "circle": (model([node("Conv", "y w", "c"), node("Relu", "c", "y")], {"w": W}), 'Conv_c reads "y", which no node before it makes'),
    "dead end": (model([CONV, node("Relu", "c", "y"), node("Relu", "y", "z")], {"w": W}), 'output "y" is not what its last layer makes'),
    "made twice": (model([CONV, node("Relu", "c", "c")], {"w": W}), 'makes "c", which is there already'),
    "channels": (model([node("Conv", "x w", "y")], {"w": W[:, :2]}), r"Conv_y has filters \[4, 2, 3, 3\] .* gets 3 channels"),
    "features": (
        model([CONV, *HEAD[:1], node("Flatten", "p", "f"), node("MatMul", "f v", "y")], {"w": W, "v": W[:2, 0, 0]}),
        "MatMul_y has weights for 2 features, but gets 4",
    ),
    "asymmetric": (model([node("Conv", "x w", "y", pads=[0, 0, 1, 1])], {"w": W}), "Conv_y has 0 of padding before and 1 behind H"),
    "window": (model([node("MaxPool", "x", "y", kernel_shape=[9, 9])], {}), "MaxPool_y has a window that reaches over 9, but H is 8"),
    "attribute": (model([node("Conv", "x w", "y", speed=2)], {"w": W}), "Conv_y has the attribute speed, which is not known"),
    "wrong type": (model([node("Conv", "x w", "y", group=1.0)], {"w": W}), "Conv_y has the attribute group = 1.0, .* wrong type"),
    "mid softmax": (model([node("Softmax", "x", "s", axis=1), node("Relu", "s", "y")], {}), "Relu_y comes behind a Softmax"),
    "computed": (model([node("Conv", "x v", "y")], {}), 'Conv_y reads "v"'),
    "whole filters": (model([node("Conv", "x w", "y")], {"w": W.astype(np.int64)}), "Conv_y needs floating-point constants as input 1"),
    "domain": (changed(lambda m: setattr(m.graph.node[0], "domain", "com.microsoft")), 'is of the domain "com.microsoft"'),
    "opset": (model([CONV, *HEAD], {"w": W}, opset=6), r"opset 6 \(7 or more\)"),
    "outside": (changed(outside), "numbers of classifier|numbers of .* are in another file, which is never opened"),
    "subgraph": (changed(with_body), "attribute body of Conv Conv_c0 is of ONNX's type 5: subgraphs"),
    "function": (changed(lambda m: m.functions.add(name="f")), "has functions"),
    "training": (changed(lambda m: m.training_info.add()), "has training information"),
    "sparse": (changed(lambda m: m.graph.sparse_initializer.add()), "has sparse tensors"),
    "statistics": (changed(lambda m: m.graph.node[2].output.extend(["mean", "var"]), "batch_norm"), "in evaluation mode"),
    "two inputs": (changed(lambda m: m.graph.input.add(name="other")), r"has 2 inputs \(x, other\)"),
    "bytes": (changed(lambda m: m.graph.initializer[0].dims.__setitem__(0, 10**15)), "w0 .* needs 108,000,000,000,000,000 bytes"),
    "negative": (changed(lambda m: m.graph.initializer[0].dims.__setitem__(0, -4)), r"w0 has sizes \[-4, 3, 3, 3\]"),
    "same name": (changed(lambda m: m.graph.initializer.append(m.graph.initializer[0])), 'has two initialisers "w0"'),
    "line break": (changed(lambda m: setattr(m.graph.node[0], "name", "a\nb")), "cannot be printed"),
    "no model": (b"", "is no ONNX model"),
    "text": (b"version https://git-lfs.github.com/spec/v1\n", "a.onnx: "),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_other_graphs_are_refused_by_name(name: str) -> None:
    """A graph that is no chain, or not all of it known, or damaged: one line with the path, the node and what is wrong with it."""
    contents, message = REFUSED[name]
    with pytest.raises(CheckpointError, match=message) as caught:
        read(contents)
    assert str(caught.value).startswith("a.onnx: ")
    assert "\n" not in str(caught.value)


def test_damage_anywhere_is_an_error_or_harmless() -> None:
    """300 files cut off, or with changed, missing and additional bytes: read, or refused in one line; never another exception."""
    draw = random.Random(0)
    for _ in range(300):
        contents = bytearray(draw.choice(list(SAMPLES.values())))
        for _ in range(draw.choice([1, 1, 4])):
            at = draw.randrange(min(len(contents), draw.choice([900, 9000])))
            change = draw.choice(["set", "set", "insert", "delete", "cut"])
            end = {"set": at + 1, "insert": at, "delete": at + draw.randrange(1, 9), "cut": len(contents)}[change]
            contents[at:end] = bytes(draw.choice([0, 1, 127, 128, 255, draw.randrange(256)]) for _ in range(change in {"set", "insert"}))
            contents = contents or bytearray(1)
        try:
            read(bytes(contents))
        except CheckpointError as error:
            assert str(error).startswith("a.onnx: ") and "\n" not in str(error)


def peak(path: Path, contents: bytes) -> tuple[int, str]:
    """(most bytes that Python had at once while reading a file, the message of the error or "")."""
    path.write_bytes(contents)
    message = ""
    tracemalloc.start()
    try:
        with path.open("rb") as file:
            read_graph(file, "a.onnx")
    except CheckpointError as error:
        message = str(error)
    finally:
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return most, message


def field(number: int, payload: bytes) -> bytes:
    """A field of kind 2, with a length of four bytes."""
    size = len(payload)
    return bytes([number << 3 | 2, *(size >> 7 * k & 127 | (128 if k < 3 else 0) for k in range(4))]) + payload


def test_memory_is_bounded_by_the_file(tmp_path: Path) -> None:
    """bfloat16 weights, which become float32, are read within twice the file and 32 MB; what would take more, one tensor used a hundred
    times or very many tiny messages, is refused within it."""
    path = tmp_path / "a.onnx"
    bits = np.full((5 << 20, 4), 0x3F80, np.uint16)
    half = helper.make_tensor("w", TensorProto.BFLOAT16, bits.shape, bits.tobytes(), raw=True)
    heavy = model([node("Flatten", "x", "f"), node("Gemm", "f w", "y", transB=1)], {"w": half}, image=(4, 1, 1))
    most, message = peak(path, heavy)
    assert message == "" and most <= 2 * len(heavy) + (32 << 20)

    shared = [node("MatMul", f"y{k} w", f"y{k + 1}") for k in range(100)]
    many = model([node("Flatten", "x", "y0"), *shared], {"w": np.zeros((512, 512), np.float32)}, image=(512, 1, 1))
    start = b"\x08\x08" + field(8, b"\x10\x0d")
    numbers = field(5, field(8, b"\xff" * 9 + b"\x01" + bytes(500_000)) + b"\xa0\x01\x07")
    for contents, reason in (
        (many, "makes the arrays larger than twice the file"),
        (start + field(7, field(1, b"") * 20_000), "far larger than any chain"),
        (start + field(7, field(1, numbers)), "far larger than any chain"),
        (start + field(7, field(11, field(1, b"a" * 500)) * 10_000), "far larger than any chain"),
        (start + field(7, field(1, field(1, b"a" * 2000))), "too long"),
    ):
        most, message = peak(path, contents)
        assert reason in message
        assert most <= 2 * len(contents) + (32 << 20)
