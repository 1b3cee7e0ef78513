"""Pictures of predictions: the images as the network saw them, what was found below, and no file but the ones asked for."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minivgg import models
from minivgg.cli import run
from minivgg.errors import ConfigError
from minivgg.evaluation.predictions import Explain, class_of, illustrated
from minivgg.pretrained import Network, preparation, save
from minivgg.train import Predictor
from minivgg.train.sheet import Layout, Sheet, pixels

CLASSES = ("ant", "a class with a name that is much longer than any picture is wide", "日本", "7")
SHOWN, GAP, LINE = 160, 12, 18  # pixels: of a 32×32 image on the sheets, between tiles, of a line of text


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with net.safetensors and photographs 0.png, 1.png, 2.png of several sizes. No evidence can speak for its class "7"."""
    folder = tmp_path_factory.mktemp("place")
    model = models.vgg11(num_classes=4, image_size=32, width=1 / 16, head="linear")
    model.classifier.weight.data[...] = np.random.default_rng(0).standard_normal(model.classifier.weight.shape)
    model.classifier.weight.data[3] = -1
    options = {"num_classes": 4, "in_channels": 3, "image_size": 32, "width": 1 / 16, "head": "linear"}
    save(folder / "net.safetensors", Network("vgg11", options, model.state_dict(), CLASSES, preparation("caffe").transform(32)))
    rng = np.random.default_rng(1)
    for k in range(3):
        coarse = rng.integers(0, 256, (9, 7 + 4 * k, 3), dtype=np.uint8)
        Image.fromarray(coarse.repeat(8, 0).repeat(8, 1)).save(folder / f"{k}.png")
    return folder


@pytest.fixture(autouse=True)
def _inside(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


def test_pictures_show_what_the_network_sees(place: Path) -> None:
    """Each pixel of the crop five times as large, in the order of the files; the explanation beside it differs, for class 7 it does not."""
    predictor, files = Predictor.load(place / "net.safetensors", device="cpu"), ["2.png", "0.png", "1.png"]
    drawn = illustrated(predictor, files, 3, Explain())
    sheet, pairs = (np.asarray(Image.open(io.BytesIO(png))) for png in (drawn.sheet, drawn.explanations))
    nothing = np.asarray(Image.open(io.BytesIO(illustrated(predictor, files, None, Explain(3)).explanations)))
    assert all(np.array_equal(p, q) for p, q in zip(drawn.probabilities, predictor.predict(files), strict=True))
    for k, file in enumerate(files):
        seen = pixels(predictor.prepared(file), predictor.transform)[0].repeat(5, 0).repeat(5, 1)
        left, top = GAP + k % 3 * (SHOWN + GAP), GAP + k // 3 * (SHOWN + 4 * LINE + GAP)
        assert np.array_equal(sheet[top : top + SHOWN, left : left + SHOWN], seen)
        wide = 2 * SHOWN + 4
        left, top = GAP + k % 2 * (wide + GAP), GAP + k // 2 * (SHOWN + 2 * LINE + GAP)
        assert np.array_equal(pairs[top : top + SHOWN, left : left + SHOWN], seen)
        assert not np.array_equal(pairs[top : top + SHOWN, left + wide - SHOWN : left + wide], seen)
        assert np.array_equal(nothing[top : top + SHOWN, left + wide - SHOWN : left + wide], seen)


def test_bars_are_as_long_as_probabilities() -> None:
    """A line's bar starts at the left side of the tile and covers its share of the width, also below two pictures."""
    sheet = Sheet(Layout(1, 20, 100, across=2, lines=2, gap=5))
    sheet.line(0, 1, "", bar=0.25)
    drawn = np.asarray(Image.open(io.BytesIO(sheet.png())))
    assert drawn.shape == (5 + 20 + 2 * LINE + 5, 5 + 204 + 5, 3)
    coloured = (drawn != 255).any(2)
    assert np.flatnonzero(coloured.any(0)).tolist() == list(range(5, 5 + 51))
    assert np.flatnonzero(coloured.any(1)).min() >= 5 + 20 + LINE


def test_output_stays_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With pictures stdout has the same text, JSON and CSV; the pictures' paths are on stderr; nothing else is written."""
    for form in ("text", "json", "csv"):
        line = ["predict", "net.safetensors", "0.png", "1.png", "--format", form, "--top", "2", "--device", "cpu"]
        assert run(line) == 0
        before = capsys.readouterr()
        out = [str(tmp_path / "s.png"), str(tmp_path / "e.PNG")]
        assert run([*line, "--sheet", out[0], "--explain", out[1], "--class", "ant", "--layer", "conv2_1"]) == 0
        after = capsys.readouterr()
        assert after.out == before.out and before.err == "" and after.err.split() == out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e.PNG", "s.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.iterdir())


