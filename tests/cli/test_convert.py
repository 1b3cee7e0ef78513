"""`minivgg convert`, and what other commands do with foreign and converted files."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minivgg import models, pretrained, weights
from minivgg.cli import run
from minivgg.train import Predictor

from ..pretrained.foreign import SIZE, WRITERS, network

TINY = ["--width", "0.0625", "--epochs", "1", "--batch-size", "16", "--device", "cpu", "--workers", "0"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a photograph, a folder of images of two classes, and one network under four conventions."""
    folder = tmp_path_factory.mktemp("place")
    rng = np.random.default_rng(0)
    for name in ("a.png", "images/class 0/b.png", "images/class 1/c.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (90, 70, 3), np.uint8)).save(folder / name)
    model = network("vgg11", num_classes=2)
    for origin in ("torchvision", "Keras", "Caffe", "timm"):
        np.savez(folder / f"{origin}.npz", **WRITERS[origin](model, "vgg11"))
    return folder


def minivgg(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    capsys.readouterr()
    code = run([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_converted_files_score_as_their_originals(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """predict gives the same probabilities for a foreign file and for what convert made of it, and for the same network under another
    convention with the same preparation."""
    code, out, _ = minivgg(capsys, "convert", place / "Keras.npz", tmp_path / "k.safetensors")
    assert code == 0 and "conv1_1" in out and "BGR → RGB" in out and "vgg11 ×0.0625, 2 classes, paper head" in out
    found = []
    for file in (place / "Keras.npz", tmp_path / "k.safetensors", place / "Caffe.npz"):
        code, out, err = minivgg(capsys, "predict", file, place / "a.png", "--device", "cpu", "--format", "json")
        assert code == 0, err
        found.append([(entry["class"], entry["probability"]) for entry in json.loads(out)[0]["predictions"]])
    assert found[0] == found[1] and len(found[0]) == 2
    assert [name for name, _ in found[2]] == [name for name, _ in found[0]]
    assert np.allclose([p for _, p in found[2]], [p for _, p in found[0]], rtol=1e-6)


def test_features_and_evaluate_take_foreign_files(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file of torchvision's names gives features, and scores on images of its classes; so does what convert made of it."""
    assert minivgg(capsys, "convert", place / "torchvision.npz", tmp_path / "t.safetensors")[0] == 0
    answers = []
    for file in (place / "torchvision.npz", tmp_path / "t.safetensors"):
        code, out, err = minivgg(capsys, "evaluate", file, place / "images", "--device", "cpu", "--format", "json")
        assert code == 0, err
        answers.append(json.loads(out)["loss"])
        vectors = tmp_path / f"{file.stem}.npz"
        code, _, err = minivgg(
            capsys, "features", file, place / "images", "-o", vectors, "--layer", "conv3_2", "--scales", "64", "--device", "cpu"
        )
        assert code == 0, err
    assert answers[0] == answers[1]
    first, second = (np.load(tmp_path / name) for name in ("torchvision.npz", "t.npz"))
    part = next(key for key in first.files if key.startswith("x"))
    assert first[part].shape == (2, 16) and np.array_equal(first[part], second[part])


def test_a_run_becomes_a_file_of_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a run folder the weights are taken without the optimiser's state, with classes, preprocessing and the size of the images that
    it was trained on: the same predictions."""
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x_train=rng.integers(0, 256, (40, 28, 28), np.uint8), y_train=np.arange(40) % 2)
    assert minivgg(capsys, "train", tmp_path / "d.npz", *TINY, "--out", tmp_path / "runs")[0] == 0
    (trained,) = (tmp_path / "runs").iterdir()
    assert minivgg(capsys, "convert", trained, tmp_path / "w.safetensors")[0] == 0
    assert (tmp_path / "w.safetensors").stat().st_size < 0.6 * (trained / "checkpoints" / "last.safetensors").stat().st_size
    Image.fromarray(rng.integers(0, 256, (50, 40), np.uint8)).save(tmp_path / "a.png")
    a, b = (Predictor.load(file, device="cpu") for file in (trained, tmp_path / "w.safetensors"))
    assert np.array_equal(a.predict(tmp_path / "a.png")[0], b.predict(tmp_path / "a.png")[0])
    assert a.classes == b.classes and a.shape == b.shape == (28, 28, 1)
    code, _, err = minivgg(capsys, "convert", trained, trained / "checkpoints" / "last.safetensors")
    assert code == 2 and "IN itself" in err


def test_the_images_that_a_run_held_out_are_known_of_its_converted_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """evaluate on the images of the run takes those that it held out, by its own share and seed, and not others that it learnt from."""
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x_train=rng.integers(0, 256, (40, 28, 28), np.uint8), y_train=np.arange(40) % 2)
    split = ["--val-split", "0.5", "--seed", "7"]
    assert minivgg(capsys, "train", tmp_path / "d.npz", *TINY, *split, "--out", tmp_path / "runs")[0] == 0
    (trained,) = (tmp_path / "runs").iterdir()
    assert minivgg(capsys, "convert", trained, tmp_path / "w.safetensors")[0] == 0
    assert minivgg(capsys, "convert", tmp_path / "w.safetensors", tmp_path / "again.safetensors", "--dtype", "f64")[0] == 0
    found = [
        minivgg(capsys, "evaluate", file, tmp_path / "d.npz", "--device", "cpu", "--format", "json")
        for file in (trained, tmp_path / "w.safetensors", tmp_path / "again.safetensors")
    ]
    answers = [json.loads(out) for _, out, _ in found]
    assert [answer["count"] for answer in answers] == [20, 20, 20]
    assert [answer["loss"] for answer in answers] == pytest.approx([answers[0]["loss"]] * 3, rel=1e-6)


def test_a_grey_network_is_evaluated_on_image_files(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A foreign file of a network of grey images reads a folder of images with one channel."""
    np.savez(tmp_path / "grey.npz", **WRITERS["torchvision"](network("vgg11", num_classes=2, in_channels=1), "vgg11"))
    code, out, err = minivgg(capsys, "evaluate", tmp_path / "grey.npz", place / "images", "--device", "cpu", "--format", "json")
    assert code == 0 and json.loads(out)["count"] == 2, err


def test_a_chain_is_evaluated_on_crops(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A network that is no VGG to the program, the same layers as a chain, has the VGG's loss; its dense form there is none of."""
    vgg = pretrained.read(place / "torchvision.npz")
    layers = tuple(dataclasses.replace(layer, name=layer.name.replace(".", "_")) for layer in models.layers(vgg.build()))
    arrays = {"_".join(name.rsplit(".", 1)[0].split(".")) + f".{name.rsplit('.', 1)[1]}": array for name, array in vgg.arrays.items()}
    chain = dataclasses.replace(vgg, model="", layers=layers, arrays=arrays)
    pretrained.save(tmp_path / "chain.safetensors", chain)
    losses = []
    for file in (place / "torchvision.npz", tmp_path / "chain.safetensors"):
        code, out, err = minivgg(
            capsys, "evaluate", file, place / "images", "--device", "cpu", "--format", "json", "-o", tmp_path / file.stem
        )
        assert code == 0, err
        losses.append(json.loads(out)["loss"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    code, _, err = minivgg(capsys, "evaluate", tmp_path / "chain.safetensors", place / "images", "--protocol", "dense")
    assert code == 2 and "only a VGG" in err


def test_an_image_too_long_to_be_rescaled_is_named(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of several images the one that cannot be prepared is told by its path."""
    Image.new("RGB", (40_000, 1)).save(tmp_path / "long.png")
    code, _, err = minivgg(capsys, "predict", place / "torchvision.npz", place / "a.png", tmp_path / "long.png", "--device", "cpu")
    assert code == 3 and err.startswith(f"error: {tmp_path / 'long.png'}: ")


@pytest.mark.parametrize(("dtype", "bound"), [("f32", 0), ("f64", 0), ("f16", 2**-11), ("bf16", 2**-8)])
def test_types_of_numbers(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], dtype: str, bound: float) -> None:
    """Each number is within half a unit in the last place of what it was, in .safetensors and, but for bf16, in .npz; the file can be
    used."""
    original = pretrained.read(place / "torchvision.npz").arrays
    for suffix in (".safetensors", ".npz"):
        out = tmp_path / f"a{suffix}"
        code, _, err = minivgg(capsys, "convert", place / "torchvision.npz", out, "--dtype", dtype)
        if dtype == "bf16" and suffix == ".npz":
            assert code == 2 and "only .safetensors files have bf16" in err and not out.exists()
            continue
        assert code == 0, err
        found = weights.load(out)
        size = {"f32": 4, "f64": 8}.get(dtype, 2) * sum(array.size for array in original.values())
        assert size < out.stat().st_size < size + 10_000
        for key, array in original.items():
            assert np.abs(found[key].astype(np.float64) - array).max() <= bound * np.abs(array).max()
        pretrained.read(out).build()


def test_features_alone(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--only features leaves the classifier out; predict then says what is missing, in one line."""
    code, out, _ = minivgg(capsys, "convert", place / "timm.npz", tmp_path / "f.safetensors", "--only", "features", "--image-size", "96")
    assert code == 0 and "features alone, images 3×96×96" in out and "left over: pre_logits.fc1.weight" in out
    assert all(name.startswith("features") for name in weights.load(tmp_path / "f.safetensors"))
    code, _, err = minivgg(capsys, "predict", tmp_path / "f.safetensors", place / "a.png", "--device", "cpu")
    assert code == 4 and "no classifier" in err and err.startswith(f"error: {tmp_path / 'f.safetensors'}: ") and "Traceback" not in err


def test_onnx_and_back(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file written as ONNX and read again is the same network with the same preprocessing; no other numbers than f32 fit in it."""
    pytest.importorskip("onnx", reason="onnx is not installed")
    out = tmp_path / "a.onnx"
    code, _, err = minivgg(capsys, "convert", place / "Keras.npz", out)
    assert code == 0, err
    first, second = pretrained.read(place / "Keras.npz"), pretrained.read(out)
    assert (first.model, first.transform, first.classes) == (second.model, second.transform, second.classes)
    assert all(np.array_equal(array, second.arrays[key]) for key, array in first.arrays.items())
    assert minivgg(capsys, "convert", place / "Keras.npz", out, "--dtype", "f16")[0] == 2


def test_refusals_write_nothing(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A user's mistakes end with exit 2, a file that does not fit with exit 4: one message each, and no file."""
    broken = dict(np.load(place / "torchvision.npz"))
    del broken["classifier.6.bias"]
    np.savez(tmp_path / "broken.npz", **broken)
    large = {**np.load(place / "torchvision.npz"), "features.0.bias": np.full(4, 1e6, np.float32)}
    np.savez(tmp_path / "large.npz", **large)
    good, out, folder = place / "torchvision.npz", tmp_path / "out.safetensors", tmp_path / "folder.npz"
    folder.mkdir()
    cases = [
        (2, "Valid: .npz, .onnx, .safetensors", [good, tmp_path / "out.pth"]),
        (2, "IN itself", [good, good]),
        (2, "no folder", [good, tmp_path / "none" / "out.npz"]),
        (2, "is a folder", [good, folder]),
        (2, "did you mean", [good, out, "--dtype", "f33"]),
        (2, "caffe, torchvision, unit", [good, out, "--prepared", "imagenet"]),
        (2, "vgg11", [good, out, "--model", "vgg12"]),
        (2, "32..4096", [good, out, "--only", "features", "--image-size", "5000"]),
        (2, "64 to 95", [good, out, "--image-size", "224"]),
        (4, "--no-strict", [tmp_path / "broken.npz", out]),
        (4, "features.0.bias as f16", [tmp_path / "large.npz", out, "--dtype", "f16"]),
        (4, "cannot be read", [tmp_path / "missing.npz", out]),
    ]
    before = sorted(tmp_path.iterdir())
    for code, text, arguments in cases:
        found, _, err = minivgg(capsys, "convert", *arguments)
        assert (found, text in err, "Traceback" in err) == (code, True, False), (arguments, err)
    assert sorted(tmp_path.iterdir()) == before
    found, text, _ = minivgg(capsys, "convert", tmp_path / "broken.npz", out, "--no-strict")
    assert found == 0 and "features alone" in text and SIZE
