"""pretrained.read by names: every network under every convention comes back as it was, and what does not fit is refused by name."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from minivgg import Tensor, models, no_grad, pretrained
from minivgg.errors import CheckpointError, ConfigError

from .foreign import CLASSES, SIZE, WRITERS, blue_first, network

# vgg16_weights.npz has no batch norm; under the paper's names A-LRN has A's arrays.
CASES = [
    (origin, name)
    for origin in WRITERS
    for name in models.MODELS
    if not (name.endswith("_lrn") and origin in {"Keras", "Caffe", "TensorFlow"}) and not (origin == "TensorFlow" and name.endswith("_bn"))
]


def written(folder: Path, arrays, name: str = "a.npz") -> Path:
    """The arrays in a file of NumPy's."""
    np.savez(folder / name, **arrays)
    return folder / name


def scores(model, images):
    """Logits of images (N, C, H, W), as an array."""
    with no_grad():
        return model(Tensor(images)).data


def equal(found, model, origin: str = "") -> None:
    """The arrays are the model's, bit for bit; of Keras' variances, to a float32's rounding."""
    state = model.state_dict()
    assert list(found.arrays) == list(state)
    for key, array in state.items():
        if origin == "Keras" and key.endswith("running_var"):
            assert np.allclose(found.arrays[key], array, rtol=1e-6, atol=2e-7)
        else:
            assert np.array_equal(found.arrays[key], array), key


@pytest.mark.parametrize(("origin", "name"), CASES, ids=[f"{origin}-{name}" for origin, name in CASES])
def test_a_network_of_any_origin_is_recognised(tmp_path: Path, origin: str, name: str) -> None:
    """Model, width, channels, classes, head and image size are found in names and shapes; the arrays are those that were written."""
    model = network(name)
    found = pretrained.read(written(tmp_path, WRITERS[origin](model, name)))
    assert (found.model, found.origin, found.whole, found.image_size) == (name, origin, True, SIZE)
    assert found.options["width"] == 1 / 16 and found.options["in_channels"] == 3 and found.options["head"] == "paper"
    assert found.options["ceil_mode"] == (origin == "Caffe") and len(found.classes) == CLASSES
    equal(found, model, origin)
    assert not found.report.missing and not found.report.left_over
    expected = pretrained.preparation("torchvision" if origin in {"torchvision", "timm"} else "caffe").transform(SIZE)
    assert found.transform == expected


@pytest.mark.parametrize("origin", list(WRITERS))
def test_scores_are_the_same(tmp_path: Path, origin: str) -> None:
    """A built network gives the scores of the one that was written, to 1e-6 of the largest."""
    name = "vgg11" if origin == "TensorFlow" else "vgg11_bn"
    model = network(name)
    found = pretrained.read(written(tmp_path, WRITERS[origin](model, name))).build()
    x = np.random.default_rng(1).standard_normal((2, 3, SIZE, SIZE)).astype(np.float32)
    expected = scores(model, x)
    assert np.abs(scores(found, x) - expected).max() <= 1e-6 * np.abs(expected).max()


def test_filters_for_blue_first_see_the_same_image(tmp_path: Path) -> None:
    """What Caffe computes of an image in BGR, the network read computes of it in RGB; told that the file is of torchvision's
    preparation, nothing is turned."""
    model = network("vgg11")
    arrays = WRITERS["Caffe"](model, "vgg11")
    original = network("vgg11")
    state = dict(model.state_dict())
    state["features.0.weight"] = arrays["conv1_1.weight"]  # as Caffe has it
    original.load_state_dict(state)
    rgb = np.random.default_rng(1).standard_normal((1, 3, SIZE, SIZE)).astype(np.float32)
    path = written(tmp_path, arrays)
    found = pretrained.read(path)
    assert np.allclose(scores(found.build(), rgb), scores(original, np.ascontiguousarray(rgb[:, ::-1])), rtol=1e-4, atol=1e-5)
    assert "BGR → RGB" in str(found.report) and any("blue" in note for note in found.notes)
    plain = pretrained.read(path, prepared="torchvision")
    assert np.array_equal(plain.arrays["features.0.weight"], arrays["conv1_1.weight"]) and not plain.notes
    ported = pretrained.read(written(tmp_path, model.state_dict(), "b.npz"), prepared="caffe")
    assert np.array_equal(ported.arrays["features.0.weight"], blue_first(model.state_dict()["features.0.weight"]))


