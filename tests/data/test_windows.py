"""A crop of a rescaled image, of which only the crop is made, against the two steps in turn."""

from __future__ import annotations

import numpy as np
import pytest

from minivgg.data import Compose, Crop, Draws, Normalise, Rescale, rescale
from minivgg.errors import DataError, ShapeError


def photo(height, width, channels=3, seed=0):
    """Waves with a little noise, as a camera would see them."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    waves = sum(np.sin(rows / f + columns / g) for f, g in rng.uniform(2, 40, (5, 2)))
    return (128 + 25 * waves[..., None] + rng.normal(0, 5, (height, width, channels))).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("low", "high"), [(32, 64), (40, 40), (48, 48)])
def test_it_is_the_crop_of_the_rescaled_image(low, high, training):
    """Sides, places and draws are those of the two steps; what is rounded in another order may be a grey level off, rarely two.
    Where nothing is scaled (48 of 48) all are equal, and in evaluation."""
    images = [photo(48, 61, seed=1), photo(75, 48, seed=2), photo(200, 160, seed=3), photo(48, 48, seed=4)]
    draws = Draws(0, 1, np.array([7, 3, 9, 1]), training)
    scale, crop = Rescale(low, high), Crop((30, 32))
    found = Compose((scale, crop))(images, draws).astype(int)
    for k in range(4):
        one = draws.of(k)
        side = int(scale.sides(one)[0])
        expected = crop(rescale(images[k], side)[None], one)[0].astype(int)
        off = np.abs(found[k] - expected)
        assert off.max() <= 2 and off.mean() < 0.4 and (off > 1).mean() < 0.001
        assert not off.any() or (training and side != min(images[k].shape[:2]))


def test_arrays_and_grey_images_are_cut_alike():
    """A batch as one array gives what it gives as a list; one channel stays one."""
    images = np.stack([photo(40, 50, 1, seed) for seed in range(3)])
    step, draws = Compose((Rescale(20, 30), Crop(18))), Draws(0, 0, np.arange(3))
    assert step(images, draws).shape == (3, 18, 18, 1)
    assert np.array_equal(step(images, draws), step(list(images), draws))


def test_a_second_pair_draws_for_itself():
    """Rescale and Crop twice: the second pair has numbers of its own, as single steps would."""
    draws, image = Draws(0, 0, np.arange(1)), [photo(64, 64)]
    pair = (Rescale(32, 60), Crop(30))
    first = pair[0](image, draws)
    step_by_step = pair[1](first, draws)
    for step in (Rescale(20, 29), Crop(16)):
        step_by_step = step(step_by_step, draws.nth(1))
    fused = Compose((*pair, Rescale(20, 29), Crop(16)))(image, draws).astype(int)
    assert np.abs(fused - step_by_step).max() <= 2


def test_errors_are_those_of_the_steps():
    """A window that is too large, a scaled image that is too large, floats, and what is no batch."""
    draws = Draws(0, 0, np.arange(1), training=False)
    with pytest.raises(ShapeError, match="images of 24×30, the crop is 32×32"):
        Compose((Rescale(24, 24), Crop(32)))([photo(48, 60)], draws)
    with pytest.raises(DataError, match="more than 50,000,000 pixels"):
        Compose((Rescale(256, 256), Crop(32)))([np.zeros((1, 1000, 3), np.uint8)], draws)
    with pytest.raises(DataError, match="only uint8 images can be rescaled"):
        Compose((Normalise((0,) * 3, (1,) * 3), Rescale(24, 24), Crop(20)))([photo(48, 60)], draws)
    with pytest.raises(ShapeError, match="with B = 1 draws"):
        Compose((Rescale(24, 24), Crop(20)))(np.zeros((2, 30, 30, 3), np.uint8), draws)
