"""A whole run on a card waits for it as often as it must, and never inside a step."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minivgg.cli import display
from minivgg.data import load
from minivgg.errors import DataError
from minivgg.testing import pretend
from minivgg.train import Trainer, evaluate, train
from minivgg.train.build import build_job
from minivgg.train.progress import Progress
from tests.train.conftest import config, npz

from .pretend_cupy import streams

__all__ = ["config", "npz"]  # fixtures

_TINY = {"model": "vgg11", "width": 1 / 32, "head": "linear", "batch_size": 4, "device": "cuda", "checkpoint_every": 0}


def test_waits_of_a_run_are_counted(card, config, monkeypatch):
    """Two epochs of S steps, on batches of which the last is shorter, with validation, test and checkpoints of A arrays each. The host
    waits ⌈S/10⌉ times an epoch for the flags, twice for loss and accuracy, twice for each evaluation, and for each array of a
    checkpoint: inside steps only where flags are read, in every tenth. No array is uploaded inside a step, and no event waited for."""
    inside, uploads, saved = [], [], []
    step, upload = Trainer._step, type(card).asarray

    def counted_step(trainer, batch):
        before = pretend.synchronisations
        uploads.clear()
        step(trainer, batch)
        inside.append(pretend.synchronisations - before)
        assert not uploads, uploads

    def noted_upload(module, x, *dtype):
        if isinstance(x, np.ndarray) and x.ndim:
            uploads.append(x)
        return upload(module, x, *dtype)

    monkeypatch.setattr(Trainer, "_step", counted_step)
    monkeypatch.setattr(type(card), "asarray", noted_upload)
    monkeypatch.setattr("minivgg.train.loop.save_checkpoint", lambda path, state: saved.append([x.get() for x in arrays(state)]))
    settings = config(**_TINY)
    steps = len(build_job(settings).train)
    assert steps == 22 and len(load(settings.data)[0].labels) * 0.9 % 4
    pretend.synchronisations = 0
    result = train(settings)
    checkpoints = sum(map(len, saved))
    assert inside == [int(i % 10 == 9) for i in range(steps)] * 2
    assert pretend.synchronisations == 2 * (math.ceil(steps / 10) + 2 + 2) + 2 + checkpoints
    assert streams.waits == [0] and result.test.count == 30


def test_progress_is_shown_only_where_it_is_at_hand(card, config, monkeypatch):
    """Over 22 steps the bar, however often it would be renewed, reads the loss behind the 10th and 20th, where flags were read; the loop
    itself reads it at the epoch's end."""
    read, mean_loss = [], Progress.mean_loss
    monkeypatch.setattr(display, "_REFRESH", 0.0)
    monkeypatch.setattr(Progress, "mean_loss", lambda progress: read.append(progress.step) or mean_loss(progress))
    train(config(**{**_TINY, "epochs": 1}), observer=display._Bar())
    assert read == [10, 20, 22]


def arrays(checkpoint):
    """Of a checkpoint: weights and velocities."""
    return [*checkpoint.model.values(), *checkpoint.optimizer.values()]


def test_the_card_trains_as_the_cpu_does(card, config):
    """The same run, whole batches or micro-batches, with and without loader threads: the same curves within float32's rounding."""
    for options in ({"accumulate": 1, "workers": 0}, {"accumulate": 2, "workers": 2}):
        rows = [
            train(config(**{**_TINY, **options, "epochs": 1, "batch_size": 16, "device": device})).rows[0] for device in ("cpu", "cuda")
        ]
        for key in ("train_loss", "val_loss", "test_loss"):
            assert abs(rows[0][key] - rows[1][key]) < 1e-4


def test_a_label_that_is_no_class_is_refused(config):
    """Evaluating on images of more classes than the model has: DataError on the host, since a card would not notice."""
    job = build_job(config(**{**_TINY, "device": "cpu"}))
    job.model.classifier.weight.data, job.model.classifier.bias.data = (
        job.model.classifier.weight.data[:2],
        job.model.classifier.bias.data[:2],
    )
    with pytest.raises(DataError, match="label 2 names no class of the model, which has 2 classes"):
        evaluate(job.model, job.val)
