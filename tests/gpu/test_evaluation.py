"""What an evaluation looks at inside a network that lies on a card."""

from __future__ import annotations

import numpy as np

from minivgg import data
from minivgg.evaluation.inside import filters, silent_units
from minivgg.evaluation.posteriors import posteriors

from ..evaluation.answers import noise, predictor
from .conftest import Card


def test_a_network_on_a_card_shows_what_it_shows_on_the_cpu(card: Card) -> None:
    """The same picture of the filters, the same silent units but for rounding: at most one a layer."""
    here, there = predictor(), predictor(device=str(card.device))
    assert np.array_equal(filters(here.model), filters(there.model))
    ours, theirs = (silent_units(network, noise, [0, 1, 2]) for network in (here, there))
    assert [(layer.path, layer.units) for layer in ours] == [(layer.path, layer.units) for layer in theirs]
    assert all(abs(a.silent - b.silent) <= 1 for a, b in zip(ours, theirs, strict=True))


def test_a_network_on_a_card_gives_the_posteriors_of_the_cpu(card: Card) -> None:
    """Dense, at a scale where an image goes in bands, and crops: the same posteriors but for rounding."""
    here, there = predictor(), predictor(device=str(card.device))
    images = data.Dataset(noise(0)[None], np.arange(1), here.classes, "noise")
    for protocol, side, memory in (("both", 32, None), ("dense", 192, 2_100_000)):
        ours, theirs = (posteriors(network, images, protocol, [side], flip=False, memory=memory) for network in (here, there))
        assert ours.protocol == theirs.protocol and np.abs(ours.probabilities - theirs.probabilities).max() < 1e-5
