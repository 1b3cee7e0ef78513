"""check-data's report: every count and group against what the folder was made of."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minivgg.cli import run
from minivgg.data import inspect
from minivgg.data.tree import SUFFIXES
from minivgg.errors import DataError

from .nasty import CASES, build, encoded, frames, picture, turned


def save(path: Path, seed: int, size: tuple[int, int] = (20, 30)) -> None:
    """An image of noise, as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)).save(path, "PNG")


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """2 + 1 cats and 1 dog to train, 1 cat to validate, all different."""
    for seed, path in enumerate(["train/cat/1.png", "train/cat/2.png", "train/cat/3.png", "train/dog/1.png", "val/cat/1.png"]):
        save(tmp_path / path, seed, (20 + seed, 40))
    return tmp_path


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """`minivgg check-data …` in this process: (exit code, stdout, stderr)."""
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # which the command sets

    def command(*arguments: object) -> tuple[int, str, str]:
        code = run(["check-data", *map(str, arguments)])
        return code, *capsys.readouterr()

    return command


def test_a_sound_folder_is_counted(sound: Path) -> None:
    """Classes, sizes, what a part lacks; no remark."""
    report = inspect(sound)
    assert report.counts == {"train": {"cat": 3, "dog": 1}, "val": {"cat": 1}}
    assert report.sizes == {"height": (20, 22, 24), "width": (40, 40, 40)}
    assert report.missing == {"val": ["dog"]} and report.trainable
    assert report.bad == report.doubles == report.odd == report.ignored == report.problems == []


def test_equal_images_are_leaks_contradictions_or_repeats(sound: Path) -> None:
    """By pixels, whatever the format and name: across parts, across classes, within a class, in this order."""
    save(sound / "train/cat/repeat.png", 0, (20, 40))
    Image.open(sound / "train/cat/2.png").save(sound / "train/dog/contradiction.bmp")
    Image.open(sound / "train/dog/1.png").save(sound / "val/cat/leak.webp", lossless=True)
    assert [tuple(double) for double in inspect(sound).doubles] == [
        ("leak", ("train/dog/1.png", "val/cat/leak.webp")),
        ("contradiction", ("train/cat/2.png", "train/dog/contradiction.bmp")),
        ("repeat", ("train/cat/1.png", "train/cat/repeat.png")),
    ]


def test_odd_images_are_told_with_their_reason(sound: Path) -> None:
    """Tiny, long, of one colour, under a wrong suffix, animated, with an impossible orientation."""
    folder = sound / "train" / "dog"
    save(folder / "tiny.png", 10, (15, 15))
    save(folder / "long.png", 11, (20, 81))
    save(folder / "not_so_long.png", 12, (20, 80))
    Image.new("RGB", (20, 20), (1, 2, 3)).save(folder / "colour.png")
    save(folder / "suffix.jpg", 13)
    (folder / "z.gif").write_bytes(frames("GIF"))
    exif = Image.Exif()
    exif[0x0112] = 9
    (folder / "exif.jpg").write_bytes(encoded(picture(), "JPEG", exif=exif))
    (folder / "upright.jpg").write_bytes(turned(6, "JPEG"))
    (sound / "train" / "dog" / "list.csv").write_text("x")
    save(sound / "val" / "stray.png", 14)
    report = inspect(sound)
    assert {tuple(remark) for remark in report.odd} == {
        ("train/dog/tiny.png", "tiny: 15×15"),
        ("train/dog/long.png", "extreme shape: 20×81 is 4.0 to 1"),
        ("train/dog/colour.png", "one colour: every pixel is 1, 2, 3"),
        ("train/dog/suffix.jpg", "wrong suffix: .jpg, but a PNG file"),
        ("train/dog/z.gif", "tiny: 10×20"),
        ("train/dog/z.gif", "one colour: every pixel is 255, 0, 0"),
        ("train/dog/z.gif", "several frames or pages: the first is read"),
        ("train/dog/exif.jpg", "odd EXIF: its orientation is 9, and taken for 1"),
    }
    assert report.ignored == ["train/dog/list.csv", "val/stray.png"] and report.trainable


