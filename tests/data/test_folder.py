"""Image folders as people have them: both layouts, odd entries, links in circles, and one line for each fault."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minivgg.data import ImageFolder, parts, split
from minivgg.errors import DataError


def fill(root: Path, *paths: str) -> Path:
    """An image at each path, all different; a path that ends in / is an empty folder."""
    for number, path in enumerate(paths):
        place = root / path
        (place if path.endswith("/") else place.parent).mkdir(parents=True, exist_ok=True)
        if not path.endswith("/"):
            Image.new("RGB", (4, 3), (number, 10, 20)).save(place, "PNG")
    return root


def folder(root: Path) -> ImageFolder:
    """The training part."""
    train = parts(root).train
    assert isinstance(train, ImageFolder)
    return train


def test_three_parts_share_the_classes_of_train(tmp_path: Path) -> None:
    """root/train, val and test: labels are numbered by train's classes even where a part lacks one."""
    fill(tmp_path, "train/cat/1.png", "train/dog/1.png", "val/dog/2.png", "test/cat/3.png", "test/dog/4.png")
    train, val, test = parts(tmp_path)
    assert val is not None and test is not None
    assert train.classes == val.classes == test.classes == ("cat", "dog")
    assert (train.labels.tolist(), val.labels.tolist(), test.labels.tolist()) == ([0, 1], [1], [0, 1])
    assert [part.name for part in (train, val, test)] == [f"{tmp_path.name}/{part}" for part in ("train", "val", "test")]
    assert val.read(np.array([0]))[0][0, 0].tolist() == [2, 10, 20]


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val"])
def test_validation_folder_has_four_names(tmp_path: Path, name: str) -> None:
    """As people write them."""
    val = parts(fill(tmp_path, "Train/a/1.png", "Train/b/1.png", f"{name}/a/1.png")).val
    assert val is not None and len(val) == 1


def test_one_folder_is_split(tmp_path: Path) -> None:
    """root/<class>/… is one part, which `split` divides; files beside the classes are passed over."""
    fill(tmp_path, *(f"{name}/{number}.png" for name in "ab" for number in range(10)), "stray.png")
    (tmp_path / "README.txt").write_text("photos")
    train, val, test = parts(tmp_path)
    assert len(train) == 20 and val is test is None and train.name == tmp_path.name
    assert [len(part) for part in split(train, 0.2, 0)] == [16, 4]


def test_order_is_that_of_code_points(tmp_path: Path) -> None:
    """Classes, folders and files: Z before a, é last; a file before what is nested deeper; whatever the system's order or language."""
    fill(tmp_path, "a/10.png", "a/2.png", "a/B.png", "a/b.png", "a/1/z.png", "Z/1.png", "é/1.png")
    found = folder(tmp_path)
    assert found.classes == ("Z", "a", "é")
    assert found.paths == ("Z/1.png", "a/10.png", "a/2.png", "a/B.png", "a/b.png", "a/1/z.png", "é/1.png")


def test_hidden_entries_and_other_files_are_passed_over(tmp_path: Path) -> None:
    """.git, .DS_Store, ._photo.jpg of a Mac, __MACOSX, Thumbs.db and notes are no images and no classes."""
    fill(tmp_path, "a/1.png", "b/2.JPG", "a/.hidden.png", "a/._1.png", ".git/x.png", "__MACOSX/a/._1.png", "a/.cache/2.png")
    for name in ("a/Thumbs.db", "a/notes.txt", ".DS_Store", "a/no_suffix"):
        (tmp_path / name).write_bytes(b"x")
    assert folder(tmp_path).paths == ("a/1.png", "b/2.JPG")


def test_circles_of_links_end(tmp_path: Path) -> None:
    """A link to the folder itself, to the root, to another class, to a folder outside: each real folder is visited once."""
    fill(tmp_path / "root", "a/1.png", "a/deep/2.png", "b/3.png")
    fill(tmp_path / "outside", "4.png")
    for name, target in (
        ("self", "."),
        ("up", ".."),
        ("other", "../b"),
        ("again", "deep"),
        ("out", "../../outside"),
        ("zz", "../../outside"),
    ):
        (tmp_path / "root" / "a" / name).symlink_to(target)
    (tmp_path / "root" / "a" / "loop").symlink_to("loop")
    assert folder(tmp_path / "root").paths == ("a/1.png", "a/again/2.png", "a/out/4.png", "b/3.png")


def test_a_class_may_be_a_link(tmp_path: Path) -> None:
    """To a folder elsewhere it is a class; to another class it is a fault, for its images would have two labels."""
    fill(tmp_path / "elsewhere", "1.png")
    fill(tmp_path / "root", "a/1.png")
    (tmp_path / "root" / "b").symlink_to("../elsewhere")
    assert folder(tmp_path / "root").classes == ("a", "b")
    (tmp_path / "root" / "c").symlink_to("a")
    with pytest.raises(DataError, match="class folders a, c are one folder under two names"):
        parts(tmp_path / "root")


