"""`minivgg features`, `minivgg classify` and `minivgg train --find-lr`, from the command line to the exit code."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import pytest

from minivgg import train
from minivgg.cli import run

TINY = ["--width", "0.0625", "--batch-size", "16", "--device", "cpu", "--workers", "0"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with stripes.npz, 96 images in three classes and 30 to test, and a run of one epoch on it in runs/."""
    folder = tmp_path_factory.mktemp("place")
    arrays = {}
    for part, count in (("train", 96), ("test", 30)):
        rng = np.random.default_rng(count)
        images, labels = rng.integers(0, 100, (count, 28, 28), dtype=np.uint8), np.arange(count) % 3
        images[labels == 0, ::4] += 150
        images[labels == 1, :, ::4] += 150
        arrays |= {f"x_{part}": images, f"y_{part}": labels}
    np.savez(folder / "stripes.npz", **arrays)
    assert run(["train", str(folder / "stripes.npz"), *TINY, "--epochs", "1", "--out", str(folder / "runs")]) == 0
    return folder


def test_from_a_run_to_an_accuracy(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Features of both parts are written and told, and a linear classifier on them finds stripes; twice the same text."""
    (trained,) = (place / "runs").iterdir()
    out = str(tmp_path / "f.npz")
    capsys.readouterr()
    assert run(["features", str(trained), str(place / "stripes.npz"), "-o", out, "--layer", "conv3_2", "--device", "cpu"]) == 0
    assert capsys.readouterr().out == f"{out}: 16 features of conv3_2, images: 96 train, 30 test\n"
    texts = []
    for _ in range(2):
        assert run(["classify", out, "--per-class", "10"]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] and "fitted to 30 images with 16 features each" in texts[0]
    assert run(["classify", out, "--c", "10", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["accuracy"] == found["correct"] / 30 >= 0.9 and found["tried"] == []
    assert np.sum(found["confusion"]) == 30 and np.trace(found["confusion"]) == found["correct"]


def test_more_classes_than_fit_a_table_show_the_most_frequent_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of 25 classes, 0 and 1 of which are exchanged in the test images: both mistakes are listed, nothing else."""
    x, y = np.eye(25, dtype=np.float32), np.arange(25)
    np.savez(tmp_path / "f.npz", x_train=x, y_train=y, x_test=x[[1, 0, *range(2, 25)]], y_test=y)
    assert run(["classify", str(tmp_path / "f.npz"), "--c", "10"]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == ["     1  0 taken for 1", "     1  1 taken for 0"]


def test_a_search_for_the_rate_suggests_and_writes_nothing(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table on stdout that ends with a suggestion; no folder beside the run that was there. Of ten steps only, for time."""
    monkeypatch.setattr(train, "find_lr", functools.partial(train.find_lr, steps=10, high=0.1))
    before = sorted(place.rglob("*"))
    capsys.readouterr()
    assert run(["train", str(place / "stripes.npz"), *TINY, "--find-lr", "--out", str(place / "runs")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["rate", "loss"] and lines[-1].startswith("suggested: --lr ")
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["features", "RUN", "-o", "f.txt"], 2, "-o must name an .npz file in a folder that exists, but is 'f.txt'"),
        (["features", "RUN", "-o", "no/f.npz"], 2, "in a folder that exists"),
        (["features", "RUN", "-o", "f.npz", "--layer", "conv9_1"], 2, 'the network has no layer "conv9_1": did you mean conv'),
        (["features", "RUN", "-o", "f.npz", "--scales", "16"], 2, "a scale of 16 pixels is too small"),
        (["features", "nowhere", "-o", "f.npz"], 4, "nowhere"),
        (["classify", "nowhere.npz"], 3, "nowhere.npz"),
        (["classify", "stripes.npz"], 3, "x_train must be numbers (N, D)"),
        (["classify", "stripes.npz", "--c", "much"], 2, '--c must be numbers such as "0.1,1,10", but is "much"'),
        (["classify", "stripes.npz", "--c", ""], 2, "--c must be numbers"),
        (["train", "--plot", "lr.png"], 2, "--plot draws what --find-lr finds: give both"),
        (["train", "--find-lr", "--dry-run"], 2, "--dry-run and --find-lr exclude each other"),
        (["train", "--find-lr", "--resume"], 2, "--find-lr and --resume exclude each other"),
        (["train", "--find-lr", "--plot", "lr.gif"], 2, "must be one of .pdf, .png, .svg"),
    ],
)
def test_refusals(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    """One line with what was expected and what was there; the exit code of its kind; nothing written."""
    monkeypatch.chdir(place)
    (trained,) = (place / "runs").iterdir()
    assert run([str(trained) if part == "RUN" else part for part in arguments]) == code
    said = capsys.readouterr()
    assert message in said.err and not said.out and "Traceback" not in said.err
    assert not list(place.glob("f.*"))