def test_all_faults_are_told_at_once(sound: Path) -> None:
    """A class that train lacks, an empty class, a bad file: three problems, and all the same every other file is read."""
    save(sound / "val/bird/1.png", 20)
    (sound / "train/empty").mkdir()
    (sound / "train/cat/bad\n.png").write_bytes(b"<html>")
    report = inspect(sound)
    empty, unknown, bad = report.problems
    assert (
        "no images in the class folder empty" in empty
        and "bird is no class of" in unknown
        and bad.startswith("1 image file cannot be read.")
    )
    assert [remark.image for remark in report.bad] == ["train/cat/bad\n.png"] and report.bad[0].reason.startswith(
        "cannot be read as an image"
    )
    assert report.counts == {"train": {"cat": 3, "dog": 1, "empty": 0}, "val": {"bird": 1, "cat": 1}}


def test_one_class_is_not_enough(tmp_path: Path) -> None:
    """As train says it."""
    save(tmp_path / "a/1.png", 0)
    assert inspect(tmp_path).problems == ["all 1 training images are of the class a: there is nothing to tell apart."]


def test_report_is_the_same_for_any_number_of_threads(tmp_path: Path) -> None:
    """The whole nasty tree with 1 and 3; progress counts to the end; the bad files are the table's."""
    (tmp_path / "a").mkdir()
    build(tmp_path / "a")
    save(tmp_path / "b/1.png", 0)
    told: list[tuple[int, int]] = []
    one, three = inspect(tmp_path), inspect(tmp_path, workers=3, progress=lambda done, total: told.append((done, total)))
    assert one == three and told == [(k, len(CASES) + 1) for k in range(1, len(CASES) + 2)]
    assert {remark.image for remark in one.bad} == {f"a/{case.name}" for case in CASES if case.refusal is not None}


def test_arrays_are_looked_at_too(tmp_path: Path) -> None:
    """An .npz: counts by class, images named by part and index."""
    images = np.random.default_rng(0).integers(0, 256, (6, 20, 20), np.uint8)
    images[5] = 7
    np.savez(tmp_path / "d.npz", x_train=images, y_train=[0, 0, 1, 1, 1, 1], x_test=images[:1], y_test=[1], classes=["a", "b"])
    report = inspect(tmp_path / "d.npz")
    assert report.counts == {"train": {"a": 2, "b": 4}, "test": {"a": 0, "b": 1}} and report.missing == {"test": ["a"]}
    assert [tuple(double) for double in report.doubles] == [("leak", ("train[0]", "test[0]"))]
    assert [tuple(remark) for remark in report.odd] == [("train[5]", "one colour: every pixel is 7")]
    with pytest.raises(DataError, match="no such file or folder"):
        inspect(tmp_path / "gone")


def test_command_ends_with_3_where_training_would_fail(sound: Path, check: Callable[..., tuple[int, str, str]]) -> None:
    """The last line says which; JSON has the same facts; a source that is none is one line, exit 3."""
    code, out, err = check(sound)
    assert (code, err) == (0, "") and out.splitlines()[-1] == "Training would work."
    assert out.splitlines()[:4] == [
        "class    train      val",
        "cat          3        1",
        "dog          1        0",
        "all          4        1",
    ]
    (sound / "train/dog/two\nlines.png").write_bytes(b"")
    code, out, err = check(sound)
    assert (code, err) == (3, "") and "  train/dog/two\\nlines.png: the file is empty (0 bytes). Fetch it again." in out.splitlines()
    assert out.splitlines()[-1].startswith("Training would fail: 1 image file cannot be read.")
    code, out, err = check(sound, "--format", "json", "--grey")
    found = json.loads(out)
    assert (code, err) == (3, "") and found["trainable"] is False
    assert found["bad"] == [{"image": "train/dog/two\nlines.png", "reason": "the file is empty (0 bytes). Fetch it again."}]
    code, out, err = check(sound / "gone")
    assert (code, out) == (3, "") and err == f"error: {sound / 'gone'}: there is no such file or folder. Check the path.\n"


def test_page_on_images_prints_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: Callable[..., tuple[int, str, str]]
) -> None:
    """docs/images.md's example makes a folder of which check-data says what stands there; only a count of bytes may differ between
    versions of Pillow. The suffixes are those of the code."""
    page = (Path(__file__).parents[2] / "docs" / "images.md").read_text(encoding="utf-8")
    example, shown = re.search(r"```python\n(.*?)```.*?```\n(.*?)```", page, re.DOTALL).groups()  # type: ignore[union-attr]
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "docs/images.md", "exec"), {"__name__": "page"})
    code, out, err = check("photos")
    assert (code, err) == (3, "")
    assert re.sub(r"\d+ bytes not", "some bytes not", out) == re.sub(r"\d+ bytes not", "some bytes not", shown)
    assert " ".join(sorted(SUFFIXES)) in page and f"makes {len(CASES)} files" in page
