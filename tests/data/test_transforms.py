"""Transforms against loops over pixels, their draws, JSON and errors."""

from __future__ import annotations

import json
import math
from fractions import Fraction

import numpy as np
import pytest

from minivgg.backend.random import stream
from minivgg.data import (
    ColourShift,
    Compose,
    Crop,
    CutOut,
    Dataset,
    Draws,
    Mirror,
    Normalise,
    Pad,
    RandomResizedCrop,
    Rescale,
    from_json,
    load,
    statistics,
)
from minivgg.errors import ConfigError, DataError, ShapeError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (6, 5, 4, 1), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (6, 5, 4, 3), dtype=np.uint8)
FLOAT = RNG.random((6, 5, 4, 3), dtype=np.float32)
BATCHES = [GREY, COLOUR, FLOAT]
AXES = ((0.6, 0.0, 0.8), (0.8, 0.0, -0.6), (0.0, 1.0, 0.0))
SHIFT = ColourShift(AXES, (0.2, 0.02, 0.004), 0.1, (1, 2, 3))
EVERY = Compose((Pad(1), Mirror(0.5), Crop((4, 5), padding=1), Mirror(0.3), Normalise((0.1, 0.2, 0.3), (1, 2, 3)), SHIFT, CutOut(2)))


def draws(count=6, training=True, seed=7, epoch=2):
    """Draws for samples 0…count−1."""
    return Draws(seed, epoch, np.arange(count), training)


@pytest.mark.parametrize("images", BATCHES)
@pytest.mark.parametrize(("pixels", "value"), [(0, 9), (1, 0), (3, 200)])
def test_pad_surrounds_each_image(images, pixels, value):
    """Every output pixel is the shifted input's, or the value outside of it; the dtype stays."""
    out = Pad(pixels, value)(images, draws())
    assert out.dtype == images.dtype and out.shape == (6, 5 + 2 * pixels, 4 + 2 * pixels, images.shape[3])
    for index in np.ndindex(out.shape):
        b, i, j, c = index
        inside = 0 <= i - pixels < 5 and 0 <= j - pixels < 4
        assert out[index] == (images[b, i - pixels, j - pixels, c] if inside else value)


@pytest.mark.parametrize("images", BATCHES)
def test_mirror_turns_the_images_that_were_drawn(images):
    """Image k is reversed along its width exactly when row k of the stream says so."""
    out = Mirror(0.5)(images, draws())
    chosen = [row < 0.5 for row in stream(7, "mirror", 2).random(6)]
    assert True in chosen and False in chosen
    for b, i, j, c in np.ndindex(images.shape):
        assert out[b, i, j, c] == images[b, i, 3 - j if chosen[b] else j, c]


def test_mirror_probabilities_of_zero_and_one_are_certain():
    """p = 0 never mirrors, p = 1 always does, and a half mirrors about half."""
    many = np.broadcast_to(COLOUR[:1], (2000, 5, 4, 3))
    assert np.array_equal(Mirror(0)(many, draws(2000)), many)
    assert np.array_equal(Mirror(1)(many, draws(2000)), many[:, :, ::-1])
    mirrored = (Mirror(0.5)(many, draws(2000)) != many).any((1, 2, 3)).sum()
    assert 900 < mirrored < 1100


@pytest.mark.parametrize("images", BATCHES)
@pytest.mark.parametrize(("size", "padding"), [(4, 0), ((2, 3), 0), ((5, 4), 2), (1, 1), ((9, 8), 2)])
def test_crop_cuts_the_window_that_was_drawn(images, size, padding):
    """Every output pixel is the one at the drawn offset in the image with zeros around it."""
    height, width = size if isinstance(size, tuple) else (size, size)
    out = Crop(size, padding)(images, draws())
    assert out.shape == (6, height, width, images.shape[3]) and out.dtype == images.dtype
    numbers = stream(7, "crop", 2).random((6, 2))
    for b, i, j, c in np.ndindex(out.shape):
        row = math.floor(numbers[b, 0] * (5 + 2 * padding - height + 1)) + i - padding
        column = math.floor(numbers[b, 1] * (4 + 2 * padding - width + 1)) + j - padding
        inside = 0 <= row < 5 and 0 <= column < 4
        assert out[b, i, j, c] == (images[b, row, column, c] if inside else 0)