@pytest.mark.parametrize(
    "options",
    [{"width": 0.1}, {"width": 0.3}, {"in_channels": 1}, {"head": "linear"}, {"num_classes": 1}, {"image_size": 32}, {"width": 1 / 64}],
    ids=str,
)
def test_sizes_are_found(tmp_path: Path, options) -> None:
    """Odd widths, grey images, one class, a linear head: the network that is built has the arrays' shapes."""
    model = network("vgg13_bn", **options)
    found = pretrained.read(written(tmp_path, model.state_dict()))
    assert found.model == "vgg13_bn" and found.options["head"] == options.get("head", "paper")
    equal(found, model)
    built = found.build().state_dict()
    assert {key: array.shape for key, array in built.items()} == {key: array.shape for key, array in model.state_dict().items()}


@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod.module.", "backbone.", "net."])
def test_wrappers_prefixes_are_taken_off(tmp_path: Path, prefix: str) -> None:
    """Names that all begin as wrappers make them are read without it, and it is told."""
    model = network("vgg11")
    found = pretrained.read(written(tmp_path, {prefix + key: array for key, array in model.state_dict().items()}))
    equal(found, model)
    assert found.notes == (f'"{prefix}" was taken off all names.',) and found.report.matched[0].theirs == f"{prefix}features.0.weight"


def test_counters_and_biases_may_be_absent(tmp_path: Path) -> None:
    """Files older than num_batches_tracked, and convolutions without a bias behind batch norm, are whole."""
    model = network("vgg11_bn")
    state = dict(model.state_dict())
    convolutions = {modules[0] for layer, modules in models.blocks("vgg11_bn").items() if layer.startswith("conv")}
    kept = {key: a for key, a in state.items() if "num_batches" not in key and key.removesuffix(".bias") not in convolutions}
    found = pretrained.read(written(tmp_path, kept))
    assert found.model == "vgg11_bn" and not found.arrays["features.0.bias"].any() and any("biases" in note for note in found.notes)
    found.build()


def test_features_without_a_classifier(tmp_path: Path) -> None:
    """A file of features alone is no whole network, and `only` makes one of any file; both build."""
    model = network("vgg16")
    features = {key: array for key, array in model.state_dict().items() if key.startswith("features")}
    for path, only in ((written(tmp_path, features), ""), (written(tmp_path, model.state_dict(), "b.npz"), "features")):
        found = pretrained.read(path, only=only)
        assert found.model == "vgg16" and not found.whole and found.classes == () and found.image_size == 224
        assert list(found.arrays) == list(features)
        assert np.array_equal(found.build().state_dict()["features.28.weight"], features["features.28.weight"])
    assert pretrained.read(tmp_path / "b.npz", only="features", image_size=96).image_size == 96


def other_head(state):
    """The network with a classifier of somebody's own."""
    rest = {key: array for key, array in state.items() if key.startswith("features")}
    return {**rest, "classifier.0.weight": np.ones((7, 128), np.float32), "classifier.0.bias": np.ones(7, np.float32)}


def without(state, *names):
    """Some arrays fewer."""
    return {key: array for key, array in state.items() if key not in names}


