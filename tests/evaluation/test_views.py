"""Where crops lie, how much each view counts, and that views are what training would have shown."""

from __future__ import annotations

import numpy as np
import pytest

from minivgg import data
from minivgg.data import Crop, Mirror, RandomResizedCrop, Rescale, rescale
from minivgg.errors import CheckpointError, DataError
from minivgg.evaluation.batches import batches
from minivgg.evaluation.sight import Sight
from minivgg.evaluation.views import PROTOCOLS, View, grid, views


def test_crops_begin_at_positions_worked_out_by_hand():
    """256 − 224 = 32 in four steps of 8; 37 − 32 = 5 in steps of 1.25: 0, 1.25, 2.5, 3.75, 5, with a half rounded up."""
    assert grid(256, 224) == [0, 8, 16, 24, 32]
    assert grid(341, 224) == [0, 29, 59, 88, 117]  # 117 / 4 = 29.25: 29.25, 58.5, 87.75
    assert grid(37, 32) == [0, 1, 3, 4, 5]
    assert grid(34, 32) == [0, 1, 1, 2, 2]  # 0.5, 1, 1.5, 2
    assert grid(32, 32) == [0] * 5


def test_a_scale_has_fifty_crops(predictor):
    """25 places and their mirror images at each scale, from corner to corner, with equal shares; pixels are the scaled image's."""
    sight = Sight.of(predictor(Rescale(36, 44), Crop(32, 1)))
    image = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    found = list(views(image, sight, "multi-crop", (40, 44), True))
    assert len(found) == 100 and all(view.share == 1 / 100 and not view.whole for view in found)
    scaled = rescale(image, 40)
    assert scaled.shape == (40, 60, 3)
    expected = [scaled[top : top + 32, left : left + 32] for top in (0, 2, 4, 6, 8) for left in (0, 7, 14, 21, 28)]
    assert all(np.array_equal(view.image, crop) for view, crop in zip(found[:50:2], expected, strict=True))
    assert all(np.array_equal(view.image, crop[:, ::-1]) for view, crop in zip(found[1:50:2], expected, strict=True))


def test_crops_at_one_place_are_one_view_with_their_joint_share(predictor):
    """A square of the crop's size has one place that counts 25 times; one of a pixel more has 3, 2 of its 5 positions: 4 places."""
    sight = Sight.of(predictor(Rescale(32, 32), Crop(32, 1)))
    (only,) = views(np.zeros((32, 32, 3), np.uint8), sight, "multi-crop", (32,), False)
    assert only.share == 1
    found = list(views(np.zeros((33, 33, 3), np.uint8), sight, "multi-crop", (33,), False))
    assert [round(view.share * 25) for view in found] == [4, 6, 6, 9]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("flip", [False, True])
def test_shares_sum_up_to_one(predictor, protocol, flip):
    """Whatever the protocol, the scales and the image; half of "both" is the whole image's."""
    sight = Sight.of(predictor(Rescale(36, 36), Crop(32, 1)))
    found = list(views(np.zeros((50, 41, 3), np.uint8), sight, protocol, (32, 36, 41), flip))
    assert sum(view.share for view in found) == pytest.approx(1, abs=1e-12)
    whole = {"center": 0, "dense": 1, "multi-crop": 0, "both": 0.5}[protocol]
    assert sum(view.share for view in found if view.whole) == pytest.approx(whole, abs=1e-12)


@pytest.mark.parametrize("height, width", [(28, 28), (29, 28), (20, 31), (40, 50), (33, 32)])
def test_the_centre_in_memory_is_what_training_validates_with(predictor, height, width):
    """Padded by Crop or not, odd margins or even: the view, normalised, has the very pixels of the run's own transform."""
    margin = max(0, -(-(32 - min(height, width)) // 2) + 1)
    made = predictor(Crop(32, margin), Mirror(), shape=(height, width, 3))
    sight = Sight.of(made)
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    (view,) = views(image, sight, "center", (sight.middle,), False)
    draws = data.Draws(0, 0, np.zeros(1, np.int64), training=False)
    assert np.array_equal(sight.normalised(view.image[None]), made.transform(image[None], draws))
    (whole,) = views(image, sight, "dense", (sight.middle,), False)
    assert whole.image.shape[:2] == (max(32, height), max(32, width))


@pytest.mark.parametrize("steps", [(Rescale(36, 36), Crop(32, 1)), (Rescale(32, 45), Crop(32)), (RandomResizedCrop(32, 36),)])
@pytest.mark.parametrize("height, width", [(64, 51), (20, 33)])
def test_the_centre_of_a_file_is_what_training_validates_with(predictor, steps, height, width):
    """Rescaled to S, or to the middle of several, or to that behind random parts."""
    made = predictor(*steps)
    sight = Sight.of(made)
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    (view,) = views(image, sight, "center", (sight.middle,), False)
    draws = data.Draws(0, 0, np.zeros(1, np.int64), training=False)
    assert np.array_equal(sight.normalised(view.image[None]), made.transform([image], draws))


def test_a_strip_that_would_grow_without_bound_is_refused(predictor):
    """1×65,535 pixels at a shortest side of 256 would be 16 million pixels long."""
    sight = Sight.of(predictor(Rescale(36, 36), Crop(32, 1)))
    with pytest.raises(DataError, match="1×65535"):
        list(views(np.zeros((1, 65535, 3), np.uint8), sight, "center", (1024,), False))


def test_a_run_without_normalising_has_no_sight(predictor):
    """Nobody could say what its network wants to see."""
    made = predictor()
    object.__setattr__(made, "transform", data.Crop(32))
    with pytest.raises(CheckpointError, match="does not normalise"):
        Sight.of(made)


def stream(sizes):
    """(number, view) with images of these sizes, whose pixels are the number."""
    for number, (height, width) in enumerate(sizes):
        yield number, View(np.full((height, width, 1), number, np.uint8), 0.5, whole=True)


def test_views_of_equal_size_come_together():
    """Full batches at once, the rest at the end; every view exactly once, none with another size or too many pixels."""
    sizes = [(4, 4), (4, 5), (4, 4), (4, 5), (4, 4), (100, 100), (4, 4)]
    found = list(batches(stream(sizes), pixels=50))  # three of 4×4, two of 4×5
    assert [batch.indices.tolist() for batch in found] == [[1, 3], [0, 2, 4], [5], [6]]
    for batch in found:
        assert (batch.images[:, 0, 0, 0] == batch.indices).all() and batch.whole and (batch.shares == 0.5).all()


def test_few_views_wait(monkeypatch):
    """If no two sizes agree, the largest group goes as soon as too many pixels wait."""
    monkeypatch.setattr("minivgg.evaluation.batches._HELD", 1000)
    waiting, most = 0, 0

    def watched():
        nonlocal waiting, most
        for number, view in stream([(10, 10 + k) for k in range(50)]):
            waiting += view.image.size
            most = max(most, waiting)
            yield number, view

    seen = []
    for batch in batches(watched(), pixels=10**6):
        waiting -= batch.images.size
        seen += batch.indices.tolist()
    assert sorted(seen) == list(range(50)) and most <= 1000 + 600
