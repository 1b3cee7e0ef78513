"""Principal axes of colour against NumPy, the size of the shift they give, and the cache."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minivgg import data
from minivgg.data import Colours, ColourShift, Dataset, Draws, colours, statistics
from minivgg.data.axes import principal_axes
from minivgg.data.statistics import sums
from minivgg.errors import ConfigError, DataError

RNG = np.random.default_rng(5)


def photographs(count: int, side: int = 48) -> np.ndarray:
    """Pictures with the statistics of photographs: amplitudes fall as 1/frequency, brightness varies most, blue against red next."""
    frequency = np.maximum(np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side))), 1 / side)
    planes = np.fft.ifft2(np.fft.fft2(RNG.standard_normal((count, 3, side, side))) / frequency).real
    planes = planes / planes.std() * np.array([0.45, 0.14, 0.06])[:, None, None]  # along brightness, blue to red, green to magenta
    axes = np.array([[1, 1, 1], [-1, 0, 1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
    rgb = np.einsum("kahw,ac->khwc", planes, axes) + np.array([0.48, 0.46, 0.41])
    return (255 * rgb.clip(0, 1)).round().astype(np.uint8)


def dataset(images: np.ndarray) -> Dataset:
    """Of one class."""
    return Dataset(images, np.zeros(len(images), np.int64), ("a",), "photographs")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve PNG files of several sizes in two classes, and a cache of their own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for k in range(12):
        path = tmp_path / "images" / "ab"[k % 2] / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RNG.integers(0, 256, (8 + k, 20 - k, 3), dtype=np.uint8)).save(path)
    return tmp_path / "images"


def cached(folder: Path) -> list[Path]:
    """The files in the cache."""
    return sorted((folder.parent / "cache" / "minivgg").glob("*.json"))


def test_the_axes_are_numpys():
    """Covariance as np.cov's, eigenvalues and eigenvectors as np.linalg.eigh's but for the sign, mean and std as before."""
    images = photographs(20)
    pixels = images.reshape(-1, 3) / 255
    found = colours(dataset(images))
    values, vectors = np.linalg.eigh(np.cov(pixels.T, bias=True))
    assert np.allclose(found.values, values[::-1], rtol=1e-10)
    for mine, numpys in zip(np.array(found.vectors), vectors.T[::-1], strict=True):
        assert abs(abs(mine @ numpys) - 1) < 1e-10
    assert (found.mean, found.std) == statistics(dataset(images))
    rebuilt = np.array(found.vectors).T @ np.diag(found.values) @ np.array(found.vectors)
    assert np.abs(rebuilt - np.cov(pixels.T, bias=True)).max() < 1e-14


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_jacobis_rotations_find_numpys_axes(count):
    """Random positive matrices, some of them singular or diagonal: eigenvalues to 1e-14 of the largest, A = VᵀΛV, V orthogonal."""
    for k in range(20):
        half = RNG.standard_normal((count, count)) * (np.arange(count) < count - k % 2)
        matrix = half @ half.T if k % 5 else np.diag(RNG.random(count))
        values, vectors = map(np.array, principal_axes(matrix))
        scale = np.abs(matrix).max()
        assert np.abs(values - np.linalg.eigvalsh(matrix)[::-1]).max() <= 1e-14 * count * scale
        assert np.abs(vectors.T @ np.diag(values) @ vectors - matrix).max() <= 1e-14 * count * scale
        assert np.abs(vectors @ vectors.T - np.eye(count)).max() < 1e-14
        assert (np.diff(values) <= 0).all() and values[-1] >= 0


def test_an_axis_points_where_its_first_large_component_is_positive():
    """Brightness towards white, red against blue towards red: whatever sign the solver gives."""
    found = colours(dataset(photographs(20)))
    for vector in np.array(found.vectors):
        assert vector[np.abs(vector) >= np.abs(vector).max() / 2][0] > 0
    assert min(found.vectors[0]) > 0.4


@pytest.mark.parametrize("images", [RNG.integers(0, 256, (5, 6, 7, 1), dtype=np.uint8), np.full((2, 3, 3, 3), 9, np.uint8)])
def test_grey_and_constant_images_have_axes(images):
    """One channel: λ is the variance and p is 1. No variance: λ is 0, and nothing is NaN."""
    found = colours(dataset(images))
    assert found.values[0] == pytest.approx(found.std[0] ** 2, abs=1e-16) and len(found.vectors) == images.shape[3]
    if images.shape[3] == 1:
        assert found.vectors == ((1.0,),)
    assert np.isfinite(found.vectors).all() and min(found.values) >= 0


def test_the_shift_is_a_few_grey_levels():
    """On pictures like photographs the paper's 0.1 gives a deviation of 2 to 4 grey levels in each channel, in either unit of
    Normalise; fitted on 0..255 it would be hundreds, which is refused."""
    images = photographs(40)
    found = colours(dataset(images))
    assert 0.1 < found.values[0] < 0.3
    draws = Draws(0, 0, np.arange(4000))
    for unit in (found.std, (1 / 255,) * 3):
        shift = ColourShift(found.vectors, found.values, 0.1, unit)(np.zeros((4000, 1, 1, 3), np.float32), draws)
        levels = (shift.reshape(-1, 3) * unit * 255).std(axis=0)
        assert (levels > 1.5).all() and (levels < 4).all()
    with pytest.raises(ConfigError, match="pixels / 255"):
        ColourShift(found.vectors, np.array(found.values) * 255**2, 0.1, found.std)


def test_shifting_before_and_behind_normalise_is_the_same():
    """The shift is added to pixels in 0..1, then the mean and std are applied: the float64 formula, to float32's rounding."""
    images, mean, std = photographs(6), (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    found = colours(dataset(images))
    draws = Draws(1, 0, np.arange(6))
    shift = ColourShift(found.vectors, found.values, 0.1, (1, 1, 1))(np.zeros((6, 1, 1, 3), np.float32), draws).astype(np.float64)
    expected = (images / 255 + shift - mean) / std
    out = data.Compose((data.Normalise(mean, std), ColourShift(found.vectors, found.values, 0.1, std)))(images, draws)
    assert np.abs(out - expected).max() < 2e-6


def test_image_files_are_counted_once(folder, monkeypatch):
    """Against the pixels themselves; the second time no image is read; the order of the images does not matter."""
    fit = data.parts(folder).train
    pixels = np.concatenate([image.reshape(-1, 3) for image in fit.read(np.arange(12))]) / 255
    found = colours(fit)
    assert np.allclose(found.mean, pixels.mean(axis=0)) and np.allclose(found.std, pixels.std(axis=0)) and found.images == 12
    assert len(cached(folder)) == 1
    assert Colours.of(sums(fit.take(np.arange(12)[::-1]))) == found
    monkeypatch.setattr(type(fit), "read", lambda *_: pytest.fail("read again"))
    assert colours(fit) == found


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"null", b'{"sums": 3, "sha256": ""}', b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_cache_is_counted_anew(folder, damage):
    """Garbage in the cache's file changes nothing and is mended."""
    fit = data.parts(folder).train
    found = colours(fit)
    cached(folder)[0].write_bytes(damage)
    assert colours(fit) == found
    assert json.loads(cached(folder)[0].read_bytes())["sums"]["images"] == 12


def test_a_changed_digit_in_the_cache_is_noticed(folder):
    """The checksum is over the sums."""
    fit = data.parts(folder).train
    found = colours(fit)
    text = cached(folder)[0].read_text()
    cached(folder)[0].write_text(text.replace('"count": ', '"count": 1'))
    assert colours(fit) == found


def test_a_cache_that_cannot_be_written_is_done_without(folder):
    """A file where the folder should be."""
    (folder.parent / "cache").write_text("")
    assert colours(data.parts(folder).train).images == 12


def test_other_images_have_other_entries(folder):
    """A file that was changed in place, with the same size in bytes, is counted again; so is a part of the set."""
    path = folder / "a" / "0.png"
    image = np.zeros((8, 20, 3), np.uint8)
    for k in range(2):
        path = path.with_suffix(".bmp")  # every picture of one size has as many bytes
        Image.fromarray(image + 255 * k).save(path)
        os.utime(path, ns=(k, k))
        colours(data.parts(folder).train)
    colours(data.parts(folder).train.take(np.arange(3)))
    assert len(cached(folder)) == 3


def test_a_bad_file_is_named(folder):
    """The path, and no entry in the cache."""
    (folder / "a" / "bad.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"bad\.png"):
        colours(data.parts(folder).train)
    assert cached(folder) == []


def test_a_large_folder_is_sampled(folder, monkeypatch):
    """Of more files than the bound every k-th is read, and the line about them says so."""
    monkeypatch.setattr(sys.modules["minivgg.data.statistics"], "_MOST", 5)
    fit = data.parts(folder).train
    found = colours(fit)
    some = np.concatenate([image.reshape(-1, 3) for image in fit.read(np.arange(0, 12, 3))]) / 255
    assert np.allclose(found.mean, some.mean(axis=0)) and "from 4 of 12 images" in str(found)


def test_without_a_home_nothing_is_cached(folder, monkeypatch):
    """Neither XDG_CACHE_HOME nor a home."""
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert colours(data.parts(folder).train).images == 12 and cached(folder) == []
