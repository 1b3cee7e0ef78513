"""The contact sheet: exactly the loader's images, normalisation undone, with the classes' names."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minivgg import data
from minivgg.cli import run
from minivgg.cli.show_batch import command
from minivgg.train import TrainConfig, build_job, contact_sheet


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photographs of two classes, one with a long name, one with letters that the font does not have."""
    rng = np.random.default_rng(0)
    for name in ("a very long name, much longer than any picture", "日本"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for k in range(5):
            Image.fromarray(rng.integers(0, 256, (40 + k, 60, 3), dtype=np.uint8)).save(tmp_path / "set" / name / f"{k}.png")
    return tmp_path / "set"


def pictures(png: bytes, height: int, width: int, factor: int, count: int) -> np.ndarray:
    """The pictures on a sheet, shrunk to their own pixels."""
    sheet = np.asarray(Image.open(io.BytesIO(png)))
    step_x, step_y = width * factor + 4, height * factor + 18 + 4
    columns = (sheet.shape[1] - 4) // step_x
    corners = [(4 + k // columns * step_y, 4 + k % columns * step_x) for k in range(count)]
    return np.stack([sheet[y : y + height * factor : factor, x : x + width * factor : factor] for y, x in corners])


@pytest.mark.parametrize("evaluation", [False, True])
def test_the_sheet_shows_what_training_sees(evaluation: bool) -> None:
    """The first images of the loader's epoch, pixel for pixel: the embedded ones, cropped and mirrored, enlarged three times."""
    config = TrainConfig(width=1 / 16)
    png, done = contact_sheet(config, 12, epoch=2, evaluation=evaluation)
    job = build_job(config)
    batch = next(iter((job.val if evaluation else job.train).epoch(2)))
    mean, std = data.statistics(job.train.dataset)
    expected = (batch.images[:12].transpose(0, 2, 3, 1) * std[0] + mean[0]) * 255
    shown = pictures(png, 32, 32, 3, 12)
    assert np.abs(shown - expected).max() < 0.51
    assert done.startswith("crop 32×32")


def test_colours_beyond_black_and_white_are_cut(folder: Path) -> None:
    """A huge shift saturates and does not wrap around: what should be above white is white."""
    config = TrainConfig(data=str(folder), colour_shift=10.0, val_split=0.2)
    shown = pictures(contact_sheet(config, 8)[0], 32, 32, 3, 8)
    assert {0, 255} <= set(shown.reshape(-1).tolist()) and ((shown == 0) | (shown == 255)).mean() > 0.3


def test_the_command_writes_one_file(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The path on stdout, what was done on stderr, nothing else in the folder; an older sheet is replaced."""
    before = sorted(folder.rglob("*"))
    out = tmp_path / "out" / "sheet.png"
    out.parent.mkdir()
    out.write_text("old")
    line = ["show-batch", str(folder), "-o", str(out), "--scale", "40-50", "--colour-shift", "0.1", "--count", "64", "--val-split", "0.2"]
    assert run(line) == 0
    said = capsys.readouterr()
    assert said.out.strip() == str(out) and "rescale to 40-50, crop 32×32, mirror" in said.err
    assert out.read_bytes().startswith(b"\x89PNG") and sorted(folder.rglob("*")) == before and list(out.parent.iterdir()) == [out]


def test_every_flag_of_train_is_taken() -> None:
    """And a configuration file, too."""
    names = {parameter.name for parameter in command.params}
    assert {*TrainConfig().mapping(), "file", "count", "epoch", "evaluation", "output"} == names


@pytest.mark.parametrize(
    ("line", "code", "reason"),
    [
        (["--image-size", "224", "--scale", "128"], 2, "needs a scale of at least 224"),
        (["nowhere"], 3, "nowhere"),
        (["-o", ""], 2, "--output is empty"),
        (["-o", "nowhere/batch.png"], 6, "cannot write"),
        (["--count", "4096", "--image-size", "256", "--scale", "256"], 2, "lower --count"),
        (["--count", "0"], 2, "count"),
        (["--cutout", "40"], 2, "--cutout 40"),
    ],
)
def test_a_mistake_is_one_line(
    line: list[str], code: int, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its exit code, the remedy, no traceback, no file."""
    monkeypatch.chdir(tmp_path)
    assert run(["show-batch", *line]) == code
    said = capsys.readouterr().err
    assert reason in said and "Traceback" not in said and list(tmp_path.iterdir()) == []