def test_crop_reaches_every_offset_about_equally_often():
    """3×3 out of 4×4 padded by 1 has 16 places; 4,800 draws visit each 300 times or so."""
    image = np.arange(1, 17, dtype=np.uint8).reshape(1, 4, 4, 1)
    out = Crop(3, padding=1)(np.broadcast_to(image, (4800, 4, 4, 1)), draws(4800))
    _, counts = np.unique(out.reshape(4800, 9), axis=0, return_counts=True)
    assert len(counts) == 16 and counts.min() > 230 and counts.max() < 370


@pytest.mark.parametrize(("size", "padding", "top", "left"), [(3, 0, 1, 0), ((5, 4), 2, 0, 0), ((2, 2), 0, 1, 1)])
def test_crop_takes_the_centre_in_evaluation(size, padding, top, left):
    """Without training the window is the middle one, whatever the epoch."""
    height, width = size if isinstance(size, tuple) else (size, size)
    out = Crop(size, padding)(COLOUR, draws(training=False))
    assert np.array_equal(out, COLOUR[:, top : top + height, left : left + width])


@pytest.mark.parametrize("images", [GREY, COLOUR])
def test_normalise_is_its_formula_rounded_once(images):
    """(x/255 − mean)/std in float64 for every pixel, as float32."""
    mean, std = ((0.3,), (0.7,)) if images.shape[3] == 1 else ((0.1, 0.2, 0.3), (0.5, 1.5, 2.5))
    out = Normalise(mean, std)(images, draws())
    assert out.dtype == np.float32
    for index in np.ndindex(images.shape):
        assert out[index] == np.float32((int(images[index]) / 255 - mean[index[3]]) / std[index[3]])


def test_colour_shift_is_its_formula():
    """x + Σ a·λ·p / unit with a of Box and Muller, sample by sample, one shift for all pixels of an image."""
    out = SHIFT(FLOAT, draws())
    numbers = stream(7, "colour_shift", 2).random((6, 6))
    assert out.dtype == np.float32
    for k in range(6):
        a = [0.1 * math.sqrt(-2 * math.log(1 - numbers[k, i])) * math.cos(2 * math.pi * numbers[k, 3 + i]) for i in range(3)]
        for c in range(3):
            shift = sum(a[i] * (0.2, 0.02, 0.004)[i] * AXES[i][c] for i in range(3)) / (1, 2, 3)[c]
            assert np.abs(out[k, ..., c] - FLOAT[k, ..., c] - shift).max() < 1e-6
    assert np.array_equal(SHIFT(FLOAT, draws(training=False)), FLOAT)


def test_colour_shift_has_the_deviation_it_promises():
    """Over 20,000 draws: mean 0, along each axis the deviation 0.1·λ to 2 %, no correlation between axes, and normal tails."""
    one = ColourShift(AXES, (0.2, 0.02, 0.004), 0.1, (1, 1, 1))
    shifts = one(np.zeros((20_000, 1, 1, 3), np.float32), draws(20_000)).reshape(-1, 3).astype(np.float64)
    along = shifts @ np.array(AXES).T / (0.1 * np.array([0.2, 0.02, 0.004]))
    assert np.abs(along.mean(axis=0)).max() < 0.03 and np.abs(np.cov(along.T) - np.eye(3)).max() < 0.04
    assert np.abs((np.abs(along) > 1.96).mean(axis=0) - 0.05).max() < 0.006


def test_cutout_blanks_the_square_that_was_drawn():
    """Every pixel is 0 within the square around the drawn centre, and untouched outside, borders included."""
    for size in (1, 2, 3, 9):
        out = CutOut(size)(FLOAT, draws())
        numbers = stream(7, "cutout", 2).random((6, 2))
        for b, i, j, c in np.ndindex(FLOAT.shape):
            top, left = math.floor(numbers[b, 0] * 5) - size // 2, math.floor(numbers[b, 1] * 4) - size // 2
            inside = top <= i < top + size and left <= j < left + size
            assert out[b, i, j, c] == (0 if inside else FLOAT[b, i, j, c])
    assert np.array_equal(CutOut(3)(FLOAT, draws(training=False)), FLOAT)


