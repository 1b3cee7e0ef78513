"""This package's own file of a network: what it says must agree with itself, since anyone can write one with the right digest."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from minivgg import pretrained
from minivgg.cli import run
from minivgg.weights import Checkpoint, load_checkpoint, save_checkpoint

from .foreign import WRITERS, network


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as convert writes it."""
    folder = tmp_path_factory.mktemp("own")
    np.savez(folder / "a.npz", **WRITERS["torchvision"](network("vgg11"), "vgg11"))
    assert run(["convert", str(folder / "a.npz"), str(folder / "a.safetensors")]) == 0
    return folder / "a.safetensors"


def _images(*shape: Any) -> Callable[[dict[str, Any]], None]:
    return lambda state: state.update(images={"count": 1, "shape": list(shape), "sha256": ""})


def _steps(**changes: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    """Change steps of the preprocessing, by name."""

    def change(state: dict[str, Any]) -> None:
        for step in state["preprocessing"]["steps"]:
            step.update(changes.get(step["name"], {}))

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda state: state.update(classes=["a"]), "1 names of classes for 5 scores"),
        (lambda state: state.update(classes="abcde"), "no list of printable texts"),
        (lambda state: state.update(classes=["a", "b\x1b[31m", "c", "d", "e"]), "no list of printable texts"),
        (lambda state: state["network"].update(origin="a\nb"), "no printable text"),
        (lambda state: state["network"].update(whole=False), "5 names of classes for 0 scores"),
        (lambda state: state["network"].update(whole="yes"), "neither true nor false"),
        (lambda state: state["network"]["options"].update(ceil_mode="maybe"), "neither true nor false"),
        (lambda state: state.update(split=[1]), "no table"),
        (lambda state: state.update(split={"val_split": "all"}), "val_split"),
        (_images(10**9, 10**9, 3), "images cannot be"),
        (_images(-1, 0, 3), "images cannot be"),
        (_images("a", "b", 3), "images cannot be"),
        (_images(None, None, 7), "7 channels"),
        (_steps(crop={"padding": 10**8}), "sizes of 100,000,000"),
        (_steps(rescale={"high": 10**9}), "sizes of 1,000,000,000"),
        (_steps(normalise={"mean": [0.5], "std": [0.5]}), "1 colours are normalised"),
        (_steps(normalise={"mean": [1e300] * 3}), "cannot be normalised"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(
    good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[dict[str, Any]], None], reason: str
) -> None:
    """predict ends with exit 4 and one line that begins with the path, however the state was changed under a right digest."""
    whole = load_checkpoint(good)
    state = copy.deepcopy(dict(whole.state))
    change(state)
    save_checkpoint(tmp_path / "b.safetensors", Checkpoint(whole.model, {}, state))
    Image.fromarray(np.zeros((80, 80, 3), np.uint8)).save(tmp_path / "a.png")
    capsys.readouterr()
    code = run(["predict", str(tmp_path / "b.safetensors"), str(tmp_path / "a.png"), "--device", "cpu"])
    err = capsys.readouterr().err
    assert code == 4 and err.startswith(f"error: {tmp_path / 'b.safetensors'}: ") and reason in err and err.count("\n") == 1


def test_a_good_file_stays_good(good: Path) -> None:
    """The file that these were made of is read, with its five classes."""
    assert len(pretrained.read(good).classes) == 5


def test_scores_that_are_no_numbers_are_not_printed(good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Weights that are finite, but so large that sums of their products are not: exit 5, and no probabilities."""
    arrays = {name: array * 1e30 if name.endswith("weight") else array for name, array in load_checkpoint(good).model.items()}
    save_checkpoint(tmp_path / "l.safetensors", Checkpoint(arrays, {}, load_checkpoint(good).state))
    Image.fromarray(np.full((80, 80, 3), 200, np.uint8)).save(tmp_path / "a.png")
    capsys.readouterr()
    with np.errstate(all="ignore"):
        code = run(["predict", str(tmp_path / "l.safetensors"), str(tmp_path / "a.png"), "--device", "cpu"])
    found = capsys.readouterr()
    assert code == 5 and found.out == "" and "a.png: the network's scores are NaN or Inf" in found.err
