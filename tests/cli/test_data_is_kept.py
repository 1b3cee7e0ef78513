"""No command writes into the data set that it reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minivgg.cli import run
from minivgg.files import require_outside
from minivgg.train import TrainConfig, train


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photographs, the same as arrays in a file, and a run that was trained on them."""
    folder = tmp_path_factory.mktemp("kept")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (12, 32, 32, 3), np.uint8)
    for number, image in enumerate(images):
        path = folder / "photos" / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    np.savez(folder / "images.npz", x_train=images, y_train=np.arange(12) % 2)
    values = {"data": str(folder / "photos"), "out": str(folder / "runs"), "width": 1 / 64, "epochs": 1, "batch_size": 4}
    train(TrainConfig.of(values, {"val_split": 0.4, "workers": 0})).folder.rename(folder / "runs" / "run")
    return folder


@pytest.mark.parametrize(
    "line",
    [
        "train photos --out photos/runs",
        "train photos --out photos/cat",
        "train photos --recipe paper --image-size 32 --out photos",
        "show-batch photos -o photos/cat/0.png",
        "show-batch images.npz -o images.npz",
        "features runs/run photos -o photos/features.npz",
        "features runs/run images.npz -o images.npz",
        "evaluate runs/run photos -o photos/report",
        "evaluate runs/run -o photos/report",
    ],
)
def test_a_place_among_the_images_is_refused(
    place: Path, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2 and one line that names both; every file and folder of the data is as before."""
    monkeypatch.chdir(place)
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    assert run(line.split()) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and "lies in the data set" in said[0] and "Name a place outside it." in said[0]
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


def test_a_place_beside_the_images_is_fine(tmp_path: Path) -> None:
    """A folder whose name begins alike is another one; a source of its own, the embedded images, cannot be met."""
    require_outside("-o", tmp_path / "photos2" / "a.png", tmp_path / "photos")
    require_outside("-o", tmp_path, None)
