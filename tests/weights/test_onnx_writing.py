"""ONNX files that are written: ONNX Runtime computes from them what the networks compute."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import minivgg as mv
from minivgg import models, nn
from minivgg.errors import ConfigError
from minivgg.weights.onnx import Written, write

Size = int | None


def filled(model: Any, seed: int = 0) -> Any:
    """The model in evaluation, with random biases, scales and running statistics where there were zeros and ones."""
    rng = np.random.default_rng(seed)
    for name, array in model.state_dict().items():
        if array.ndim == 1:
            array[...] = rng.uniform(0.5, 1.5, array.shape) if name.endswith(("weight", "var")) else rng.normal(0, 0.2, array.shape)
    return model.eval()


def written(model: Any, shape: tuple[int, Size, Size], **options: Any) -> Written:
    """The model's ONNX file for images (C, H, W)."""
    return write(models.layers(model), model.state_dict(), shape, **options)


def runtime(content: bytes, images: Any) -> Any:
    """What ONNX Runtime makes of images."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"]).run(None, {"images": images})[0]


def images_of(*shape: int) -> Any:
    """The same random images at each call."""
    return np.random.default_rng(1).standard_normal(shape, dtype=np.float32)


def agree(model: Any, content: bytes, shape: Sequence[int]) -> Any:
    """Assert that both compute the same, within 1e-5 of the largest, and return it. Images differ, and so do their scores."""
    x = images_of(*shape)
    with mv.no_grad():
        wanted = model(mv.Tensor(x)).numpy()
    found = runtime(content, x)
    assert found.dtype == np.float32 and found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()
    assert len(x) == 1 or np.abs(wanted[0] - wanted[1]).max() > 1e-3 * np.abs(wanted).max()
    return found


@pytest.mark.parametrize("head", ["paper", "linear"])
@pytest.mark.parametrize("name", models.MODELS)
def test_every_network_of_the_paper(name: str, head: str) -> None:
    """All eleven networks with both heads and random statistics, at 64 pixels: the paper's head has 2×2 cells, which is no pooling."""
    model = filled(models.build(name, num_classes=7, image_size=64, width=1 / 16, head=head))
    file = written(model, (3, 64, 64))
    assert file.input == ("N", 3, 64, 64) and (file.output_name, file.output) == ("logits", ("N", 7))
    agree(model, file.content, (2, 3, 64, 64))


@pytest.mark.parametrize("head", ["paper", "linear"])
def test_a_dense_network_takes_images_of_any_size(head: str) -> None:
    """One file gives the maps of a wide image, a high one, and the single cell of a small one; its classes are the channels."""
    model = filled(models.dense(models.vgg11_bn(num_classes=5, image_size=64, width=1 / 16, head=head)))
    file = written(model, (3, None, None))
    assert file.input == ("N", 3, "height", "width") and file.output == ("N", 5, "rows", "columns")
    shapes = [agree(model, file.content, (2, 3, *size)).shape for size in ((64, 96), (96, 64), (64, 64))]
    cells = 2 if head == "paper" else 1
    assert shapes == [(2, 5, 3 - cells, 4 - cells), (2, 5, 4 - cells, 3 - cells), (2, 5, 3 - cells, 3 - cells)]


def test_global_pooling_takes_images_of_any_size() -> None:
    """A linear head behind global pooling has logits of images of any size."""
    model = filled(models.vgg11(num_classes=5, image_size=32, width=1 / 16, head="linear"))
    file = written(model, (3, None, None))
    assert file.output == ("N", 5)
    for size in ((64, 96), (33, 32)):
        agree(model, file.content, (2, 3, *size))


@pytest.mark.parametrize("alpha_over_n", [False, True])
def test_both_conventions_of_response_normalisation(alpha_over_n: bool) -> None:
    """Whether alpha is divided by the size or not, ONNX's alpha, which is, gets the same quotient; k and beta are those given."""
    model = nn.Sequential(nn.LocalResponseNorm(5, alpha=0.7, beta=0.6, k=1.5, alpha_over_n=alpha_over_n)).eval()
    agree(model, written(model, (8, 4, 3)).content, (2, 8, 4, 3))


