"""Every file of the nasty tree meets the outcome that was written down for it, whoever reads it; nothing hangs, grows or is written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minivgg.data import decode, parts, read_image
from minivgg.errors import DataError

from .nasty import CASES, Case, build, encoded, large_webp, picture

FOLDER = "class"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The nasty files as one class, and a sound image as another."""
    root = tmp_path_factory.mktemp("nasty")
    (root / FOLDER).mkdir()
    build(root / FOLDER)
    (root / "other").mkdir()
    picture().save(root / "other" / "sound.png")
    return root


def state(root: Path) -> dict[str, tuple[int, int, bytes]]:
    """Size, time of change and bytes of everything below `root` that has bytes."""
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        small = path.is_file() and not path.is_symlink() and status.st_size < 2**20
        found[str(path)] = (status.st_size, status.st_mtime_ns, path.read_bytes() if small else b"")
    return found


def outcome(case: Case, path: Path, channels: int, least: int | None) -> None:
    """Assert what the table says of the file."""
    if case.refusal is not None:
        with pytest.raises(DataError, match=case.refusal) as caught:
            decode(path, channels, least)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 700 and path.parent.name in str(caught.value)
        return
    image = decode(path, channels, least)
    assert image.dtype == np.uint8 and image.shape[2] == channels
    if least is None:
        assert image.shape[:2] == case.size
    if least is None and channels == 3 and case.pixel is not None:
        row, column, expected, tolerance = case.pixel
        assert np.abs(image[row, column].astype(int) - expected).max() <= tolerance, image[row, column]


def test_the_table_is_long_and_decided() -> None:
    """At least 80 files, each name once, each with a size or a refusal but not both."""
    assert len(CASES) >= 80 and len({case.name for case in CASES}) == len(CASES)
    assert all((case.size is None) != (case.refusal is None) for case in CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: ascii(case.name)[1:40])
def test_outcome_is_the_one_written_down(tree: Path, case: Case) -> None:
    """In colour, in grey, and where a JPEG may be read at an eighth of its size: the same files are refused."""
    for channels, least in ((3, None), (1, None), (3, 1), (1, 1)):
        outcome(case, tree / FOLDER / case.name, channels, least)


def test_training_and_prediction_read_the_same_pixels(tree: Path) -> None:
    """An image folder gives what `decode` gives, for every file that has a name of an image; `read_image` refuses the same files."""
    folder = parts(tree).train
    names = {path for path in folder.paths if path.startswith(FOLDER)}
    assert names == {f"{FOLDER}/{case.name}" for case in CASES}
    for index, name in enumerate(folder.paths[:-1]):
        case = next(case for case in CASES if f"{FOLDER}/{case.name}" == name)
        if case.refusal is None:
            assert np.array_equal(folder.read(np.array([index]))[0], decode(tree / name, 3))
            assert read_image(tree / name, 1, (8, 8)).shape == (8, 8, 1)
        else:
            with pytest.raises(DataError, match=case.refusal):
                folder.read(np.array([index]))
            with pytest.raises(DataError, match=case.refusal):
                read_image(tree / name, 1, (8, 8))


def test_skipping_drops_the_refused_files_and_no_other(tree: Path) -> None:
    """One warning with the number and three paths; what is left is the table's accepted files, twice the same, with any workers."""
    refused = sum(case.refusal is not None for case in CASES)
    kept = []
    for workers in (1, 3):
        with pytest.warns(
            UserWarning, match=rf"{refused} of {len(CASES) + 1} image files cannot be read.* and {refused - 3} more"
        ) as caught:
            kept.append(parts(tree, on_bad="skip", workers=workers).train)
        assert len(caught) == 1 and "\n" not in str(caught[0].message)
    assert kept[0].paths == kept[1].paths and kept[0].fingerprint() == kept[1].fingerprint()
    assert {*kept[0].paths} == {"other/sound.png"} | {f"{FOLDER}/{case.name}" for case in CASES if case.refusal is None}


def test_nothing_is_written(tree: Path) -> None:
    """Names, sizes, times and bytes of the tree are the same after every file was read in every way."""
    before = state(tree)
    folder = parts(tree).train
    folder.fingerprint()
    folder.sound(2)
    assert state(tree) == before


def growth(script: str, *arguments: str) -> float:
    """MiB by which the peak memory of a process of its own grows while it runs `script`."""
    whole = (
        "import resource, sys, warnings\nimport PIL.Image, PIL.ImageOps\nPIL.Image.init()\n"
        "from minivgg.data import decode, parts\nfrom minivgg.errors import DataError\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\nbefore = peak()\n"
        f"{script}\nprint((peak() - before) / 1024)"
    )
    done = subprocess.run([sys.executable, "-c", whole, *arguments], capture_output=True, text=True, check=True, timeout=120)
    return float(done.stdout)


def test_memory_is_bounded(tree: Path, tmp_path: Path) -> None:
    """34 bytes of WebP that are 10 million pixels take at most 24 bytes a pixel; the whole tree, bombs and all, under 64 MiB."""
    (tmp_path / "legal.webp").write_bytes(large_webp(16_000, 625))
    assert growth("decode(sys.argv[1], 3)", str(tmp_path / "legal.webp")) < 24 * 10e6 / 2**20
    assert growth("parts(sys.argv[1]).train.sound(1)", str(tree)) < 64


