"""The page stands alone, shows names as they are, and is the same bytes for the same results; the tables never depend on it."""

from __future__ import annotations

import base64
import io
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minivgg.errors import ConfigError, DataError, StorageError
from minivgg.evaluation.calibration import calibrate
from minivgg.evaluation.report import page, write_outputs
from minivgg.evaluation.scores import score

from .answers import answers, noise, predictor

FILES = ["predictions.csv", "classes.csv", "scores.json", "report.html"]


class Reader(HTMLParser):
    """Tags with their attributes, and the text outside <style>."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.inside = ""
        self.feed(content.decode("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_data(self, data: str) -> None:
        if self.inside != "style":
            self.text += data + " "

    def pictures(self) -> list[Image.Image]:
        """All pictures, decoded."""
        uris = [str(attributes["src"]) for tag, attributes in self.tags if tag == "img"]
        return [Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,"), validate=True))) for uri in uris]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of three epochs, of which two have losses that are not finite."""
    folder = tmp_path_factory.mktemp("runs") / "2026-01-01_vgg11"
    folder.mkdir()
    rows = [
        {"epoch": e, "train_loss": 2 / e, "val_loss": 2.1 / e, "train_accuracy": e / 4, "val_accuracy": e / 5, "lr": 0.1} for e in (1, 2, 3)
    ]
    rows[1]["val_loss"], rows[2]["train_loss"] = float("nan"), float("inf")
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="module")
def written(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The four files about a set with everything on the page, in a folder that was not there."""
    folder = tmp_path_factory.mktemp("out") / "deep" / "er"
    classes = ("<script>alert(1)</script>", "a & b", "a class with a name as long as a sentence", "naïve \udcff")
    paths = write_outputs(folder, answers(classes=classes), run, predictor(), noise)
    assert paths == [folder / name for name in FILES]
    return folder


def test_the_page_refers_to_nothing_outside(written: Path) -> None:
    """No script, no link, no src but data:, no href but an anchor on the page, no url() and no @import in any style."""
    content = (written / "report.html").read_bytes()
    reader = Reader(content)
    assert not {tag for tag, _ in reader.tags} & {"script", "link", "iframe", "object", "embed", "base", "form"}
    for tag, attributes in reader.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in {"src", "srcset", "data", "poster", "background"}:
                assert str(value).startswith("data:image/png;base64,"), (tag, name)
            if name in {"href", "xlink:href"}:
                assert str(value).startswith("#"), (tag, name)
    text = content.decode()
    assert all(match.startswith("#") for match in re.findall(r"url\(\s*['\"]?([^)]*)", text)) and "@import" not in text


def test_the_page_shows_names_as_they_are(written: Path) -> None:
    """A class called <script> is text; so are & and a byte that is not UTF-8."""
    text = Reader((written / "report.html").read_bytes()).text
    assert "<script>alert(1)</script>" in text and "a & b" in text and "naïve \\udcff" in text


def test_the_page_holds_the_figures_and_pictures(written: Path) -> None:
    """Headline figures, both graphs, a thumbnail for every mistake (24 at most) and 12 right ones, the filters, all ReLUs."""
    scored = answers()
    scores = score(scored)
    reader = Reader((written / "report.html").read_bytes())
    for text in (f"{100 * scores.top1:.1f} %", f"{scores.loss:.4f}", f"{100 * calibrate(scored).error:.1f} %", "center", "vgg11"):
        assert text in reader.text
    assert sum(tag == "svg" for tag, _ in reader.tags) == 2
    wrong = round(60 * (1 - scores.top1))
    *small, filters = reader.pictures()
    assert len(small) == min(wrong, 24) + 12
    assert all(picture.size == (28, 28) for picture in small)
    assert filters.size == (3 * 3 + 2, 2 * 3 + 1)  # 4 filters of 3×3, three in a row, a pixel between them
    surest = max(np.flatnonzero(scored.probabilities.argmax(1) != scored.labels), key=lambda k: scored.probabilities[k].max())
    assert np.array_equal(np.asarray(small[0]), noise(surest)[:, :, 0])
    assert (
        all(f" conv{name} " in reader.text for name in ("1_1", "2_1", "3_1", "3_2", "4_1", "4_2", "5_1", "5_2")) and " fc7 " in reader.text
    )


def test_equal_results_are_equal_bytes(written: Path, run: Path, tmp_path: Path) -> None:
    """All four files again, into another folder."""
    classes = ("<script>alert(1)</script>", "a & b", "a class with a name as long as a sentence", "naïve \udcff")
    for path in write_outputs(tmp_path, answers(classes=classes), run, predictor(), noise):
        assert path.read_bytes() == (written / path.name).read_bytes(), path.name


def test_a_thousand_classes_make_a_bounded_page() -> None:
    """1,200 classes: the matrix has 20 of them and one for the others, the table a thousand rows, the page under 1 MB, no pictures."""
    scored = answers(3000, 1200, strength=6)
    scores = score(scored)
    content = page(scored, scores, calibrate(scored))
    reader = Reader(content)
    assert len(content) < 1_000_000 and "1,180 others" in reader.text and "200 better classes" in reader.text
    assert f"{int((scores.support == 0).sum())} of the 1200 classes have no image here" in reader.text
    assert sum(tag == "tr" for tag, _ in reader.tags) == (1 + 21) + (1 + 1000 + 2)


def test_large_photographs_become_small() -> None:
    """Pictures of any size and shape, up to 36 of them: thumbnails of 80 pixels, one pixel at least, and the page under 2 MB."""
    shapes = [(375, 500, 3), (500, 375, 3), (1, 3000, 3), (3000, 1, 3), (9, 9, 3)]

    def photograph(k: int) -> np.ndarray:
        return np.random.default_rng(k).integers(0, 256, shapes[k % 5], dtype=np.uint8)

    scored = answers(100, 10, strength=1.0)
    content = page(scored, score(scored), calibrate(scored), image=photograph)
    sizes = {picture.size for picture in Reader(content).pictures()}
    assert sizes == {(80, 60), (60, 80), (80, 1), (1, 80), (9, 9)} and len(content) < 2_000_000


def test_a_network_without_mistakes_has_its_page() -> None:
    """Nothing wrong, two classes: no top-5, no cards of mistakes."""
    scored = answers(10, 2, strength=50.0)
    text = Reader(page(scored, score(scored), calibrate(scored))).text
    assert "There is none" in text and "top-" not in text.replace("top-1", "")


@pytest.mark.parametrize("library", ["jinja2", "matplotlib"])
def test_without_the_extra_the_tables_are_written(library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that is not installed: exit code 2, how to install it, and all but the page."""
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigError, match=rf"{library} is not installed: pip install 'minivgg\[report\]'") as error:
        write_outputs(tmp_path, answers(), None, None, None)
    assert error.value.exit_code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES[:3])


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    """-o names a file, or something below one: exit code 6, the path in the message, the file untouched."""
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StorageError, match=re.escape(str(path))):
            write_outputs(path, answers(), None, None, None)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("line", ["{", "[1]", "null", '{"loss": 1}', '{"epoch": "x"}', '{"epoch": 1, "train_loss": []}'])
def test_damaged_metrics_are_named(line: str, tmp_path: Path) -> None:
    """A metrics.jsonl that cannot be read is a DataError with its path, after the tables were written."""
    (tmp_path / "metrics.jsonl").write_text(line + "\n")
    with pytest.raises(DataError, match=re.escape(str(tmp_path / "metrics.jsonl"))):
        write_outputs(tmp_path / "out", answers(), tmp_path, None, None)
    assert (tmp_path / "out" / "scores.json").is_file()
