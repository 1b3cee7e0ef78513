"""The commands with --device cuda: what a user types, on either card."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minivgg.cli import run
from minivgg.train import Observer, TrainConfig, load_checkpoint, read_config_file, train

from . import stripes
from .conftest import Card

TINY = ["--width", "0.0625", "--epochs", "2", "--batch-size", "9", "--lr", "0.02", "--head", "paper", "--checkpoint-every", "2"]


@pytest.fixture
def minivgg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command in a folder with stripes.npz and a.png, and returns what it wrote on stdout; any other exit code is a failure."""
    stripes.write(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # the command replaces it

    def call(*arguments: Any, code: int = 0) -> str:
        found = run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert found == code, err
        return out if code == 0 else err

    return call


class StoppedError(Exception):
    """Raised by `Stop`."""


class Stop(Observer):
    """Ends training after its first epoch, when that is saved."""

    def epoch(self, row: Any) -> None:
        raise StoppedError


def state(folder: Path) -> dict[str, Any]:
    """Every array of the last checkpoint in a run's folder, the optimiser's too."""
    checkpoint = load_checkpoint(folder / "checkpoints" / "last.safetensors")
    return {**checkpoint.model, **{f"optimizer {name}": array for name, array in checkpoint.optimizer.items()}}


def test_training_on_a_card_ends_where_the_cpu_does(card: Card, minivgg: Callable[..., str], tmp_path: Path) -> None:
    """Two epochs with batch norm, dropout, mirroring and a schedule: losses within 1e-3, float32 NumPy arrays in the checkpoint,
    names and shapes of the CPU's, values within a tenth of each array's largest (a rectifier that flips by rounding moves whole layers)."""
    rows, states = {}, {}
    for device in ("cpu", "cuda"):
        minivgg("train", "stripes.npz", *TINY, "--device", device, "--out", device)
        (folder,) = (tmp_path / device).iterdir()
        rows[device] = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        states[device] = state(folder)
    for ours, theirs in zip(rows["cuda"], rows["cpu"], strict=True):
        assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-3)
        assert ours["val_loss"] == pytest.approx(theirs["val_loss"], rel=3e-2)
    assert list(states["cuda"]) == list(states["cpu"])
    for name, array in states["cuda"].items():
        expected = states["cpu"][name]
        assert type(array) is np.ndarray and array.dtype == expected.dtype in (np.float32, np.int64) and array.shape == expected.shape
        assert np.abs(array - expected).max() <= 0.1 * max(np.abs(expected).max(), 1e-2), name


@pytest.mark.parametrize(("first", "second"), [("cuda", "cpu"), ("cpu", "cuda")])
def test_a_run_goes_on_on_the_other_device(card: Card, minivgg: Callable[..., str], tmp_path: Path, first: str, second: str) -> None:
    """Stopped after an epoch on one device, resumed on the other: the file is loaded bit by bit, and the end is that of the whole
    run on one device, as nearly as two devices agree."""
    whole, part = tmp_path / "whole", tmp_path / "part"
    minivgg("train", "stripes.npz", *TINY, "--device", first, "--out", whole)
    (reference,) = whole.iterdir()
    with pytest.raises(StoppedError):
        train(TrainConfig.of(read_config_file(reference / "config.toml"), {"out": str(part)}), observer=Stop())
    (folder,) = part.iterdir()
    minivgg("train", "--resume", folder, "--device", second)
    ours, expected = state(folder), state(reference)
    for name, array in ours.items():
        assert np.abs(array - expected[name]).max() <= 0.1 * max(np.abs(expected[name]).max(), 1e-2), name


def test_other_commands_run_on_a_card(card: Card, minivgg: Callable[..., str], tmp_path: Path) -> None:
    """dry run, evaluate, predict, the newest run found again: each says what it says on the CPU, to the digits that it prints."""
    dry = minivgg("train", "stripes.npz", *TINY, "--device", "cuda", "--dry-run", "--out", "dry")
    assert "on cuda:0" in dry and "Nothing was written" in dry and not (tmp_path / "dry").exists()
    trained = minivgg("train", "stripes.npz", *TINY, "--device", "cuda")
    (folder,) = (tmp_path / "runs").iterdir()
    assert minivgg("train", "stripes.npz", *TINY, "--device", "cuda", "--resume") == trained
    texts = [minivgg("evaluate", folder, "--device", device) for device in ("cuda", "cpu")]
    assert texts[0].splitlines()[0] == texts[1].splitlines()[0] == trained.splitlines()[1]
    found = [json.loads(minivgg("evaluate", folder, "--best", "--format", "json", "--device", device)) for device in ("cuda", "cpu")]
    assert found[0]["loss"] == pytest.approx(found[1]["loss"], rel=1e-4) and found[0]["correct"] == found[1]["correct"]
    found = [json.loads(minivgg("predict", folder, "a.png", "--format", "json", "--device", device)) for device in ("cuda", "cpu")]
    for ours, theirs in zip(*(entry[0]["predictions"] for entry in found), strict=True):
        assert ours["class"] == theirs["class"] and ours["probability"] == pytest.approx(theirs["probability"], rel=1e-3)


def test_other_choices_train_on_a_card(card: Card, minivgg: Callable[..., str]) -> None:
    """The paper's form without momentum's look ahead, decay of weights alone, steps, micro-batches, recomputation, clipping."""
    plain = ["--form", "paper", "--no-nesterov", "--no-decay-all", "--schedule", "step", "--drops", "1", "--label-smoothing", "0"]
    slow = ["--accumulate", "2", "--recompute", "--clip", "0.5", "--workers", "0", "--model", "vgg11"]
    small = ["--width", "0.0625", "--epochs", "1", "--batch-size", "14", "--head", "linear"]
    lines = [minivgg("train", "stripes.npz", *small, *plain, *slow, "--device", device, "--out", device) for device in ("cuda", "cpu")]
    assert lines[0] == lines[1]


def test_divergence_is_one_line_and_exit_code_5(card: Card, minivgg: Callable[..., str]) -> None:
    """An absurd rate makes the second step overflow: the op is named though a card's flag is read only now and then."""
    flags = ["--width", "0.0625", "--epochs", "1", "--batch-size", "7", "--schedule", "constant", "--lr", "1e30", "--device", "cuda"]
    said = minivgg("train", "stripes.npz", *flags, code=5)
    assert "step 1: " in said and "not applied" in said and "Traceback" not in said
