"""`minivgg evaluate` with the paper's protocols, on images in memory and in files, and what it refuses."""

from __future__ import annotations

import csv
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minivgg import cli
from minivgg.data import parts
from minivgg.evaluation.posteriors import posteriors
from minivgg.train import Predictor, TrainConfig, train

TINY = {"width": 1 / 32, "epochs": 1, "batch_size": 16, "lr": 0.02, "device": "cpu", "checkpoint_every": 0, "workers": 0, "val_split": 0.25}


@pytest.fixture
def minivgg(monkeypatch, capsys):
    """minivgg(*arguments) → (exit code, stdout, stderr), in this process."""
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # put back what the command sets

    def call(*arguments):
        code = cli.run([str(argument) for argument in arguments])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, said.out, said.err

    return call


def folder_of(place, parts, classes="abcdefg", seed=0):
    """Small PNG files of several sizes, with different brightness for each class."""
    rng = np.random.default_rng(seed)
    for part, count in parts.items():
        for label, name in enumerate(classes):
            for k in range(count):
                path = place / part / name / f"{k}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                image = rng.integers(0, 60, (34 + 4 * (k % 2), 36 + 2 * (k % 3), 3)) + 25 * label
                Image.fromarray(image.astype(np.uint8)).save(path)
    return place


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """memory.npz, files (train, test), flat (no parts), strange (another class), and a run on each of the first three."""
    place = tmp_path_factory.mktemp("protocols")
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (70, 28, 28), dtype=np.uint8), np.arange(70) % 7
    np.savez(place / "memory.npz", x_train=images[:56], y_train=labels[:56], x_test=images[56:], y_test=labels[56:])
    folder_of(place / "files", {"train": 4, "test": 1})
    folder_of(place / "flat", {"": 4}, seed=1)
    folder_of(place / "strange", {"": 1}, "abcdefz")
    for data, changes in {"memory.npz": {}, "files": {"scale": "36-40"}, "flat": {}}.items():
        made = train(TrainConfig(data=str(place / data), out=str(place / "runs"), **TINY, **changes))
        made.folder.rename(place / f"run-{data.split('.')[0]}")
    return place


def test_without_options_a_run_says_what_its_training_said(place, minivgg):
    """The lines as ever, the first five classes, and how it was found; the numbers are the training's own."""
    for name, count in (("memory", 14), ("files", 7)):
        code, out, err = minivgg("evaluate", place / f"run-{name}")
        lines = out.splitlines()
        assert code == 0 and err == "" and len(lines) == 4
        assert lines[0].startswith("test accuracy 0.") and lines[0].endswith(f"/{count})") and lines[1].startswith("test loss ")
        assert lines[2].startswith("test top-5 accuracy ")
        assert lines[3] == f"protocol: center, scale {32 if name == 'memory' else 38}"
    row = json.loads((place / "run-flat" / "metrics.jsonl").read_text().splitlines()[-1])
    code, out, _ = minivgg("evaluate", place / "run-flat", "--format", "json")
    found = json.loads(out)
    assert found["images"] == "flat/validation" and found["count"] == 7
    assert found["accuracy"] == pytest.approx(row["val_accuracy"]) and found["loss"] == pytest.approx(row["val_loss"], rel=1e-4)


