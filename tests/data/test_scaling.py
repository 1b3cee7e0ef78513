"""Rescaling and random parts: sizes, distributions, and the resampling against its formula."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minivgg.backend.random import stream
from minivgg.data import Compose, Crop, Draws, RandomResizedCrop, Rescale, rescale
from minivgg.errors import DataError

RNG = np.random.default_rng(1)
PHOTO = RNG.integers(0, 256, (30, 45, 3), dtype=np.uint8)


def draws(count, training=True, epoch=0):
    """Draws for samples 0…count−1."""
    return Draws(3, epoch, np.arange(count), training)


def bicubic(signal, length):
    """A row of numbers resampled to `length` by Keys' cubic (a = −½), widened where it shrinks: the definition, in a loop."""
    scale = len(signal) / length
    wide = max(scale, 1.0)
    out = []
    for k in range(length):
        centre = (k + 0.5) * scale
        first, last = max(int(centre - 2 * wide + 0.5), 0), min(int(centre + 2 * wide + 0.5), len(signal))
        weights = []
        for i in range(first, last):
            t = abs((i + 0.5 - centre) / wide)
            weights.append(1.5 * t**3 - 2.5 * t**2 + 1 if t < 1 else -0.5 * (t**3 - 5 * t**2 + 8 * t - 4) if t < 2 else 0)
        out.append(sum(w * signal[i] for w, i in zip(weights, range(first, last), strict=True)) / sum(weights))
    return np.array(out)


@pytest.mark.parametrize("side", [11, 30, 41])
def test_rescaling_is_an_antialiased_bicubic(side):
    """Smaller, equal and larger, against the definition along columns, then rows; each pass is rounded to a grey level."""
    out = rescale(PHOTO, side)
    wide = round(45 * side / 30)
    assert out.shape == (side, wide, 3) and out.dtype == np.uint8
    for channel in range(3):
        rows = np.array([bicubic(row, wide) for row in PHOTO[..., channel].astype(float)]).clip(0, 255)
        expected = np.array([bicubic(column, side) for column in rows.T]).T.clip(0, 255)
        assert np.abs(out[..., channel] - expected).max() <= 1.5


@pytest.mark.parametrize(
    ("height", "width", "side", "expected"),
    [
        (375, 500, 256, (256, 341)),
        (500, 375, 256, (341, 256)),
        (7, 7, 3, (3, 3)),
        (2, 3, 3, (3, 4)),
        (1, 40, 2, (2, 80)),
        (9, 10, 1, (1, 1)),
    ],
)
def test_the_longer_side_is_rounded_to_the_nearest_pixel(height, width, side, expected):
    """341.33 becomes 341, 1.1 becomes 1; 4.5 the even 4; the shorter side is exact."""
    for channels in (1, 3):
        assert rescale(np.zeros((height, width, channels), np.uint8), side).shape == (*expected, channels)


def test_a_thread_of_an_image_is_refused_before_it_grows():
    """1×65535 at a shortest side of 256 would have four billion pixels."""
    with pytest.raises(DataError, match=r"256×16,776,960, more than 50,000,000"):
        rescale(np.zeros((1, 65535, 1), np.uint8), 256)


def test_the_scale_is_uniform_over_both_ends():
    """2,400 draws of S in 5..12: χ² over the 8 values below its 0.1 % bound, 24.3; another epoch draws anew."""
    image = np.zeros((2400, 2, 2, 1), np.uint8)
    sides = [out.shape[0] for out in Rescale(5, 12)(image, draws(2400))]
    counts = np.bincount(sides, minlength=13)[5:]
    assert len(counts) == 8 and ((counts - 300) ** 2 / 300).sum() < 24.3
    assert sides != [out.shape[0] for out in Rescale(5, 12)(image, draws(2400, epoch=1))]


def test_each_image_has_a_scale_of_its_own_that_company_does_not_change():
    """S of sample k is ⌊u·8⌋ + 5 with row k of the stream, in a batch, in a list of several sizes, and alone."""
    images = [RNG.integers(0, 256, (20, 20 + k, 3), dtype=np.uint8) for k in range(6)]
    expected = [5 + math.floor(u * 8) for u in stream(3, "rescale", 0).random((6, 1))[:, 0]]
    whole = Rescale(5, 12)(images, draws(6))
    assert [min(out.shape[:2]) for out in whole] == expected
    for k, image in enumerate(images):
        assert np.array_equal(Rescale(5, 12)(image[None], draws(6).of(k))[0], whole[k])


