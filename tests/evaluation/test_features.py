"""Features are what the named layer says, averaged over places, mirror images and scales, of length 1; and they keep in files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from minivgg import data, models
from minivgg.autograd import mode
from minivgg.autograd.core import Tensor
from minivgg.backend.device import Device
from minivgg.errors import ConfigError, DataError, NumericalError, OutOfMemoryError
from minivgg.evaluation.bands import bytes_per_pixel
from minivgg.evaluation.feature_file import FeatureFile, FeatureSet, read_features, write_features
from minivgg.evaluation.features import features, features_of_parts
from minivgg.train import Predictor, TrainConfig

NORMALISE = data.Normalise((0.5,) * 3, (0.25,) * 3)


def predictor(head: str = "linear", model: str = "vgg11_bn", **options: Any) -> Predictor:
    """An untrained network for colour images of any size, of which batch norm has statistics of its own."""
    config = TrainConfig(model=model, width=1 / 16, head=head, image_size=32, batch_size=32, device="cpu")
    made = models.build(model, num_classes=3, in_channels=3, image_size=32, width=1 / 16, head=head, seed=1).eval()
    rng = np.random.default_rng(0)
    for name, array in made.state_dict().items():
        if "running" in name:
            array[...] = rng.uniform(0.5, 1.5, array.shape) - (name.endswith("mean"))
    steps = data.Compose((data.Rescale(32, 32), data.Crop(32), NORMALISE))
    return Predictor(made, ("a", "b", "c"), steps, (None, None, 3), config, Device("cpu"), {}, **options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of photographs of several sizes, in train/ and test/."""
    rng = np.random.default_rng(0)
    sizes = {"train/x": [(40, 50), (33, 33)], "train/y": [(50, 40), (32, 61)], "test/x": [(45, 45)], "test/y": [(64, 32), (40, 50)]}
    for place, found in sizes.items():
        (tmp_path / "photos" / place).mkdir(parents=True)
        for k, size in enumerate(found):
            Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(tmp_path / "photos" / place / f"{k}.png")
    return tmp_path / "photos"


def naive(maker: Predictor, image: np.ndarray, sides: list[int], layer: Any, flip: bool) -> list[np.ndarray]:
    """For each scale the mean over places and mirror images of what `layer` of the network says, one view at a time."""
    found = []
    for side in sides:
        views = [data.rescale(image, side)]
        views += [views[0][:, ::-1]] if flip else []
        maps = []
        for view in views:
            pixels = ((view / 255 - 0.5) / 0.25).astype(np.float32).transpose(2, 0, 1)[None]
            with mode.no_grad():
                maps.append(layer(Tensor(np.ascontiguousarray(pixels))).data[0].astype(np.float64))
        found.append(np.mean([m.reshape(len(m), -1).mean(1) for m in maps], axis=0))
    return found


def unit(x: np.ndarray) -> np.ndarray:
    """x / |x|."""
    return x / np.linalg.norm(x)


@pytest.mark.parametrize(("flip", "sides"), [(False, [32]), (True, [48]), (True, [32, 40, 64])])
def test_features_are_averages_by_a_naive_loop(folder: Path, flip: bool, sides: list[int]) -> None:
    """Photographs of several sizes, the last map of a network with global pooling: each image by itself, in the set's order."""
    maker, images = predictor(), data.parts(folder).train
    found = features(maker, images, scales=sides, flip=flip)
    stacked = features(maker, images, scales=sides, flip=flip, stack=True)
    for k in range(len(images)):
        expected = naive(maker, images.read(np.array([k]))[0], sides, maker.model.features, flip)
        assert found.x[k] == pytest.approx(unit(np.mean(expected, axis=0)), abs=1e-6)
        assert stacked.x[k] == pytest.approx(unit(np.concatenate(expected)), abs=1e-6)
    assert found.x.dtype == np.float32 and found.names == ("x/0.png", "x/1.png", "y/0.png", "y/1.png")
    assert found.y.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("head", ["paper", "linear"])