@pytest.mark.parametrize(
    ("paths", "reason"),
    [
        ((), "no images in folders of their class. Expected root/train/<class>/photo.jpg .* or root/<class>/photo.jpg; or, in MNIST"),
        (("1.png", "2.png"), r"2 images lie in the folder itself \(1.png, 2.png\).* Move each into one"),
        (("train/1.png",), r"train: 1 image lies in the folder itself \(1.png\)"),
        (("train/a/", "train/b/"), "there are no images"),
        (("a/1.png", "b/1.png", "c/", "d/"), "no images in the class folders c, d. Add images, or remove the folders"),
        (
            ("a/1.png", "b/1.png", "c/x.heic"),
            r"no images in the class folder c. Add images with a known suffix \(.apng, .*; c/x.heic has another\)",
        ),
        (("a/1.png", "A/1.png"), "classes A and a differ only in case. Merge or rename"),
        (("é/1.png", "e\u0301/1.png"), "differ only in case"),
        (("two\nlines/1.png", "b/1.png"), r"class two\\nlines is no printable text"),
        (("byte_\udcff/1.png", "b/1.png"), r"class byte_\\udcff is no printable text"),
        (("train/a/1.png", "train/b/1.png", "val/a/1.png", "valid/a/1.png"), "val and valid mean the same part. Keep one"),
        (("val/a/1.png", "test/a/1.png"), "there is val and test, but no train. Expected root/train"),
        (
            ("train/a/1.png", "train/b/1.png", "val/B/1.png", "val/c/1.png", "val/d/1.png", "val/e/1.png"),
            r"val: B, c, d and 1 more are no class of .*train, which has a, b. Rename or remove the folder, or add it to train",
        ),
        (("train/a/1.png", "train/b/1.png", "test/a/"), "test: there are no images in folders of their class"),
    ],
    ids=lambda value: " ".join(map(ascii, value))[:40] if isinstance(value, tuple) else None,
)
def test_each_fault_is_one_line_with_names_and_remedy(tmp_path: Path, paths: tuple[str, ...], reason: str) -> None:
    """DataError, exit code 3, that begins with the folder."""
    with pytest.raises(DataError, match=reason) as caught:
        parts(fill(tmp_path, *paths))
    assert str(caught.value).startswith(str(tmp_path)) and "\n" not in str(caught.value) and caught.value.exit_code == 3


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's reason, for a folder deep inside."""
    fill(tmp_path, "a/1.png", "a/closed/2.png", "b/3.png")
    scandir = os.scandir

    def refusing(path: Path) -> os._ScandirIterator[str]:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(DataError, match=r"a/closed: the folder cannot be read: Permission denied"):
        parts(tmp_path)


def test_grey_is_one_channel(tmp_path: Path) -> None:
    """Of every image, by Pillow's weights 299, 587, 114."""
    train = parts(fill(tmp_path, "a/1.png", "b/1.png"), grey=True).train
    assert train.shape == (None, None, 1)
    (image,) = train.read(np.array([1]))
    assert image.shape == (3, 4, 1) and image[0, 0, 0] == (299 * 1 + 587 * 10 + 114 * 20 + 500) // 1000


def test_fingerprint_knows_what_it_promises(tmp_path: Path) -> None:
    """It changes with a path, a label, a class, the channels, a file's size, its first 16 KiB and last 4 KiB; not with times, nor
    with the middle of a long file, nor with where the folder lies."""
    rng = np.random.default_rng(0)
    fill(tmp_path / "x", "a/1.png", "b/1.png", "b/2.png")
    long = rng.integers(0, 256, 40_000, np.uint8)
    (tmp_path / "x/a/long.png").write_bytes(long.tobytes())

    def after(change: int) -> str:
        changed = long.copy()
        changed[change] ^= 1
        (tmp_path / "x/a/long.png").write_bytes(changed.tobytes())
        return folder(tmp_path / "x").fingerprint()

    prints = {change: after(change) for change in (0, 16_383, 16_384, 30_000, 35_903, 35_904, 39_999)}
    (tmp_path / "x/a/long.png").write_bytes(long.tobytes())
    same = folder(tmp_path / "x").fingerprint()
    assert {change for change, value in prints.items() if value == same} == {16_384, 30_000, 35_903}
    os.utime(tmp_path / "x/a/1.png", (0, 0))
    (tmp_path / "x").rename(tmp_path / "y")
    found = folder(tmp_path / "y")
    assert found.fingerprint() == same == found.take(np.arange(len(found))).fingerprint()
    others = [found.take(np.arange(1, len(found))), parts(tmp_path / "y", grey=True).train]
    (tmp_path / "y/b/2.png").rename(tmp_path / "y/a/2.png")
    others.append(folder(tmp_path / "y"))
    (tmp_path / "y/a").rename(tmp_path / "y/c")
    others.append(folder(tmp_path / "y"))
    assert len({same, *(other.fingerprint() for other in others)}) == 5


def test_skipping_needs_a_sound_image_of_each_class(tmp_path: Path) -> None:
    """A class that loses all its images, or a part that does, is told with the first bad file; nothing is skipped in silence."""
    fill(tmp_path, "train/a/1.png", "train/b/1.png", "train/b/2.png", "val/a/1.png")
    (tmp_path / "train/b/1.png").write_bytes(b"no")
    with pytest.warns(UserWarning, match=r"train: 1 of 3 image files cannot be read and are left out: .*b/1.png"):
        train = parts(tmp_path, on_bad="skip").train
    assert train.labels.tolist() == [0, 1] and len(parts(tmp_path).train) == 3
    (tmp_path / "val/a/1.png").write_bytes(b"no")
    with (
        pytest.warns(UserWarning, match="left out"),
        pytest.raises(DataError, match=r"val: the whole part has no image that can be read.*a/1.png"),
    ):
        parts(tmp_path, on_bad="skip")
    (tmp_path / "train/b/2.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"train: class b has no image that can be read. The first bad file is .*b/1.png"):
        parts(tmp_path, on_bad="skip")