FAULTS = {
    "a classifier of another kind": (other_head, "2 left over: classifier.0.weight"),
    "a missing bias": (lambda state: without(state, "classifier.6.bias"), "1 missing: classifier.6.bias"),
    "a missing filter": (lambda state: without(state, "features.3.weight"), "1 missing: features.3.weight"),
    "something left over": (lambda state: {**state, "ema.decay": np.ones(1, np.float32)}, "1 left over: ema.decay"),
    "a wrong shape": (
        lambda state: {**state, "features.3.weight": np.ones((8, 4, 5, 5), np.float32)},
        "features.3.weight needs (8, 4, 3, 3)",
    ),
    "whole numbers": (lambda state: {**state, "features.3.bias": np.ones(8, np.int32)}, "features.3.bias needs (8,) floats"),
    "not a number": (lambda state: {**state, "features.3.bias": np.full(8, np.nan, np.float32)}, "features.3.bias (8,) holds NaN"),
    "infinity": (lambda state: {**state, "features.3.bias": np.full(8, -np.inf, np.float16)}, "features.3.bias (8,) holds NaN"),
    "another network": (lambda state: {"layer1.0.conv1.weight": np.ones((4, 3, 3, 3), np.float32)}, "layer1.0.conv1.weight"),
    "nothing": (lambda state: {}, "its 0 arrays (none)"),
}


@pytest.mark.parametrize("fault", list(FAULTS))
def test_what_does_not_fit_is_refused_in_one_line(tmp_path: Path, fault: str) -> None:
    """CheckpointError: one line that begins with the path and names the array."""
    change, text = FAULTS[fault]
    path = written(tmp_path, change(dict(network("vgg11").state_dict())))
    with pytest.raises(CheckpointError) as caught:
        pretrained.read(path)
    assert str(caught.value).startswith(f"{path}: ") and text in str(caught.value) and "\n" not in str(caught.value)


def test_strict_or_not(tmp_path: Path) -> None:
    """Without `strict` what fits is loaded: left-over arrays are passed over, a classifier that does not fit is left out; features are
    needed in any case."""
    state = dict(network("vgg11").state_dict())
    more = pretrained.read(written(tmp_path, {**state, "ema.decay": np.ones(1, np.float32)}), strict=False)
    assert more.whole and more.report.left_over == ("ema.decay",) and "left over: ema.decay" in str(more.report)
    other = pretrained.read(written(tmp_path, other_head(state)), strict=False)
    assert not other.whole and set(other.report.left_over) == {"classifier.0.weight", "classifier.0.bias"}
    with pytest.raises(CheckpointError, match=r"features\.3\.weight"):
        pretrained.read(written(tmp_path, without(state, "features.3.weight")), strict=False)
    with pytest.raises(CheckpointError, match="features beyond it"):
        pretrained.read(written(tmp_path, {**state, "features.99.weight": state["features.3.weight"]}), only="features")


def test_wishes_that_cannot_be_are_usage_errors(tmp_path: Path) -> None:
    """Unknown preparations and models, image sizes that the classifier is not for, and wishes at a file that says all itself."""
    path = written(tmp_path, network("vgg11").state_dict())
    pretrained.save(tmp_path / "own.safetensors", pretrained.read(path))
    for wishes, text in (
        ({"prepared": "coffee"}, "caffe"),
        ({"model": "vgg12"}, "vgg11"),
        ({"only": "classifier"}, "features"),
        ({"image_size": 96}, "64 to 95"),
        ({"image_size": 8}, r"32\.\.4096"),
    ):
        with pytest.raises(ConfigError, match=text):
            pretrained.read(path, **wishes)
    with pytest.raises(ConfigError, match="says itself"):
        pretrained.read(tmp_path / "own.safetensors", prepared="unit")
    with pytest.raises(CheckpointError, match="vgg13"):
        pretrained.read(path, model="vgg13")
    caffe = written(tmp_path, WRITERS["Caffe"](network("vgg11_lrn"), "vgg11_lrn"), "c.npz")
    assert [pretrained.read(caffe, model=name).model for name in ("", "vgg11_lrn")] == ["vgg11", "vgg11_lrn"]
    assert pretrained.read(path, image_size=80).image_size == 80