def test_the_penultimate_layer_is_what_the_last_one_is_given(folder: Path, head: str) -> None:
    """For an image of the network's own size: the last linear layer's input, behind ReLU, without dropout."""
    maker, seen = predictor(head), []
    images = data.parts(folder).train.take(np.array([1]))  # 33×33, scaled to 32
    last = maker.model.classifier if head == "linear" else maker.model.classifier[6]
    remove = last.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].data[0]))
    naive(maker, images.read(np.array([0]))[0], [32], maker.model, False)
    remove()
    found = features(maker, images, flip=False)
    assert found.x[0] == pytest.approx(unit(seen[0]), abs=1e-6)
    assert found.x.shape[1] == (256 if head == "paper" else 32)


@pytest.mark.parametrize("layer", ["features.0", "features.3", "features.25", "classifier.0", "classifier.4", "classifier.6"])
def test_any_layer_by_its_path(folder: Path, layer: str) -> None:
    """The mean of the map that a forward hook sees on the dense network, before what follows; mirror images are averaged."""
    maker, images = predictor("paper"), data.parts(folder).train.take(np.array([0]))
    network, seen = models.dense(maker.model), []
    part, number = layer.split(".")
    getattr(network, part)[int(number)].register_forward_hook(lambda module, inputs, output: seen.append(output))

    def said(x: Tensor) -> Tensor:
        network(x)
        return seen[-1]

    (expected,) = naive(maker, images.read(np.array([0]))[0], [40], said, True)
    assert features(maker, images, layer, scales=[40]).x[0] == pytest.approx(unit(expected), abs=1e-6)


@pytest.mark.parametrize(
    ("model", "head", "name", "path"),
    [
        ("vgg11", "paper", "conv1_1", "features.1"),
        ("vgg16_bn", "linear", "conv5_3", "features.42"),
        ("vgg11", "paper", "fc7", "classifier.4"),
        ("vgg11", "paper", "fc8", "classifier.6"),
        ("vgg11", "linear", "fc8", "classifier"),
    ],
)
def test_a_name_of_the_paper_means_what_is_behind_the_relu(folder: Path, model: str, head: str, name: str, path: str) -> None:
    """By hand from the table of layers: the ReLU's path, or the last layer's, which has none."""
    maker, images = predictor(head, model), data.parts(folder).test
    assert (features(maker, images, name).x == features(maker, images, path).x).all()


def test_little_memory_gives_the_same_features_or_an_error() -> None:
    """A long image goes through in bands; up to a layer in the middle it must fit, and the message has the numbers."""
    strip = np.random.default_rng(0).integers(0, 256, (1, 32, 480, 3), np.uint8)
    maker, images = predictor(model="vgg11"), data.Dataset(strip, np.zeros(1, np.int64), ("a",), "strip")
    each = bytes_per_pixel(models.dense(maker.model))
    whole, banded = (features(maker, images, memory=memory).x for memory in (None, 32 * 300 * each))
    assert banded == pytest.approx(whole, abs=1e-6)
    with pytest.raises(OutOfMemoryError, match=r"an image of 32×480 needs about .* up to features\.3, but only 100 kB may be used"):
        features(maker, images, "features.3", memory=100_000)


def test_features_that_are_all_zero_stay_zero(folder: Path) -> None:
    """A dead layer has no direction: zeros rather than NaN; NaN in the weights is an error that names the image."""
    maker, images = predictor(model="vgg11"), data.parts(folder).train
    conv = maker.model.features[0]
    conv.weight.data[...] = 0
    conv.bias.data[...] = -1
    assert not features(maker, images, "features.1").x.any()
    conv.bias.data[...] = np.nan
    with pytest.raises(NumericalError, match=r"for photos/train, image x/0\.png, are not finite"):
        features(maker, images, "features.1")