@pytest.mark.parametrize("open_size", [False, True])
def test_a_last_window_may_hang_over(open_size: bool) -> None:
    """With ceil_mode 65 rows pool to 33, as in Caffe; so do windows of 3 with stride 2, and padding is no value of its own."""
    model = nn.Sequential(
        nn.MaxPool2d(2, ceil_mode=True), nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.MaxPool2d((3, 2), (1, 2), (1, 0)), nn.MaxPool2d(3, 2, 1, True),
    ).eval()  # fmt: skip
    file = written(model, (2, None, None) if open_size else (2, 65, 46))
    assert file.output == (("N", 2, "rows", "columns") if open_size else ("N", 2, 9, 3))
    x = -1 - np.abs(images_of(2, 2, 65, 46))
    assert np.array_equal(runtime(file.content, x), model(mv.Tensor(x)).numpy())


def test_windows_that_begin_behind_the_image_are_refused() -> None:
    """ceil_mode with a stride past the window is written for a size where ONNX counts the same windows, and refused for others."""
    model = nn.Sequential(nn.MaxPool2d(2, 3, ceil_mode=True)).eval()
    agree(model, written(model, (1, 4, 5)).content, (2, 1, 4, 5))
    for size in (6, None):
        with pytest.raises(ConfigError, match="begin behind the image"):
            written(model, (1, size, 5))


def test_layers_of_other_programs() -> None:
    """Groups, dilation, uneven strides, scale and shift of a map and of features, features in TensorFlow's order, pooling to cells."""
    chain = nn.Sequential(
        nn.Affine(4), nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), (1, 2), groups=2, bias=False), nn.BatchNorm2d(6, eps=1e-3), nn.ReLU(),
        nn.AdaptiveAvgPool2d((3, 2)), nn.Flatten(channels_last=True), nn.Linear(36, 8), nn.Affine(8), nn.ReLU(), nn.Dropout(),
        nn.Flatten(), nn.Linear(8, 3, bias=False),
    )  # fmt: skip
    model = filled(chain)
    file = written(model, (4, 12, 8))
    operators = [node.op_type for node in onnx.load_from_string(file.content).graph.node]
    assert operators == ["Mul", "Add", "Conv", "BatchNormalization", "Relu", "AveragePool", "Transpose", "Flatten", "Gemm", "Mul", "Add",
                         "Relu", "Flatten", "Gemm"]  # fmt: skip
    agree(model, file.content, (2, 4, 12, 8))


def test_a_single_layer_without_a_name() -> None:
    """A module that is one layer has arrays without a prefix, and is a graph of one node."""
    model = filled(nn.Conv2d(2, 3, 3))
    file = written(model, (2, 6, 5))
    assert (file.nodes, file.output) == (1, ("N", 3, 4, 3))
    agree(model, file.content, (2, 2, 6, 5))


def test_softmax_and_normalising_are_nodes() -> None:
    """Pixels 0..255 go in, (pixels − mean) / std is what the layers see, and probabilities come out."""
    model = filled(models.vgg11(num_classes=4, image_size=32, width=1 / 16))
    mean, std = np.array([100, 110, 120], np.float32), np.array([50, 60, 70], np.float32)
    file = written(model, (3, 32, 32), mean=mean, std=std, softmax=True)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32)).astype(np.float32)
    z = model(mv.Tensor((pixels - mean[:, None, None]) / std[:, None, None])).numpy()
    wanted = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    assert file.output_name == "probabilities" and np.allclose(runtime(file.content, pixels), wanted, atol=1e-5)


def test_equal_networks_give_equal_bytes() -> None:
    """The file says opset 17, IR version 8 and minivgg's version, no time; its arrays are float32 under the network's names."""
    first, second = (written(filled(models.vgg11_bn(num_classes=2, width=1 / 64, head="linear")), (3, 32, 32)).content for _ in range(2))
    assert first == second
    model = onnx.load_from_string(first)
    assert (model.ir_version, [entry.version for entry in model.opset_import], model.doc_string) == (8, [17], "")
    assert (model.producer_name, model.producer_version) == ("minivgg", mv.__version__)
    state = filled(models.vgg11_bn(num_classes=2, width=1 / 64, head="linear")).state_dict()
    arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert list(arrays) == [name for name in state if not name.endswith("tracked")]
    assert all(array.dtype == np.float32 and np.array_equal(array, state[name]) for name, array in arrays.items())


def test_float64_is_rounded_once() -> None:
    """A network in float64 is written in float32, each value the nearest."""
    model = filled(models.vgg11(num_classes=2, width=1 / 64, head="linear").to(dtype="float64"))
    tensor = onnx.load_from_string(written(model, (3, 32, 32)).content).graph.initializer[0]
    assert np.array_equal(onnx.numpy_helper.to_array(tensor), model.state_dict()[tensor.name].astype(np.float32))