def test_a_bad_image_among_good_ones_stops_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The path is named, exit code 3; nothing is printed or written."""
    (tmp_path / "bad.png").write_text("no image")
    line = ["predict", "net.safetensors", "0.png", str(tmp_path / "bad.png"), "--sheet", str(tmp_path / "s.png"), "--device", "cpu"]
    assert run(line) == 3
    said = capsys.readouterr()
    assert "bad.png" in said.err and said.out == "" and [path.name for path in tmp_path.iterdir()] == ["bad.png"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (["--sheet", "s.jpg"], "must name a .png file"),
        (["--explain", "nowhere/e.png"], "in a folder that exists"),
        (["--sheet", ""], "--sheet is empty"),
        (["--sheet", "./0.png"], "would be written over 0.png"),
        (["--sheet", "s.png", "--explain", "s.png"], "would be written over s.png"),
        (["--class", "ant"], "--class says what to explain"),
        (["--sheet", "s.png", "--layer", "conv1_1"], "--layer says what to explain"),
        (["--explain", "e.png", "--class", "aunt"], "did you mean ant?"),
        (["--explain", "e.png", "--layer", "conv9_1"], 'no layer "conv9_1" that gives a map'),
    ],
)
def test_a_mistake_is_one_line(line: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, the remedy, no traceback, no file."""
    before = sorted(Path().iterdir())
    assert run(["predict", "net.safetensors", "0.png", *line, "--device", "cpu"]) == 2
    said = capsys.readouterr()
    assert reason in said.err and "Traceback" not in said.err and said.out == "" and sorted(Path().iterdir()) == before


def test_a_class_is_named_or_numbered() -> None:
    """A name goes before a number; what several classes are called, no class, and a number out of range are refused."""
    assert class_of("ant", CLASSES) == 0 and class_of("2", CLASSES) == 2 and class_of("7", CLASSES) == 3
    for name, reason in (("4", r"0\.\.3"), ("²", "no class"), ("-1", "no class"), ("", "no class"), ("aunt", "did you mean ant")):
        with pytest.raises(ConfigError, match=reason):
            class_of(name, CLASSES)
    with pytest.raises(ConfigError, match=r"2 classes.*0 or 2"):
        class_of("crane", ("crane", "heron", "crane"))
    with pytest.raises(ConfigError) as caught:
        class_of("class 7777", tuple(f"class {k}" for k in range(1000)))
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize(("side", "across", "lines"), [(224, 1, 6), (224, 2, 2), (32, 1, 1), (33, 2, 1001)])
def test_the_number_that_fits_is_told(side: int, across: int, lines: int) -> None:
    """So many tiles make a sheet of at most 67 million pixels, and one more does not."""
    with pytest.raises(ConfigError) as caught:
        Layout(1_000_000, side, side, 160, across=across, lines=lines, gap=GAP)
    found = re.search(r"--count to ([\d,]+)\.", str(caught.value))
    assert found
    most = int(found[1].replace(",", ""))
    width, height = Layout(most, side, side, 160, across=across, lines=lines, gap=GAP).size
    assert width * height <= 2**26
    with pytest.raises(ConfigError):
        Layout(most + 1, side, side, 160, across=across, lines=lines, gap=GAP)
    with pytest.raises(ConfigError, match="not even one fits"):
        Layout(1, 224, 224, lines=10**6)


def test_a_network_without_classes_is_refused(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Features only: exit code 4, as without pictures."""
    features = {name: array for name, array in models.vgg11(width=1 / 16).state_dict().items() if name.startswith("features")}
    options = {"num_classes": 1, "in_channels": 3, "image_size": 32, "width": 1 / 16, "head": "linear"}
    network = Network("vgg11", options, features, (), preparation("caffe").transform(32), whole=False)
    save(tmp_path / "features.safetensors", network)
    assert run(["predict", str(tmp_path / "features.safetensors"), "0.png", "--explain", str(tmp_path / "e.png"), "--device", "cpu"]) == 4
    assert "no classifier" in capsys.readouterr().err and len(list(tmp_path.iterdir())) == 1


def test_grey_images_and_a_single_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A grey network's pictures are written too, for one image, and its ranking names the class of the highest probability."""
    model = models.vgg11(num_classes=2, in_channels=1, image_size=32, width=1 / 16)
    options = {"num_classes": 2, "in_channels": 1, "image_size": 32, "width": 1 / 16, "head": "paper"}
    save(tmp_path / "g.safetensors", Network("vgg11", options, model.state_dict(), ("a", "b"), preparation("torchvision").transform(32, 1)))
    line = ["predict", str(tmp_path / "g.safetensors"), "1.png", "--format", "json", "--explain", str(tmp_path / "e.png"), "--class", "1"]
    assert run([*line, "--device", "cpu"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert {entry["class"] for entry in found["predictions"]} == {"a", "b"}
    assert Image.open(io.BytesIO((tmp_path / "e.png").read_bytes())).size == (GAP + 2 * SHOWN + 4 + GAP, GAP + SHOWN + 2 * LINE + GAP)