PROTOCOLS = {
    "dense, scales 32 37, mirrored": ("memory", ["--protocol", "dense", "--scales", "multi"]),
    "both, scale 32, mirrored": ("memory", ["--protocol", "both"]),
    "center, scales 32 37, mirrored": ("memory", ["--scales", "multi", "--flip"]),
    "dense, scales 36 38 40, mirrored": ("files", ["--protocol", "dense", "--scales", "multi"]),
    "multi-crop, scale 38": ("files", ["--protocol", "multi-crop", "--no-flip"]),
    "dense, scales 64 40": ("files", ["--protocol", "dense", "--no-flip", "--scales", "64,40"]),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol_on_memory_and_on_files(place, minivgg, protocol):
    """Text says the protocol in its last line; the first k classes are counted for a k below the number of classes."""
    run, arguments = PROTOCOLS[protocol]
    code, out, _ = minivgg("evaluate", place / f"run-{run}", *arguments, "--top", 3)
    assert code == 0 and out.splitlines()[2].startswith("test top-3 accuracy ") and out.splitlines()[3:] == [f"protocol: {protocol}"]
    assert run == "memory" or len(minivgg("evaluate", place / "run-files", "--top", 7)[1].splitlines()) == 3


def test_what_has_no_parts_is_taken_whole_unless_the_run_knows_it(place, minivgg):
    """The flat folder is validation images for its own run, whatever its path is called, and all images for another."""
    for data in (place / "flat", place / "files" / ".." / "flat"):
        assert json.loads(minivgg("evaluate", place / "run-flat", data, "--format", "json")[1])["count"] == 7
    code, out, _ = minivgg("evaluate", place / "run-files", place / "flat")
    assert code == 0 and out.splitlines()[0].startswith("accuracy ") and out.splitlines()[0].endswith("/28)")


def test_a_changed_folder_is_no_longer_what_was_held_out(place, minivgg, tmp_path):
    """Named or not: with another image the split is another, and may hold images that were trained on."""
    folder_of(tmp_path / "grown", {"": 4})
    made = train(TrainConfig(data=str(tmp_path / "grown"), out=str(tmp_path), **TINY)).folder
    Image.new("RGB", (40, 40)).save(tmp_path / "grown" / "a" / "new.png")
    for arguments in ([made], [made, tmp_path / "grown"]):
        code, _, err = minivgg("evaluate", *arguments)
        assert code == 3 and "has changed since the run" in err


def test_two_runs_are_averaged(place, minivgg):
    """The posteriors in predictions.csv are the mean of each run's own; runs that know other classes are refused."""
    test = parts(place / "files").test
    singles = [posteriors(Predictor.load(place / run), test, "dense").probabilities for run in ("run-files", "run-flat")]
    arguments = ["--with", place / "run-flat", "--protocol", "dense", "-o", place / "out-ab"]
    code, _, err = minivgg("evaluate", place / "run-files", place / "files", *arguments)
    assert code == 0, err
    with (place / "out-ab" / "predictions.csv").open(newline="") as file:
        for row, *pair in zip(csv.DictReader(file), *singles, strict=True):
            for k in range(1, 6):
                label = "abcdefg".index(row[f"class{k}"])
                assert float(row[f"probability{k}"]) == pytest.approx((pair[0][label] + pair[1][label]) / 2, rel=1e-4)
    assert sorted(path.name for path in (place / "out-ab").iterdir()) == [
        "classes.csv", "predictions.csv", "report.html", "scores.json",
    ]  # fmt: skip
    code, _, err = minivgg("evaluate", place / "run-files", "--with", place / "run-memory")
    assert code == 3 and "3 channel(s), but the model was trained on 1" in err


def test_what_another_run_may_have_trained_with_is_no_test(place, minivgg, tmp_path):
    """Held-out images of one split are training images of another."""
    other = train(TrainConfig(data=str(place / "flat"), out=str(tmp_path), seed=1, **TINY)).folder
    code, _, err = minivgg("evaluate", place / "run-flat", "--with", other)
    assert code == 3 and "their seeds are 0 and 1" in err and "--with RUN" in err


MISTAKES = {
    "a scale below the crop": (["--scales", "16"], 2, "a scale of 16 pixels is too small: the network looks at 32×32"),
    "no scale": (["--scales", "0"], 2, "Raise --scales to 32 or more"),
    "a scale in words": (["--scales", "big"], 2, 'has "big"'),
    "a scale twice": (["--scales", "64,64"], 2, "64 is listed twice"),
    "an unknown protocol": (["--protocol", "multicrop"], 2, "did you mean multi-crop"),
    "no amount of memory": (["--memory", "much"], 2, "expected an amount of memory"),
    "too little memory": (["--protocol", "dense", "--memory", "1kB"], 6, "only 1 kB may be used"),
    "a class that the run does not know": (["strange"], 3, "it lacks g; the model does not know z"),
    "a second run that is none": (["--with", "memory.npz"], 4, "memory.npz"),
    "an empty path": ([""], 2, "DATA is empty"),
    "an empty folder's name": (["-o", ""], 2, "--out is empty"),
    "a file in the place of a folder": (["-o", "memory.npz"], 6, "memory.npz"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_ends_with_its_own_exit_code(place, minivgg, monkeypatch, name):
    """One line on stderr with numbers and remedy, nothing on stdout."""
    monkeypatch.chdir(place)
    arguments, code, text = MISTAKES[name]
    found, out, err = minivgg("evaluate", "run-files", *arguments)
    assert found == code and out == "" and text in err and len(err.splitlines()) == (4 if "is empty" in text else 1), err


def test_figures_are_said_before_the_files_are_written(place, minivgg, monkeypatch, tmp_path):
    """Without the extra `report` the page cannot be made: exit 2, but the accuracy is on stdout and the tables are there."""
    monkeypatch.setitem(sys.modules, "jinja2", None)
    code, out, err = minivgg("evaluate", place / "run-files", "-o", tmp_path / "out")
    assert code == 2 and "test accuracy" in out and "pip install 'minivgg[report]'" in err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["classes.csv", "predictions.csv", "scores.json"]


@pytest.mark.filterwarnings("default:.*cannot be read:UserWarning")
def test_a_damaged_image_is_named_or_left_out(place, minivgg, tmp_path):
    """Exit 3 with the path; with --on-bad skip a warning, and the others' figures."""
    bad = folder_of(tmp_path / "bad", {"": 2})
    (bad / "c" / "1.png").write_bytes(b"no image")
    code, _, err = minivgg("evaluate", place / "run-files", bad)
    assert code == 3 and str(Path("c") / "1.png") in err
    code, out, err = minivgg("evaluate", place / "run-files", bad, "--on-bad", "skip")
    assert code == 0 and "/13)" in out and "1 of 14 image files cannot be read" in err
