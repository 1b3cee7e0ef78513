"""Training on a folder with a file that cannot be read: it stops with the path, or leaves the file out for good."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minivgg import data
from minivgg.errors import CheckpointError, DataError
from minivgg.train import Predictor, TrainConfig, build_job, load_checkpoint, train

from .stopping import At, CrashError, crash

SKIPPED = "1 of 13 image files cannot be read and are left out"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """12 sound images of 32×40 in two classes, and a truncated one."""
    rng = np.random.default_rng(0)
    for number in range(12):
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (32, 40, 3), np.uint8)).save(path)
    bad = tmp_path / "photos" / "a" / "00.png"
    bad.write_bytes(path.read_bytes()[:500])
    return tmp_path / "photos"


def config(photos: Path, out: str, **changes: object) -> TrainConfig:
    """One epoch of 5 steps."""
    base = {"data": str(photos), "out": str(photos.parent / out), "width": 1 / 16, "epochs": 1, "batch_size": 2, "lr": 0.02}
    return TrainConfig(**{**base, "device": "cpu", "val_split": 0.2, "checkpoint_every": 2, "on_bad": "skip", **changes})  # type: ignore[arg-type]


def test_a_bad_file_ends_the_run_with_its_path(photos: Path) -> None:
    """`fail`: DataError, exit code 3."""
    with pytest.raises(DataError, match=r"photos/a/00\.png: cannot be read as an image") as caught:
        train(config(photos, "runs", on_bad="fail"))
    assert caught.value.exit_code == 3


def test_left_out_it_is_as_if_it_were_not_there(photos: Path) -> None:
    """`skip`: the checkpoint is that of a folder without the file, byte for byte; also of a run that was stopped and resumed."""
    with pytest.warns(UserWarning, match=SKIPPED):
        whole = train(config(photos, "whole")).folder
    with pytest.warns(UserWarning, match=SKIPPED), pytest.raises(CrashError):
        train(config(photos, "stopped", workers=0), observer=At(3, crash))
    with pytest.warns(UserWarning, match=SKIPPED):
        resumed = train(config(photos, "stopped", workers=0), resume="auto").folder
    (photos / "a" / "00.png").unlink()
    clean = train(config(photos, "clean")).folder
    last = [(folder / "checkpoints" / "last.safetensors").read_bytes() for folder in (whole, resumed, clean)]
    assert last[0] == last[1] == last[2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(build_job(config(photos, "none")).classes) == 2


def test_images_that_changed_are_not_resumed_with(photos: Path) -> None:
    """A second file turns bad between stop and resumption: refused, for the images are others now."""
    with pytest.warns(UserWarning, match=SKIPPED), pytest.raises(CrashError):
        train(config(photos, "runs"), observer=At(3, crash))
    (photos / "b" / "1.png").write_bytes(b"")
    with pytest.warns(UserWarning, match="2 of 13"), pytest.raises((DataError, CheckpointError)):
        train(config(photos, "runs"), resume="auto")


def test_other_classes_are_refused_with_their_names(photos: Path) -> None:
    """A model of a and b does not judge a folder of a and c; the message names both."""
    (photos / "a" / "00.png").unlink()
    run = train(config(photos, "runs")).folder
    (photos / "b").rename(photos / "c")
    with pytest.raises(DataError, match=r"a, c.* a, b"):
        Predictor.load(run, device="cpu").evaluate(data.parts(photos).train)


def test_a_plan_reads_the_files_once(photos: Path) -> None:
    """Of the bad file one warning is given, not one a stage; all stages have the same images."""
    plan = config(photos, "plan", model="vgg11", init="paper", scales="32,34", batch_size=8)
    with pytest.warns(UserWarning, match=SKIPPED) as said:
        last = train(plan).folder
    assert len([each for each in said if "cannot be read" in str(each.message)]) == 1
    counts = [load_checkpoint(folder / "checkpoints" / "last.safetensors").state["images"]["count"] for folder in last.parent.glob("*_*")]
    assert counts == [12, 12]
