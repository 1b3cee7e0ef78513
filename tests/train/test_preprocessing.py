"""From a configuration to a transform: which steps, in which order, with which numbers, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from minivgg import data
from minivgg.data import ColourShift, Crop, CutOut, Dataset, Draws, Mirror, Normalise, RandomResizedCrop, Rescale
from minivgg.errors import ConfigError, DataError
from minivgg.train import TrainConfig
from minivgg.train.preprocessing import describe, preprocessing

RNG = np.random.default_rng(2)
GREY = Dataset(RNG.integers(0, 256, (20, 28, 28, 1), dtype=np.uint8), np.zeros(20, np.int64), ("a",), "grey")
COLOUR = Dataset(RNG.integers(0, 256, (20, 40, 50, 3), dtype=np.uint8), np.zeros(20, np.int64), ("a",), "colour")
DRAWS = Draws(0, 0, np.arange(20))


@pytest.fixture
def folder(tmp_path):
    """Six photographs of several sizes."""
    for k in range(6):
        path = tmp_path / "ab"[k % 2] / f"{k}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(RNG.integers(0, 256, (40 + 9 * k, 70 - 5 * k, 3), dtype=np.uint8)).save(path)
    return data.parts(tmp_path).train


def kinds(config, dataset):
    """The names of the transform's steps."""
    return [step.kind for step in preprocessing(config, dataset).steps]


def test_the_default_is_what_it_was():
    """Small grey images: a crop out of black surroundings, mirror, normalise."""
    mean, std = data.statistics(GREY)
    assert preprocessing(TrainConfig(), GREY).steps == (Crop(32, 3), Mirror(), Normalise(mean, std))


def test_the_papers_transforms_in_their_order(folder):
    """Scale jitter, crop, mirror, the mean of 0..255 taken off, colour shift: pixels keep their unit of grey levels."""
    config = TrainConfig(image_size=32, scale="36-72", normalise="mean", colour_shift=0.1, shift=0)
    found = data.colours(folder)
    unit = (1 / 255,) * 3
    shift = ColourShift(found.vectors, found.values, 0.1, unit)
    transform = preprocessing(config, folder)
    assert transform.steps == (Rescale(36, 72), Crop(32), Mirror(), Normalise(found.mean, unit), shift)
    draws = Draws(0, 0, np.arange(6), training=False)
    out = transform(folder.read(np.arange(6)), draws)
    plain = data.Compose((Rescale(54, 54), Crop(32)))(folder.read(np.arange(6)), draws)
    assert np.abs(out - (plain.astype(np.float64) - 255 * np.array(found.mean))).max() < 1e-4


def test_todays_transforms_in_their_order(folder):
    """A random part in place of rescaling and crop; the blanked square last, so that it holds the mean."""
    config = TrainConfig(random_resized=True, cutout=8, colour_shift=0.2)
    assert kinds(config, folder) == ["random_resized_crop", "mirror", "normalise", "colour_shift", "cutout"]
    out = preprocessing(config, folder)(folder.read(np.arange(6)), Draws(0, 0, np.arange(6)))
    assert ((out == 0).all(axis=3).sum(axis=(1, 2)) >= 16).all()
    assert preprocessing(TrainConfig(random_resized=True, scale="40-60"), folder).steps[0] == RandomResizedCrop(32, 50)


def test_files_are_rescaled_to_the_image_size_without_a_scale(folder):
    """Every image becomes 32×32, in training from a margin of `shift` pixels."""
    assert preprocessing(TrainConfig(mirror=False), folder).steps[:2] == (Rescale(32, 32), Crop(32, 1))


def test_grey_images_can_be_shifted():
    """One channel: brightness goes up and down."""
    steps = preprocessing(TrainConfig(colour_shift=0.1, image_size=32), GREY).steps
    assert steps[-1] == ColourShift(((1,),), data.colours(GREY).values, 0.1, data.statistics(GREY)[1])
    assert preprocessing(TrainConfig(colour_shift=0.1), GREY)(GREY.images, DRAWS).shape == (20, 32, 32, 1)


def test_everything_survives_json(folder):
    """What stands in a checkpoint gives the same transform."""
    for config in (TrainConfig(scale="36-72", colour_shift=0.1), TrainConfig(random_resized=True, cutout=4, normalise="mean")):
        transform = preprocessing(config, folder)
        assert data.from_json(transform.to_json()) == transform


def test_a_line_says_what_is_done():
    """Colours in grey levels, sizes in pixels."""
    steps = (Rescale(36, 72), Crop(32), Mirror(), Normalise(0.5, 1 / 255), ColourShift(((1,),), (0.2,), 0.1, (1,)), CutOut(8))
    assert describe(data.Compose(steps)) == (
        "rescale to 36-72, crop 32×32, mirror, minus 127.5, divided by 1.0, colours shifted by ±5.1, a square of 8 blanked"
    )
    assert describe(data.Compose((RandomResizedCrop(32), Rescale(8, 8), Crop(8, 2), data.Pad(1)))) == (
        "8% to 100% of the area as 32×32, rescale to 8, crop 8×8 of 2 pixels more around, pad"
    )
    assert describe(data.Compose(())) == "nothing"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"scale": "128", "image_size": 224}, "--image-size 224 needs a scale of at least 224, but --scale 128 .* raise --scale to 224"),
        ({"scale": "31-64"}, "shortest side of 31"),
        ({"scale": "31", "random_resized": True}, "--scale 31"),
        ({"scale": "256"}, "rescaled to a shortest side of 256 .* lower --scale"),
        ({"cutout": 33}, "--cutout 33 blanks more than images of 32×32 have: lower it to 16"),
    ],
)
def test_sizes_that_do_not_go_together_are_refused(folder, changes, reason):
    """With the numbers and the flag to change."""
    with pytest.raises(ConfigError, match=reason):
        preprocessing(TrainConfig(**changes), folder)


def test_large_images_in_memory_are_to_be_rescaled():
    """A crop of 32 shows little of 130×200."""
    large = Dataset(np.zeros((2, 130, 200, 1), np.uint8), np.zeros(2, np.int64), ("a",), "large")
    with pytest.raises(ConfigError, match=r"of 130×200 and cropped to 32×32 .* rescale the images .--scale 32"):
        preprocessing(TrainConfig(), large)
    with pytest.raises(ConfigError, match="std must be positive"):
        preprocessing(TrainConfig(scale="32"), large)


def test_in_memory_images_are_rescaled_where_a_scale_is_given():
    """40×50 to a shortest side of 32 and a crop out of it."""
    assert kinds(TrainConfig(scale="32", shift=0), COLOUR) == ["rescale", "crop", "mirror", "normalise"]
    assert preprocessing(TrainConfig(scale="32"), COLOUR)(COLOUR.images, DRAWS).shape == (20, 32, 32, 3)


def test_a_bad_file_stops_the_statistics(tmp_path):
    """DataError with the path."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "bad.jpg").write_bytes(b"\xff\xd8 no")
    with pytest.raises(DataError, match=r"bad\.jpg"):
        preprocessing(TrainConfig(), data.parts(tmp_path).train)