def test_what_cannot_be_made_is_refused(folder: Path) -> None:
    """An unknown layer, a scale below the crop, grey images for a colour network: the nearest name, or the numbers."""
    maker, images = predictor(), data.parts(folder).train
    with pytest.raises(ConfigError, match=r'no layer "features\.99": did you mean features\.'):
        features(maker, images, "features.99")
    with pytest.raises(ConfigError, match="a scale of 16 pixels is too small"):
        features(maker, images, scales="16")
    with pytest.raises(DataError, match=r"has 1 channel\(s\), but the model was trained on 3"):
        features(maker, data.parts(folder, grey=True).train)


def test_a_file_holds_all_parts_and_how_they_were_made(folder: Path, tmp_path: Path) -> None:
    """Parts, labels, names, the folder's own classes; written twice it is the same file; no path of this machine is in it."""
    made = features_of_parts(predictor(), data.parts(folder), scales="32,48")
    for name in ("one.npz", "two.npz"):
        write_features(tmp_path / name, made)
    content = (tmp_path / "one.npz").read_bytes()
    assert content == (tmp_path / "two.npz").read_bytes()
    assert str(folder).encode() not in content
    found = read_features(tmp_path / "one.npz")
    assert set(found.sets) == {"train", "test"} and found.classes == ("x", "y")
    for part, expected in made.sets.items():
        assert (found.sets[part].x == expected.x).all() and (found.sets[part].y == expected.y).all()
        assert found.sets[part].names == expected.names
    assert found.how == made.how and found.how["scales"] == [32, 48] and found.how["layer"] == "penultimate"
    with np.load(io.BytesIO(content)) as arrays:  # NumPy itself reads it
        assert arrays["x_test"].shape == (3, 32) and arrays["classes"].tolist() == ["x", "y"]


def test_a_set_without_parts_is_x_y_names(folder: Path, tmp_path: Path) -> None:
    """A flat folder gives arrays without a part's name."""
    write_features(tmp_path / "flat.npz", features_of_parts(predictor(), data.parts(folder / "train")))
    with np.load(tmp_path / "flat.npz") as arrays:
        assert sorted(arrays) == ["classes", "how", "names", "x", "y"]


GOOD: dict[str, Any] = {"x": np.ones((2, 3), np.float32), "y": np.array([0, 1])}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": None, "y": None, "classes": np.array(["a"])}, "there are no features in it"),
        ({"y": None}, "there is no y: features and labels are needed"),
        ({"x": np.full((2, 3), np.nan)}, "x has NaN or Inf in 2 of 2 rows, first in row 0"),
        ({"x": np.ones((2, 3, 1))}, r"x must be numbers \(N, D\) .* float64 \(2, 3, 1\)"),
        ({"y": np.array([0, -1])}, "y must be numbers of classes, from 0, but has -1 to 0"),
        ({"y": np.array([0, 5]), "classes": np.array(["a", "b"])}, "label 5 names no class: there are 2"),
        ({"x_test": np.ones((2, 4)), "y_test": np.array([0, 1])}, "features of different widths"),
        ({"names": np.array(["a"])}, "names has 1 names for 2 images"),
        ({"how": np.array("{")}, "how is not JSON"),
        ({"how": np.array("[1]")}, "how must be a JSON object"),
    ],
)
def test_unusable_files_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """Each fault is a DataError that names the path and the array."""
    np.savez(tmp_path / "f.npz", **{name: array for name, array in {**GOOD, **changes}.items() if array is not None})
    with pytest.raises(DataError, match=message) as caught:
        read_features(tmp_path / "f.npz")
    assert "f.npz" in str(caught.value)


def test_files_of_other_programs_do(tmp_path: Path) -> None:
    """x and y suffice: names and classes are numbers."""
    np.savez(tmp_path / "f.npz", **GOOD)
    found = read_features(tmp_path / "f.npz")
    assert found.classes == ("0", "1") and found.sets[""].names == ("0", "1") and not found.how
    taken = found.sets[""].take(np.array([1]))
    assert isinstance(taken, FeatureSet) and taken.y.tolist() == [1]
    assert isinstance(found, FeatureFile)