def test_statistics_are_exact():
    """Against rational arithmetic over all pixels of a small RGB set; and Normalise with them centres it."""
    dataset = Dataset(COLOUR, np.zeros(6, np.int64), ("a",), "colour")
    mean, std = statistics(dataset)
    for channel in range(3):
        pixels = [Fraction(int(value), 255) for value in COLOUR[..., channel].reshape(-1)]
        middle = sum(pixels) / len(pixels)
        assert mean[channel] == float(middle)
        assert std[channel] == math.sqrt(float(sum((p - middle) ** 2 for p in pixels) / len(pixels)))
    out = Normalise(mean, std)(COLOUR, draws()).astype(np.float64)
    assert np.abs(out.mean((0, 1, 2))).max() < 1e-7 and np.abs(out.std((0, 1, 2)) - 1).max() < 1e-7


def test_statistics_of_the_embedded_data_agree_with_numpy():
    """More images than one block; NumPy's float64 mean and std agree to rounding."""
    train, _ = load()
    mean, std = statistics(train)
    assert math.isclose(mean[0], (train.images / 255).mean(), rel_tol=1e-12)
    assert math.isclose(std[0], (train.images / 255).std(), rel_tol=1e-12)


def test_a_sample_draws_the_same_in_any_company():
    """Sample k comes out alike alone, in any order, and from a larger dataset's batch."""
    whole = EVERY(COLOUR, draws())
    order = np.array([4, 0, 5, 2])
    assert np.array_equal(EVERY(COLOUR[order], Draws(7, 2, order)), whole[order])
    for k in range(6):
        assert np.array_equal(EVERY(COLOUR[k : k + 1], Draws(7, 2, np.array([k]))), whole[k : k + 1])
    assert EVERY(COLOUR[:0], draws(0)).shape == (0, 4, 5, 3)


def test_draws_differ_by_seed_epoch_and_occurrence():
    """Another seed, epoch, purpose or the second transform of a kind draws other numbers; the same key the same."""
    base = draws(100)
    others = [draws(100, seed=8), draws(100, epoch=3), base.nth(1)]
    first = base.uniform("mirror", 1)
    assert np.array_equal(first, draws(100).uniform("mirror", 1))
    assert all((other.uniform("mirror", 1) != first).all() for other in others)
    assert (base.uniform("crop", 1) != first).all()


def test_two_mirrors_draw_independently():
    """Mirror twice is not no mirror at all."""
    many = np.broadcast_to(COLOUR[:1], (200, 5, 4, 3))
    out = Compose((Mirror(), Mirror()))(many, draws(200))
    assert 50 < (out != many).any((1, 2, 3)).sum() < 150


def test_evaluation_draws_nothing():
    """Without training every epoch and seed gives the same images."""
    outs = [EVERY(COLOUR, draws(training=False, seed=seed, epoch=epoch)) for seed, epoch in ((0, 0), (1, 5))]
    assert np.array_equal(*outs)


def test_transforms_never_change_their_input():
    """All transforms run on read-only images."""
    images = COLOUR.copy()
    images.flags.writeable = False
    for training in (True, False):
        EVERY(images, draws(training=training))
    assert np.array_equal(images, COLOUR)


@pytest.mark.parametrize(
    "transform", [Pad(2), Pad(2, 0.5), Mirror(0.25), Crop(3), Crop((3, 2), 1), EVERY, Compose(()), Rescale(3, 9), RandomResizedCrop(5, 6)]
)
def test_json_round_trip_is_canonical(transform):
    """A transform survives JSON text, equals itself afterwards, and gives the same text again."""
    text = json.dumps(transform.to_json(), sort_keys=True)
    again = from_json(json.loads(text))
    assert again == transform and hash(again) == hash(transform)
    assert json.dumps(again.to_json(), sort_keys=True) == text


