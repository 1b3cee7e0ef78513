"""Image files: known formats, the right pixels, a bound on memory, and a reason for every refusal. And what a model says of them."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from minivgg import data
from minivgg.data import read_image
from minivgg.errors import CheckpointError, DataError
from minivgg.train import Checkpoint, Predictor, load_checkpoint, save_checkpoint, train


def gradient(height=20, width=30, channels=3):
    """An image without symmetry."""
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([rows * 5, columns * 5, rows + columns], axis=2).astype(np.uint8)
    return image if channels == 3 else image[..., 0]


@pytest.mark.parametrize("suffix", ["png", "bmp", "ppm", "tiff"])
def test_lossless_formats_give_the_exact_pixels(tmp_path, suffix):
    """Asked for its own size, an image comes back as it was saved."""
    Image.fromarray(gradient()).save(tmp_path / f"a.{suffix}")
    assert np.array_equal(read_image(tmp_path / f"a.{suffix}", 3, (20, 30)), gradient())


def test_an_image_is_scaled_isotropically_and_cut_at_the_centre(tmp_path):
    """A wide image with black sides and a white middle third, at 10×10: only the middle is left, all white."""
    wide = np.zeros((20, 60), np.uint8)
    wide[:, 18:42] = 255
    Image.fromarray(wide).save(tmp_path / "w.png")
    assert (read_image(tmp_path / "w.png", 1, (10, 10)) == 255).all()


def test_the_cameras_orientation_is_applied(tmp_path):
    """EXIF orientation 6 says: turn by 90 degrees clockwise."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(gradient()).save(tmp_path / "e.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "e.png", 3, (30, 20)), np.rot90(gradient(), -1))


def test_every_kind_of_pixel_becomes_grey_or_rgb(tmp_path):
    """16-bit grey is scaled, not clipped; transparent is white; palettes and CMYK are converted."""
    grey16 = np.linspace(0, 65535, 12).astype(np.uint16).reshape(3, 4)
    Image.fromarray(grey16).save(tmp_path / "16.png")
    assert np.array_equal(read_image(tmp_path / "16.png", 1, (3, 4))[..., 0], grey16 // 257)
    clear = np.zeros((2, 2, 4), np.uint8)
    clear[0] = (10, 20, 30, 255)
    Image.fromarray(clear).save(tmp_path / "rgba.png")
    found = read_image(tmp_path / "rgba.png", 3, (2, 2))
    assert (found[0] == (10, 20, 30)).all() and (found[1] == 255).all()
    Image.fromarray(gradient()).convert("P").save(tmp_path / "p.gif")
    Image.fromarray(gradient()).convert("CMYK").save(tmp_path / "c.jpg")
    for name in ("p.gif", "c.jpg", "16.png"):
        for channels in (1, 3):
            assert read_image(tmp_path / name, channels, (5, 6)).shape == (5, 6, channels)


def bomb(width, height):
    """A small PNG that claims to be huge, and would decode to zeros."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = zlib.compress(b"\0" * (width + 1) * min(height, 100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def jpeg():
    """A JPEG of noise, a few kilobytes."""
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(stream, "JPEG")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"#!/bin/sh\n", "no image of a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no image of a known format"),
        (jpeg()[: len(jpeg()) // 2], "cannot be read"),
        (bomb(20_000, 5_000), "more than 50,000,000|bomb"),
        (bomb(100, 100)[:60], "cannot be read"),
    ],
)
def test_bad_images_are_refused_with_path_and_reason(tmp_path, content, reason):
    """Empty, a script, a format that is not listed, half a JPEG, over 50 million pixels, cut off."""
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(DataError, match=reason) as caught:
        read_image(tmp_path / "bad.png", 3, (8, 8))
    assert str(tmp_path / "bad.png") in str(caught.value)


def test_missing_images_and_folders_are_refused(tmp_path):
    """The path is in the message."""
    with pytest.raises(DataError, match="no such file"):
        read_image(tmp_path / "gone.png", 3, (8, 8))
    with pytest.raises(DataError, match="expected a regular file"):
        read_image(tmp_path, 3, (8, 8))


def test_prediction_is_the_classification_of_the_file(config, tmp_path):
    """Test images saved as PNG: their most probable classes are right exactly as often as the run's own test says."""
    result = train(config(epochs=1, head="linear", width=1 / 8))
    predictor = Predictor.load(result.folder, device="cpu")
    _, test = data.load(config().data)
    paths = []
    for number, image in enumerate(test.images):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(image[..., 0]).save(paths[-1])
    found = predictor.predict(paths)
    assert all(p.sum() == pytest.approx(1.0) and p.shape == (3,) for p in found)
    assert sum(int(p.argmax() == label) for p, label in zip(found, test.labels, strict=True)) == result.test.correct


def test_best_and_single_files_can_be_named(config):
    """A folder's best checkpoint, and a checkpoint by its path."""
    folder = train(config(epochs=1)).folder
    a = Predictor.load(folder, best=True, device="cpu")
    b = Predictor.load(folder / "checkpoints" / "best.safetensors", device="cpu")
    assert a.classes == b.classes == ("0", "1", "2") and a.shape == (28, 28, 1)


def test_what_is_no_model_is_refused(config, tmp_path):
    """A folder without a checkpoint, a checkpoint without a description, one whose arrays do not fit its configuration."""
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        Predictor.load(tmp_path)
    save_checkpoint(tmp_path / "c.safetensors", Checkpoint({}, {}, {"step": 1}))
    with pytest.raises(CheckpointError, match="does not describe a model"):
        Predictor.load(tmp_path / "c.safetensors")
    whole = load_checkpoint(train(config(epochs=1)).folder / "checkpoints" / "last.safetensors")
    save_checkpoint(tmp_path / "c.safetensors", Checkpoint({}, {}, whole.state))
    with pytest.raises(CheckpointError, match=r"c\.safetensors.*missing"):
        Predictor.load(tmp_path / "c.safetensors")


def test_files_are_predicted_as_they_are_validated(config, tmp_path):
    """A run on photographs of several sizes: rescaled and cut at the centre, each file has the posterior of the run's own loader."""
    rng = np.random.default_rng(0)
    for k in range(12):
        path = tmp_path / "photos" / "ab"[k % 2] / f"{k:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40 + k, 60 - 2 * k, 3), dtype=np.uint8)).save(path)
    changes = {"scale": "36-40", "val_split": 0.5, "batch_size": 4}
    predictor = Predictor.load(train(config(data=str(tmp_path / "photos"), epochs=1, **changes)).folder, device="cpu")
    photos = data.parts(tmp_path / "photos").train
    found = predictor.predict([photos.root / path for path in photos.paths])
    expected = predictor.evaluate(photos)
    assert predictor.shape == (None, None, 3) and len(found) == 12
    assert sum(p.argmax() == label for p, label in zip(found, photos.labels, strict=True)) == expected.correct
    loss = -np.mean([np.log(p[label]) for p, label in zip(found, photos.labels, strict=True)])
    assert loss == pytest.approx(expected.loss, rel=1e-4)


def test_evaluation_refuses_other_images(config):
    """RGB images for a grey model."""
    predictor = Predictor.load(train(config(epochs=1)).folder, device="cpu")
    rgb = data.Dataset(np.zeros((3, 28, 28, 3), np.uint8), np.arange(3), ("a", "b", "c"), "rgb")
    with pytest.raises(DataError, match=r"rgb has 3 channel\(s\)"):
        predictor.evaluate(rgb)