def test_evaluation_takes_the_middle_scale():
    """256..512 becomes 384; 5..12 the 8 below 8.5."""
    for low, high, middle in ((256, 512, 384), (5, 12, 8), (7, 7, 7)):
        assert Rescale(low, high)(PHOTO[None], draws(1, training=False)).shape[1] == middle


def test_the_papers_crop_of_images_of_any_size():
    """Rescale, then crop: one array, and every crop is a window of its rescaled image, to two grey levels."""
    images = [
        rescale(RNG.integers(60, 200, shape, dtype=np.uint8), side) for shape, side in (((8, 6, 3), 30), ((5, 11, 3), 33), ((6, 6, 3), 24))
    ]
    out = Compose((Rescale(24, 48), Crop(24)))(images, draws(3))
    assert out.shape == (3, 24, 24, 3)
    for crop, whole in zip(out, Rescale(24, 48)(images, draws(3)), strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(whole.astype(int), (24, 24), axis=(0, 1))
        assert np.abs(windows - crop.transpose(2, 0, 1)).max(axis=(2, 3, 4)).min() <= 2


def test_random_parts_have_the_areas_and_ratios_that_were_asked_for():
    """A picture whose pixels are their own places tells each part's height and width, to a pixel: shares uniform in ¼..½, ratios
    within ½..2 in equal numbers above and below 1, corners in all quarters."""
    rows, columns = np.mgrid[0:200, 0:200].astype(np.uint8)
    picture = np.stack([rows, columns, rows], axis=-1)
    out = RandomResizedCrop(50, area=(0.25, 0.5), ratio=(0.5, 2))(np.broadcast_to(picture, (400, 200, 200, 3)), draws(400)).astype(float)
    heights, widths = ((out[:, -1, 25, 0] - out[:, 0, 25, 0]) * 50 / 49, (out[:, 25, -1, 1] - out[:, 25, 0, 1]) * 50 / 49)
    share, ratio = heights * widths / 200**2, widths / heights
    assert 0.23 < share.min() < 0.26 and 0.48 < share.max() < 0.53 and abs(share.mean() - 0.375) < 0.01
    assert 0.45 < ratio.min() < 0.55 and 1.8 < ratio.max() < 2.2 and abs((ratio > 1).mean() - 0.5) < 0.08
    low = (out[:, 0, 0, :2] < 40).mean(axis=0)
    assert (low > 0.3).all() and (low < 0.7).all()


def test_a_random_part_of_the_whole_is_the_whole():
    """area = (1, 1), ratio that of the image: resized as it is; a ratio that does not fit is cut to the image."""
    whole = RandomResizedCrop(15, area=(1, 1), ratio=(1.5, 1.5))(PHOTO[None], draws(1))
    assert whole.shape == (1, 15, 15, 3)
    assert np.array_equal(whole, RandomResizedCrop(15, area=(1, 1), ratio=(1.5, 1.5))(PHOTO[None], draws(1, epoch=9)))
    assert RandomResizedCrop(15, area=(1, 1), ratio=(9, 9))(PHOTO[None], draws(1)).shape == (1, 15, 15, 3)


def test_a_random_part_is_the_middle_in_evaluation():
    """Rescaled to `side`, the centre cut out: what Rescale and Crop do."""
    plain = Compose((Rescale(20, 20), Crop(16)))(PHOTO[None], draws(1, training=False))
    assert np.array_equal(RandomResizedCrop(16, 20)(PHOTO[None], draws(1, training=False)), plain)


def test_random_parts_do_not_depend_on_company():
    """A list of several sizes, and each image alone."""
    images = [RNG.integers(0, 256, (20 + 3 * k, 30, 3), dtype=np.uint8) for k in range(5)]
    whole = RandomResizedCrop(8)(images, draws(5))
    for k, image in enumerate(images):
        assert np.array_equal(RandomResizedCrop(8)(image[None], draws(5).of(k))[0], whole[k])


def test_files_may_be_decoded_as_small_as_the_first_transform_allows():
    """The largest S; for random parts, so large that the smallest needs no enlarging."""
    assert Compose((Rescale(256, 512), Crop(224))).least == 512
    assert RandomResizedCrop(224).least == math.ceil(224 / math.sqrt(0.08))
    assert RandomResizedCrop(32, 64, area=(1, 1)).least == 64 and Crop(8).least is None