def layer(kind: str, **options: Any) -> list[nn.Layer]:
    """The one layer, x."""
    return [nn.Layer(kind, "x", options)]


ARRAYS = {"x.weight": np.ones((4, 3), np.float32)}
FILTERS = {"x.weight": np.ones((4, 3, 3, 3), np.float32)}


@pytest.mark.parametrize(
    ("layers", "arrays", "shape", "message"),
    [
        (layer("linear"), ARRAYS, (3, 5, 5), "x takes 3 features, but is given 3×5×5"),
        ([nn.Layer("flatten", "f"), *layer("linear")], ARRAYS, (3, 5, 5), "x takes 3 features, but is given 75 features.*--image-size"),
        ([nn.Layer("flatten", "f"), *layer("relu")], {}, (3, None, 5), r"f makes features of a map of 3×\?×5.*--image-size"),
        (layer("adaptive_avg_pool", output_size=[7, 7]), {}, (3, 8, 8), "7×7 cells of a map of 8×8.*--dense"),
        (layer("adaptive_avg_pool", output_size=[7, 7]), {}, (3, None, None), r"7×7 cells of a map of \?×\?.*--dense"),
        (layer("conv2d"), FILTERS, (1, 5, 5), "x .conv2d. takes a map of 3 channels, but is given 1×5×5"),
        (layer("conv2d"), FILTERS, (3, 2, 5), "x .conv2d.: the window is 3×3.* larger image"),
        (layer("conv2d"), {}, (3, 5, 5), 'x .conv2d. needs the array "x.weight"'),
        (layer("affine"), {"x.weight": np.ones(4)}, (3, 5, 5), "x .affine. has 4 channels, but is given 3×5×5"),
        (layer("lrn", size=4), {}, (3, 5, 5), "x .lrn. sums over 4 channels.* odd"),
        (layer("swish"), {}, (3, 5, 5), 'kind "swish", which is not written. Known: conv2d'),
        (layer("dropout"), {}, (3, 5, 5), "no layers that do anything"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_refused(layers: Any, arrays: Any, shape: Any, message: str) -> None:
    """Sizes that do not fit, and layers that ONNX does not have, are named, with what to do."""
    with pytest.raises(ConfigError, match=message):
        write(layers, arrays, shape)


def test_more_than_a_file_can_have_is_refused_before_it_is_made() -> None:
    """2.4 GB, here one number seen so often, are more than a protocol buffer holds."""
    arrays = {"x.weight": np.broadcast_to(np.float32(0), (60_000, 10_000))}
    with pytest.raises(ConfigError, match="have 2,400 MB, but an ONNX file can have at most 2,147 MB"):
        write([nn.Layer("flatten", "f"), *layer("linear")], arrays, (1, 100, 100))


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where onnx is not installed, the error says which command installs it."""
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ConfigError, match=r"pip install 'minivgg\[onnx\]'"):
        write(layer("relu"), {}, (3, 5, 5))


@pytest.mark.parametrize("name", ["vgg11_lrn", "vgg13_bn", "vgg16_1x1"])
def test_what_is_written_can_be_read(name: str) -> None:
    """The reader gives a chain that computes the same scores, normalising included, and tells sizes, classes and the soft-max."""
    model = filled(models.build(name, num_classes=7, image_size=64, width=1 / 16, ceil_mode=True))
    mean, std = np.array([100, 110, 120], np.float32), np.array([50, 60, 70], np.float32)
    for options in ({}, {"mean": mean, "std": std, "softmax": True}):
        graph = mv.weights.onnx.read_graph(io.BytesIO(written(model, (3, 64, 64), **options).content), "it.onnx")
        assert graph.input_shape[1:] == (3, 64, 64) and graph.classes == 7 and graph.softmax == bool(options)
        chain = nn.build_chain(graph.layers, {key: array.shape for key, array in graph.arrays.items()})
        chain.load_state_dict(graph.arrays, strict=False)
        x = images_of(2, 3, 64, 64)
        seen = (x - mean[:, None, None]) / std[:, None, None] if options else x
        wanted = model(mv.Tensor(seen)).numpy()
        assert np.abs(chain.eval()(mv.Tensor(x)).numpy() - wanted).max() <= 1e-5 * np.abs(wanted).max()
