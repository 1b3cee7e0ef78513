"""Scales: the paper's rules, in full size and in miniature, and impossible lists."""

from __future__ import annotations

import pytest

from minivgg.data import Crop, RandomResizedCrop, Rescale
from minivgg.errors import ConfigError
from minivgg.evaluation.scales import scales_for
from minivgg.evaluation.sight import Sight


def sight(size, low, high):
    """The sight of a network with crops of `size`, trained at low..high."""
    return Sight(size, low, high, None, None, None)  # type: ignore[arg-type]


def test_the_papers_scales_at_full_size():
    """Q = S, or ½(S_min + S_max); {S − 32, S, S + 32}, or {S_min, ½(S_min + S_max), S_max}."""
    assert scales_for(sight(224, 384, 384)) == (384,)
    assert scales_for(sight(224, 256, 512)) == (384,)
    assert scales_for(sight(224, 256, 256), "multi") == (224, 256, 288)
    assert scales_for(sight(224, 384, 384), "multi") == (352, 384, 416)
    assert scales_for(sight(224, 256, 512), "multi") == (256, 384, 512)


def test_in_miniature_the_margin_is_scaled_and_the_crop_still_fits():
    """For crops of 32 pixels 32 · 32/224 = 4.6, rounded 5; and no scale below the crop, nor one twice."""
    assert scales_for(sight(32, 37, 37), "multi") == (32, 37, 42)
    assert scales_for(sight(32, 32, 32), "multi") == (32, 37)
    assert scales_for(sight(32, 37, 73), "multi") == (37, 55, 73)


def test_a_list_is_taken_as_it_is():
    """As text or as numbers, in its own order."""
    assert scales_for(sight(224, 256, 256), "384, 256") == (384, 256) == scales_for(sight(224, 256, 256), [384, 256])


def test_scales_are_found_in_a_runs_preprocessing(predictor):
    """From Rescale; from random parts; from padded images in memory, whose padding counts; from larger ones."""
    for made, expected in (
        (predictor(Rescale(36, 72), Crop(32, 1)), (36, 72)),
        (predictor(RandomResizedCrop(32, 40)), (40, 40)),
        (predictor(Crop(32, 3), shape=(28, 30, 1)), (32, 32)),
        (predictor(Crop(32, 3), shape=(50, 41, 3)), (41, 41)),
    ):
        found = Sight.of(made)
        assert (found.low, found.high) == expected and found.middle == sum(expected) // 2


@pytest.mark.parametrize(
    "wanted, message",
    [
        ("16", "scale of 16 pixels is too small: the network looks at 32×32 .* to 32 or more .*trained at 37"),
        ("0", "scale of 0 pixels"),
        ("-3", 'has "-3"'),
        ("64,big", 'has "big"'),
        ("64,", 'has ""'),
        ("64,32,64", "64 is listed twice"),
        ("9000", "9000 pixels is more than 8192"),
        ("multiple", "or multi"),
        ([], "empty"),
    ],
)
def test_an_impossible_list_is_refused_with_its_numbers(wanted, message):
    """One line: what is wrong with which scale, and what to do."""
    with pytest.raises(ConfigError, match=message):
        scales_for(sight(32, 37, 37), wanted)
