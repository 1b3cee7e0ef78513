"""What evaluate and train refuse rather than answer with a number that means something else."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

TINY = ["--width", "0.0625", "--epochs", "1", "--batch-size", "16", "--device", "cpu", "--workers", "0"]


def minivgg(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, in `folder`."""
    return subprocess.run([sys.executable, "-m", "minivgg", *arguments], cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with d.npz, 60 grey images in two classes without test images, and a run on it in runs/."""
    folder = tmp_path_factory.mktemp("place")
    rng = np.random.default_rng(0)
    np.savez(folder / "d.npz", x_train=rng.integers(0, 256, (60, 32, 32), np.uint8), y_train=np.arange(60) % 2)
    done = minivgg(folder, "train", "d.npz", *TINY, "--out", "runs")
    assert done.returncode == 0, done.stderr
    return folder


def test_a_checkpoint_outside_its_run_needs_the_data_named(place: Path) -> None:
    """Without config.toml beside it evaluate does not guess: exit 2; with DATA it answers."""
    (checkpoint,) = place.glob("runs/*/checkpoints/last.safetensors")
    shutil.copy(checkpoint, place / "alone.safetensors")
    refused = minivgg(place, "evaluate", "alone.safetensors")
    assert refused.returncode == 2 and "Name them" in refused.stderr
    assert minivgg(place, "evaluate", "alone.safetensors", "d.npz").returncode == 0


def test_changed_images_are_not_evaluated_as_if_they_were_the_same(place: Path, tmp_path: Path) -> None:
    """The same images in another order have another split, which may hold training images: exit 3."""
    shutil.copytree(place, tmp_path / "copy")
    folder = tmp_path / "copy"
    (run,) = (folder / "runs").iterdir()
    (run / "config.toml").write_text((run / "config.toml").read_text().replace(str(place), str(folder)))
    assert minivgg(folder, "evaluate", str(run)).returncode == 0
    with np.load(folder / "d.npz") as arrays:
        x, y = arrays["x_train"], arrays["y_train"]
    np.savez(folder / "d.npz", x_train=x[::-1], y_train=y[::-1])
    refused = minivgg(folder, "evaluate", str(run))
    assert refused.returncode == 3 and "has changed since the run" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train", "--config", ""], 2, "--config is empty"),
        (["train", ""], 2, "DATA is empty"),
        (["train", "--image-size", "999999999"], 2, "image_size must be"),
        (["train", "--width", "inf"], 2, "width must be"),
        (["check", "vgg11", "--coordinates", "0"], 2, "0 is not in the range"),
        (["summary", "vgg11", "--num-classes", "9" * 25], 2, "num_classes must be"),
        (["summary", "vgg11", "--device", "cuda:x"], 2, "--device must be"),
        (["summary", "vgg11", "--device", "cuda", "--memory", "9" * 400 + "GB"], 2, "expected an amount of memory"),
        (["predict", "x" * 300 + ".pth", "a.png"], 2, ".pth: File name too long. Check the path"),
        (["convert", "a.pth", "x" * 300 + ".npz"], 2, ".npz: File name too long. Check the path"),
        (["train", "caf\udce9"], 2, "data must be a text in UTF-8"),
        (["train", "--benchmark", "--resume"], 2, "--benchmark and --resume exclude each other"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else None,
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    """Empty paths and absurd sizes end with exit 2 and the name of the option, without a traceback."""
    done = minivgg(tmp_path, *arguments)
    assert done.returncode == code and message in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and not done.stdout


def test_one_class_and_unseen_classes_cannot_be_trained(tmp_path: Path) -> None:
    """Labels that are all the same, and test labels that no training image has: exit 3."""
    images = np.zeros((40, 32, 32), np.uint8)
    np.savez(tmp_path / "one.npz", x_train=images, y_train=np.zeros(40, int))
    np.savez(tmp_path / "unseen.npz", x_train=images, y_train=np.arange(40) % 2, x_test=images[:4], y_test=np.array([5, 6, 5, 6]))
    for name, message in (("one.npz", "nothing to tell apart"), ("unseen.npz", "no training image has it")):
        done = minivgg(tmp_path, "train", name, *TINY)
        assert done.returncode == 3 and message in done.stderr, done.stderr