def test_equal_transforms_have_equal_json():
    """Ways of writing one transform give one description: nested or flat, int or pair, int or float, array or tuple."""
    pairs = [
        (Compose((Pad(1), Compose((Mirror(),)))), Compose((Pad(1), Mirror()))),
        (Crop(3), Crop((3, 3))),
        (Pad(2, 0), Pad(np.int64(2), 0.0)),
        (Normalise(0.5, 0.25), Normalise(np.array([0.5]), [0.25])),
    ]
    for one, other in pairs:
        assert one == other and json.dumps(one.to_json()) == json.dumps(other.to_json())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ([], "stored as"),
        ({}, "stored as"),
        ({"name": 3}, "stored as"),
        ({"name": "miror"}, "did you mean mirror"),
        ({"name": "mirror", "P": 0.5}, "did you mean p|Valid: p"),
        ({"name": "pad"}, "needs the parameter 'pixels'"),
        ({"name": "pad", "pixels": "2"}, "integer"),
        ({"name": "pad", "pixels": True}, "integer"),
        ({"name": "crop", "size": [1, 2, 3]}, "height, width"),
        ({"name": "normalise", "mean": "0", "std": [1]}, "finite number"),
        ({"name": "compose", "steps": {"name": "pad"}}, "list"),
        ({"name": "rescale", "low": 9, "high": 8}, "must not exceed"),
        ({"name": "random_resized_crop", "size": 8, "area": 0.5}, "pair"),
        ({"name": "random_resized_crop", "size": 8, "area": [0.5, 1.5]}, "at most 1"),
        ({"name": "random_resized_crop", "size": 8, "ratio": [2, 1]}, "smaller first"),
        ({"name": "random_resized_crop", "size": 8, "side": 7}, "8 or more"),
        ({"name": "cutout", "size": 0}, "at least 1"),
        ({"name": "colour_shift", "vectors": 3, "values": [0.1], "std": 0.1, "unit": [1]}, "1 vectors of 1"),
        ({"name": "colour_shift", "vectors": [[1]], "values": [0.1], "std": -0.1, "unit": [1]}, "not be negative"),
        ({"name": "compose", "steps": [{"name": "pad", "pixels": -1}]}, "at least 0"),
    ],
)
def test_foreign_json_is_a_config_error(data, reason):
    """Unknown names, parameters and values are refused with the valid ones."""
    with pytest.raises(ConfigError, match=reason):
        from_json(data)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Pad(-1),
        lambda: Pad(1.5),
        lambda: Pad(1, float("nan")),
        lambda: Mirror(1.1),
        lambda: Mirror(float("nan")),
        lambda: Crop(0),
        lambda: Crop(3, -1),
        lambda: Crop((3,)),
        lambda: Normalise(0.5, 0),
        lambda: Normalise((), ()),
        lambda: Normalise((0.5,), (1, 2)),
        lambda: Normalise(float("inf"), 1),
        lambda: Compose(("mirror",)),
        lambda: ColourShift(AXES, (0.2 * 255**2, 0.02, 0.004), 0.1, (1, 1, 1)),
        lambda: ColourShift(((1, 0, 0), (1, 0, 0), (0, 0, 1)), (0.2, 0.02, 0.004), 0.1, (1, 1, 1)),
        lambda: ColourShift(AXES, (0.2, 0.02, -0.004), 0.1, (1, 1, 1)),
        lambda: ColourShift(AXES, (0.2, 0.02, 0.004), 0.1, (1, 1, 0)),
        lambda: ColourShift(AXES, (0.2, 0.02, 0.004), 0.1, (1, 1)),
    ],
)
def test_impossible_parameters_are_refused_at_construction(make):
    """A wrong value never waits for the first batch."""
    with pytest.raises(ConfigError):
        make()


@pytest.mark.parametrize(
    ("transform", "images", "error", "reason"),
    [
        (Crop(6), GREY, ShapeError, "images of 5×4"),
        (Crop((9, 9), 2), GREY, ShapeError, "9×8"),
        (Normalise((0.1,), (1,)), COLOUR, ShapeError, "1 channels"),
        (Normalise((0.1,) * 3, (1,) * 3), FLOAT, DataError, "Normalise once"),
        (Mirror(), GREY[..., 0], ShapeError, "B, H, W, C"),
        (Mirror(), GREY[:3], ShapeError, "6 draws"),
        (Mirror(), GREY.astype(np.float64), DataError, "float64"),
        (Pad(1, 0.5), GREY, ConfigError, "uint8"),
        (Pad(1, 256), GREY, ConfigError, "uint8"),
        (Crop(6), GREY, ShapeError, "shortest side of 6 or more"),
        (SHIFT, COLOUR, DataError, "behind Normalise"),
        (SHIFT, FLOAT[..., :1], ShapeError, "3 channels"),
        (Rescale(3, 3), FLOAT, DataError, "before Normalise"),
        (RandomResizedCrop(3), FLOAT, DataError, "before Normalise"),
    ],
)
def test_images_that_do_not_fit_are_refused(transform, images, error, reason):
    """Impossible sizes, channels and dtypes are told with their numbers."""
    with pytest.raises(error, match=reason):
        transform(images, draws())