@pytest.mark.parametrize("format", ["JPEG", "PROGRESSIVE", "PNG", "GIF", "BMP", "PPM", "TIFF", "WEBP"])
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, format: str) -> None:
    """At each 5 % of a larger image, in every format, at full size and at an eighth."""
    options = {"progressive": True} if format == "PROGRESSIVE" else {}
    whole = encoded(picture(60, 90), "JPEG" if options else format, **options)
    for percent in range(5, 100, 5):
        (tmp_path / "cut").write_bytes(whole[: len(whole) * percent // 100])
        for least in (None, 1):
            with pytest.raises(DataError, match="cannot be read as an image"):
                decode(tmp_path / "cut", 3, least)


def test_draft_keeps_colours_and_the_shortest_side(tmp_path: Path) -> None:
    """A JPEG of 320×200, CMYK too, read with `least` = 50, is 80×50, and its quarters keep their colours within 12 levels."""
    pixels = np.zeros((200, 320, 3), np.uint8)
    pixels[:100, :160], pixels[100:, 160:], pixels[100:, :160] = (200, 30, 40), (20, 60, 220), 255
    from PIL import Image

    for mode in ("RGB", "CMYK"):
        Image.fromarray(pixels).convert(mode).save(tmp_path / "a.jpg", quality=95)
        small = decode(tmp_path / "a.jpg", 3, 50)
        assert small.shape == (50, 80, 3)
        assert np.abs(small[10::30, 20::40].astype(int) - pixels[40::120, 80::160]).max() <= 12
        assert decode(tmp_path / "a.jpg", 3, 51).shape == (100, 160, 3)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    """The reason is the system's."""
    picture().save(tmp_path / "a.png")
    (tmp_path / "a.png").chmod(0)
    with pytest.raises(DataError, match="Permission denied"):
        decode(tmp_path / "a.png", 3)


def test_a_path_of_no_file_system_is_refused() -> None:
    """A NUL or 5,000 letters in a path: one line each."""
    for path in ("a\0b.jpg", "x" * 5000 + ".jpg"):
        with pytest.raises(DataError, match=r"not a path|cannot be read") as caught:
            decode(path, 3)
        assert re.search(r"\n", str(caught.value)) is None


def test_threads_that_decode_leave_warnings_alone(tmp_path: Path) -> None:
    """Pillow's warning of a damaged EXIF is not heard even where warnings are errors; every other one is, while threads decode and
    afterwards."""
    exif = encoded(picture(), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01")  # five entries are promised, none is there
    (tmp_path / "a.jpg").write_bytes(exif)
    (tmp_path / "b.png").write_bytes(encoded(picture(), "PNG"))
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(decode, tmp_path / name, 3) for name in ("a.jpg", "b.png") * 50]
        with pytest.warns(UserWarning, match="ours"):
            warnings.warn("ours", stacklevel=1)
        assert {future.result().shape for future in waiting} == {(24, 32, 3)}
    with pytest.warns(UserWarning, match="ours"):
        warnings.warn("ours", stacklevel=1)
    with pytest.raises(UserWarning, match="ours"):
        warnings.warn("ours", stacklevel=1)


def test_damage_anywhere_is_an_image_or_a_refusal(tmp_path: Path) -> None:
    """150 files with some bytes changed, taken out or put in: an array of the promised kind, or a DataError of one line, and the same
    verdict in grey at an eighth of the size."""
    rng = np.random.default_rng(0)
    wholes = [encoded(picture(), name) for name in ("JPEG", "PNG", "GIF", "BMP", "PPM", "WEBP")]
    verdicts = set()
    for number in range(150):
        content = bytearray(wholes[number % len(wholes)])
        for place in rng.integers(0, len(content) if number % 2 else 60, 3).tolist():
            content[place : place + int(rng.integers(0, 5))] = rng.bytes(int(rng.integers(0, 5)))
        (tmp_path / "damaged").write_bytes(content)
        reasons = [_refusal(tmp_path / "damaged", channels, least) for channels, least in ((3, None), (1, 1))]
        assert (reasons[0] == "") == (reasons[1] == "") and "\n" not in reasons[0] + reasons[1]
        verdicts.add(reasons[0] == "")
    assert verdicts == {True, False}


def _refusal(path: Path, channels: int, least: int | None) -> str:
    """Why the file is refused; empty if it is read."""
    try:
        image = decode(path, channels, least)
    except DataError as error:
        return str(error)
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == channels and image.size
    return ""


def test_libtiff_writes_no_lines_of_its_own(tmp_path, capfd):
    """A damaged LZW strip is refused in one line by the exception; the C library's own line does not reach stderr."""
    path = tmp_path / "lzw.tif"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(path, compression="tiff_lzw")
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\xff" * 40 + content[140:])
    with pytest.raises(DataError, match=r"lzw\.tif: cannot be read as an image"):
        decode(path, 3)
    assert capfd.readouterr() == ("", "")
