"""On a card, too, a search for the rate leaves no trace, and features are the CPU's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from minivgg import data
from minivgg.backend.arrays import to_numpy
from minivgg.evaluation.features import features
from minivgg.train import Job, Predictor, TrainConfig, build_job, find_lr, lr_finder, train

from . import stripes
from .conftest import Card


def bits(job: Job) -> dict[str, bytes]:
    """Weights, statistics and velocities."""
    states = {**job.model.state_dict(), **job.optimizer.state_dict()}
    return {name: to_numpy(array).tobytes() for name, array in states.items()}


def test_a_search_leaves_no_trace_on_a_card(card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every byte on the card is as before. Of three steps only, for time."""
    monkeypatch.setattr(lr_finder, "_ENOUGH", 3)
    job = build_job(TrainConfig(data=str(stripes.write(tmp_path)), width=1 / 16, batch_size=9, device="cuda"))
    before = bits(job)
    curve = find_lr(job, 3, high=0.1)
    assert len(curve.losses) == 3 and np.isfinite(curve.losses).all()
    assert bits(job) == before


def test_features_on_a_card_are_the_cpus(card: Card, tmp_path: Path) -> None:
    """The same vectors to 1e-4, of the penultimate layer and of one in the middle."""
    source = stripes.write(tmp_path)
    tiny = {"data": str(source), "width": 1 / 16, "batch_size": 9, "epochs": 1, "device": "cpu", "out": str(tmp_path / "runs")}
    folder = train(TrainConfig(**tiny)).folder
    images = data.parts(source).train.take(np.arange(4))
    for layer in ("", "conv2_1"):
        there, here = (features(Predictor.load(folder, device=device), images, layer).x for device in ("cuda", "cpu"))
        assert np.abs(there - here).max() <= 1e-4
