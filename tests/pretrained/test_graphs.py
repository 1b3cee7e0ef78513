"""Graphs of layers, as ONNX files give them: a VGG is found again, whatever stands in the place of its layers; others stay chains."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from minivgg import Tensor, models, nn, no_grad, pretrained
from minivgg.errors import CheckpointError, ConfigError
from minivgg.pretrained.assembling import Wishes
from minivgg.pretrained.graphs import of_graph
from minivgg.pretrained.told import KEYS, as_told
from minivgg.weights.onnx import Graph
from minivgg.weights.onnx.properties import read_properties

from .foreign import CLASSES, SIZE, blue_first, network, place_by_place


def graph_of(model, size: int | None = SIZE, drop=(), **changes) -> Graph:
    """The layers of a model under the names that a reader gives: "0", "1", …; those of the kinds in `drop` left out."""
    layers, arrays, state = [], {}, model.state_dict()
    for layer in models.layers(model):
        if layer.kind in drop:
            continue
        name = str(len(layers))
        layers.append(nn.Layer(layer.kind, name, layer.options))
        parts = {key[len(layer.name) + 1 :]: a for key, a in state.items() if key.startswith(f"{layer.name}.")}
        arrays.update({f"{name}.{part}": a for part, a in parts.items() if part != "num_batches_tracked"})
    values = {"input_shape": (None, 3, size, size), "channels_last": False, "classes": CLASSES, "softmax": False, "notes": ()}
    return Graph(**{"layers": tuple(layers), "arrays": arrays, **values, **changes})


def changed(graph: Graph, position: int, layer: nn.Layer, arrays=None, **changes) -> Graph:
    """The graph with another layer at a position."""
    layers = [*graph.layers[:position], layer, *graph.layers[position + 1 :]]
    values = {key: getattr(graph, key) for key in ("input_shape", "channels_last", "classes", "softmax", "notes")}
    return Graph(**{"layers": tuple(layers), "arrays": {**graph.arrays, **(arrays or {})}, **values, **changes})


def scores(model, images):
    """Logits, as an array."""
    with no_grad():
        return model(Tensor(images)).data


def read(graph: Graph, **wishes):
    """The network of a graph."""
    return of_graph(graph, "a.onnx", Wishes(**wishes))


@pytest.mark.parametrize("head", ["paper", "linear"])
@pytest.mark.parametrize("name", list(models.MODELS))
def test_every_network_is_found_in_its_layers(name: str, head: str) -> None:
    """From the layers alone: model, head, sizes and arrays; with Dropout and adaptive pooling in the graph, and without."""
    model = network(name, head=head, ceil_mode=name == "vgg19")
    graphs = [graph_of(model)]
    if name == "vgg11_lrn":  # as ONNX has it: α is divided by the size, in float32
        lrn = nn.Layer("lrn", "2", {"size": 5, "alpha": float(np.float32(5e-4)), "beta": 0.75, "k": 2.0, "alpha_over_n": True})
        graphs.append(changed(graphs[0], 2, lrn))
    if head == "paper":
        graphs.append(graph_of(model, drop=("dropout", "adaptive_avg_pool")))
    for graph in graphs:
        found = read(graph)
        assert (found.model, found.options["head"], found.whole, found.origin) == (name, head, True, "ONNX")
        assert found.options["ceil_mode"] == (name == "vgg19") and found.image_size == SIZE
        assert {key: a.shape for key, a in found.arrays.items()} == {key: a.shape for key, a in model.state_dict().items()}
        assert all(np.array_equal(found.arrays[key], a) for key, a in model.state_dict().items())
        found.build()


def test_a_map_flattened_place_by_place_is_turned() -> None:
    """fc6 of a graph made with TensorFlow has its inputs in another order; the network read has the scores all the same."""
    model = network("vgg11")
    graph = graph_of(model)
    at = next(i for i, layer in enumerate(graph.layers) if layer.kind == "flatten")
    fc6 = f"{at + 1}.weight"
    graph = changed(graph, at, nn.Layer("flatten", str(at), {"channels_last": True}), {fc6: place_by_place(graph.arrays[fc6], 32, 2)})
    found = read(graph)
    assert np.array_equal(found.arrays["classifier.0.weight"], model.state_dict()["classifier.0.weight"])
    assert "HWC → CHW" in str(found.report)


@pytest.mark.parametrize("kind", ["affine", "batch_norm"])
def test_what_stands_for_a_batch_norm_is_read_as_one(kind: str) -> None:
    """A scale and shift, or a batch norm with another ε: the network has the scores of the chain, to rounding."""
    model = network("vgg11_bn")
    graph = graph_of(model)
    for i, layer in enumerate(graph.layers):
        if layer.kind == "batch_norm":
            graph = changed(graph, i, nn.Layer(kind, layer.name, {} if kind == "affine" else {"eps": 1e-3}))
    kept = {name: array for name, array in graph.arrays.items() if kind == "batch_norm" or "running" not in name}
    graph = changed(graph, 0, graph.layers[0], arrays=None)
    graph = Graph(**{**{key: getattr(graph, key) for key in graph.__dataclass_fields__}, "arrays": kept})
    chain = nn.build_chain(graph.layers, {name: array.shape for name, array in kept.items()})
    chain.load_state_dict(kept, strict=False)
    found = read(graph)
    assert found.model == "vgg11_bn" and found.notes
    x = np.random.default_rng(0).standard_normal((2, 3, SIZE, SIZE)).astype(np.float32)
    expected = scores(chain.eval(), x)
    assert np.abs(scores(found.build(), x) - expected).max() <= 2e-6 * np.abs(expected).max()


def test_another_classifier_makes_a_chain_with_a_vggs_features() -> None:
    """Keras' habit of a small head of one's own: as a whole a chain that computes what the graph does; `only` gives the VGG."""
    model = network("vgg16")
    graph = graph_of(model)
    last = len(graph.layers)
    more = (nn.Layer("relu", str(last)), nn.Layer("linear", str(last + 1)))
    weight = np.random.default_rng(0).standard_normal((3, CLASSES)).astype(np.float32)
    arrays = {**graph.arrays, f"{last + 1}.weight": weight}
    graph = Graph((*graph.layers, *more), arrays, (None, 3, 64, 64), True, 3, True, ("Softmax at the end dropped.",))
    found = read(graph)
    assert found.model == "" and found.layers == graph.layers and found.classes == ("class 0", "class 1", "class 2")
    assert found.image_size == 64 and found.notes == graph.notes and found.normalise.std == (1.0, 1.0, 1.0)
    x = np.random.default_rng(0).standard_normal((2, 3, SIZE, SIZE)).astype(np.float32)
    expected = np.maximum(scores(model, x), 0) @ weight.T
    assert np.allclose(scores(found.build(), x), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    features = read(graph, only="features")
    assert features.model == "vgg16" and not features.whole and len(features.arrays) == 26
    assert all(np.array_equal(a, model.state_dict()[key]) for key, a in features.arrays.items())
    with pytest.raises(ConfigError, match="64×64"):
        read(graph, image_size=224)


def test_features_alone_and_blue_first() -> None:
    """A graph without a classifier is no whole network; told that it wants blue first, its first filters are turned round."""
    model = network("vgg11")
    whole = graph_of(model)
    end = next(i for i, layer in enumerate(whole.layers) if layer.kind == "adaptive_avg_pool")
    arrays = {name: array for name, array in whole.arrays.items() if int(name.partition(".")[0]) < end}
    graph = Graph(whole.layers[:end], arrays, (None, 3, None, None), False, 0, False, ())
    found = read(graph, prepared="caffe")
    assert not found.whole and found.classes == () and found.model == "vgg11"
    assert np.array_equal(found.arrays["features.0.weight"], blue_first(model.state_dict()["features.0.weight"]))


def test_what_is_no_vgg(tmp_path: Path) -> None:
    """A stride of 2 makes a chain, of which neither features nor a model can be had; NaN and oblong images are refused."""
    graph = graph_of(network("vgg11"))
    strided = changed(graph, 0, nn.Layer("conv2d", "0", {"stride": (2, 2), "padding": (1, 1)}))
    assert read(strided).model == ""
    for wishes in ({"only": "features"}, {"model": "vgg11"}):
        with pytest.raises(CheckpointError, match=r"^a\.onnx: its \d+ layers are not those of"):
            read(strided, **wishes)
    with pytest.raises(CheckpointError, match=r"vgg11, not of vgg13"):
        read(graph, model="vgg13")
    with pytest.raises(CheckpointError, match=r"0\.bias \(4,\) holds NaN"):
        read(changed(graph, 0, graph.layers[0], {"0.bias": np.full(4, np.nan, np.float32)}))
    with pytest.raises(CheckpointError, match="64×96"):
        read(changed(strided, 1, graph.layers[1], input_shape=(None, 3, 64, 96)))


def test_a_file_of_our_own_tells_its_preprocessing_and_classes() -> None:
    """Metadata of an ONNX file, as a message: what `export` writes there is taken, but for a wish; other texts are passed over, and
    nonsense is refused."""
    network_read = read(graph_of(network("vgg11")))
    told = pretrained.preparation("torchvision").transform(SIZE)
    names = [f"kind {k}" for k in range(CLASSES)]
    texts = {"minivgg.preprocessing": json.dumps(told.to_json()), "classes": json.dumps(names), "author": "somebody"}
    message = b"".join(entry(key, value) for key, value in texts.items())
    found = read_properties(io.BytesIO(message), "a.onnx", KEYS)
    assert found == {key: texts[key] for key in KEYS}
    taken = as_told(network_read, found, "a.onnx", "")
    assert taken.transform == told and taken.classes == tuple(names)
    assert as_told(network_read, found, "a.onnx", "unit").transform == network_read.transform
    for strange in ('{"0": "cat"}', json.dumps(["\x1b[31m", *names[1:]])):
        assert as_told(network_read, {"classes": strange}, "a.onnx", "").classes == network_read.classes
    for text in ("", "[" * 5000, '{"name": "melt"}', "3"):
        with pytest.raises(CheckpointError, match=r"^a\.onnx: its metadata"):
            as_told(network_read, {"minivgg.preprocessing": text}, "a.onnx", "")


def entry(key: str, value: str) -> bytes:
    """A field 14 of ModelProto, by hand: key and value as fields 1 and 2, each with its length."""
    inner = b"".join(bytes([8 * number + 2]) + length(len(text)) + text for number, text in ((1, key.encode()), (2, value.encode())))
    return bytes([8 * 14 + 2]) + length(len(inner)) + inner


def length(n: int) -> bytes:
    """A varint below 2¹⁴."""
    return bytes([n]) if n < 128 else bytes([n & 127 | 128, n >> 7])