@pytest.mark.parametrize("bfloat16", [False, True])
def test_own_files_say_what_they_are(tmp_path: Path, bfloat16: bool) -> None:
    """What is saved comes back equal in every field but the report; in bfloat16 every number within 2⁻⁸ of what it was."""
    found = pretrained.read(written(tmp_path, WRITERS["Caffe"](network("vgg11_bn"), "vgg11_bn")))
    pretrained.save(tmp_path / "own.safetensors", found, bfloat16)
    again = pretrained.read(tmp_path / "own.safetensors")
    assert dataclasses.replace(again, arrays={}, report=found.report) == dataclasses.replace(found, arrays={})
    for key, array in found.arrays.items():
        assert again.arrays[key].dtype == array.dtype
        assert np.all(np.abs(again.arrays[key] - array) <= bfloat16 * np.abs(array) * 2**-8)
    features = pretrained.read(tmp_path / "own.safetensors", only="features")
    assert not features.whole and all(name.startswith("features") for name in features.arrays)
    assert [match.layer for match in again.report.matched][:3] == ["conv1_1"] * 3


def test_claims_are_cheap_to_refuse(tmp_path: Path) -> None:
    """A name of a thousand prefixes, a class without weights and a hundred thousand too many, and a file of this package's own that
    claims to be of a gigantic network: refused, before anything of that size is made."""
    state = dict(network("vgg11").state_dict())
    deep = pretrained.read(written(tmp_path, {"module." * 3 + key: array for key, array in state.items()}))
    assert deep.model == "vgg11"
    many = {"classifier.6.weight": np.zeros((200_000, 1), np.float32), "classifier.6.bias": np.zeros(200_000, np.float32)}
    none = {"classifier.6.weight": np.zeros((0, 256), np.float32), "classifier.6.bias": np.zeros(0, np.float32)}
    for arrays in ({"model." * 1000 + "a": np.ones(1)}, {**state, **many}, {**state, **none}):
        with pytest.raises(CheckpointError):
            pretrained.read(written(tmp_path, arrays, "b.npz"))
    found = pretrained.read(written(tmp_path, state))
    for options in ({"width": 10_000.0}, {"image_size": 1 << 20}, {"width": "wide"}):
        pretrained.save(tmp_path / "own.safetensors", dataclasses.replace(found, options={**found.options, **options}))
        with pytest.raises(CheckpointError, match="do not make a network"):
            pretrained.read(tmp_path / "own.safetensors").build()
    pretrained.save(tmp_path / "own.safetensors", dataclasses.replace(found, options={"width": 1.0}))
    with pytest.raises(CheckpointError, match="does not describe a model"):
        pretrained.read(tmp_path / "own.safetensors")


def test_a_caffe_file_says_how_it_pools(tmp_path: Path) -> None:
    """Metadata of a file with Caffe's names overrule its rounding up."""
    arrays = {key: np.ascontiguousarray(array) for key, array in WRITERS["Caffe"](network("vgg11"), "vgg11").items()}
    for pooling in ("ceil", "floor"):
        save_file(arrays, tmp_path / "c.safetensors", {"format": "caffe", "pooling": pooling})
        assert pretrained.read(tmp_path / "c.safetensors").options["ceil_mode"] == (pooling == "ceil")


def test_the_report_is_a_table(tmp_path: Path) -> None:
    """A line for each layer, at most 100 characters, with what was done to it."""
    found = pretrained.read(written(tmp_path, WRITERS["Keras"](network("vgg19_bn"), "vgg19_bn")))
    lines = str(found.report).splitlines()
    assert len(lines) == 1 + 19 + 1 and max(map(len, lines)) <= 100
    assert lines[1].startswith("conv1_1  features.0, 1") and "block1_conv1/kernel +5" in lines[1] and "HWIO → OIHW, BGR → RGB" in lines[1]
    assert lines[17].startswith("fc6") and lines[17].endswith("transposed, HWC → CHW")
    assert lines[-1].startswith(f"{len(found.report.matched)} arrays matched, 0 missing, 0 left over")
