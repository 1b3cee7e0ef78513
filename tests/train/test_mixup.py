"""Mixup: the mixed batch and its loss by hand, whole and in micro-batches, and nothing of it without an α."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from minivgg import ops
from minivgg.autograd import mode
from minivgg.autograd.core import Tensor
from minivgg.backend.device import Device
from minivgg.backend.random import stream
from minivgg.data import Batch
from minivgg.train import Rehearsal, TrainConfig, build_job, gradients, load_checkpoint, train
from minivgg.train.mixup import Mixed, mixed

from .stopping import At, CrashError, crash

CPU = Device("cpu")


def batch_of(job, count, seed=0):
    """Noise in place of images, in float64."""
    rng = np.random.default_rng(seed)
    return Batch(rng.standard_normal((count, *job.train.image_shape)), rng.integers(0, 3, count), np.arange(count))


def test_a_mixed_batch_by_hand():
    """Three images of one pixel, 1, 2 and 4, with the λ of the stream: each with the one before it, the first with the last."""
    config = TrainConfig(mixup=0.4, seed=3)
    share = stream(3, "mixup", 7).beta(0.4, 0.4)
    images = np.array([1.0, 2.0, 4.0], np.float32).reshape(3, 1, 1, 1)
    before = images.copy()
    found = mixed(Batch(images, np.array([0, 1, 2]), np.arange(3)), config, CPU, 7)
    expected = [share * 1 + (1 - share) * 4, share * 2 + (1 - share) * 1, share * 4 + (1 - share) * 2]
    assert 0 < share < 1 and found.share == share
    assert np.allclose(found.images.reshape(-1), expected, rtol=1e-6) and found.images.dtype == np.float32
    assert found.labels.tolist() == [0, 1, 2] and found.partners.tolist() == [2, 0, 1]
    assert np.array_equal(images, before)


def test_the_loss_by_hand():
    """Two classes, logits (0, ln 3): probabilities ¼ and ¾, so λ = 0.3 gives −0.3·ln ¼ − 0.7·ln ¾ = 0.617266."""
    logits = Tensor(np.array([[0.0, np.log(3.0)]]))
    whole = Mixed(np.zeros((1, 1, 1, 1)), np.array([0]), np.array([1]), 0.3)
    assert float(whole.loss(logits, slice(0, 1), 0.0).data) == pytest.approx(0.6172658, abs=1e-7)


def test_shares_are_drawn_for_each_step_from_the_beta_distribution():
    """Of 1,000 steps: mean ½, variance 1/(4·(2α + 1)); the same step draws the same."""
    batch = Batch(np.zeros((2, 1, 1, 1), np.float32), np.array([0, 1]), np.arange(2))
    config = TrainConfig(mixup=0.5)
    shares = np.array([mixed(batch, config, CPU, step).share for step in range(1000)])
    assert abs(shares.mean() - 0.5) < 0.04 and abs(shares.var() - 1 / 8) < 0.01
    assert mixed(batch, config, CPU, 17).share == shares[17]


def test_without_alpha_nothing_is_touched():
    """The very arrays of the batch."""
    images, labels = np.zeros((2, 1, 1, 1), np.float32), np.array([0, 1])
    found = mixed(Batch(images, labels, np.arange(2)), TrainConfig(), CPU, 0)
    assert found.images is images and found.labels is labels and found.share == 1


def test_the_gradient_is_that_of_the_mixed_loss(config):
    """Loss, count and every gradient against the formula written out with NumPy's roll, to 1e-12; what is right is counted
    against the first label."""
    job = build_job(config(model="vgg11", head="linear", batch_size=6, mixup=0.3))
    job.model.to(dtype="float64")
    batch = batch_of(job, 6)
    loss, correct = gradients(job, batch, 5)
    found = [p.grad.copy() for p in job.model.parameters()]
    share = stream(0, "mixup", 5).beta(0.3, 0.3)
    with mode.step(5, 0):
        logits = job.model(Tensor(share * batch.images + (1 - share) * np.roll(batch.images, 1, axis=0)))
    smoothing = job.config.label_smoothing
    one, other = (ops.cross_entropy(logits, y, label_smoothing=smoothing) for y in (batch.labels, np.roll(batch.labels, 1)))
    expected = one * share + other * (1 - share)
    job.optimizer.zero_grad()
    expected.backward()
    assert float(loss) == pytest.approx(float(expected.data), rel=1e-12)
    assert int(correct) == (logits.data.argmax(axis=1) == batch.labels).sum()
    for a, p in zip(found, job.model.parameters(), strict=True):
        assert np.abs(a - p.grad).max() <= 1e-12 * max(np.abs(a).max(), 1e-3)


@pytest.mark.parametrize("accumulate", [2, 4])
def test_micro_batches_give_the_same_update(config, accumulate):
    """The batch is mixed before it is cut: loss and gradients of whole and parts agree to 1e-12."""
    job = build_job(config(model="vgg11", head="linear", batch_size=7, mixup=1.0))
    job.model.to(dtype="float64")
    batch, found = batch_of(job, 7), []
    for parts in (1, accumulate):
        job.config = dataclasses.replace(job.config, accumulate=parts)
        loss, correct = gradients(job, batch, 2)
        found.append((float(loss), int(correct), [p.grad.copy() for p in job.model.parameters()]))
    (loss, correct, whole), (loss_k, correct_k, parts) = found
    assert abs(loss - loss_k) <= 1e-12 * loss and correct == correct_k
    assert all(np.abs(a - b).max() <= 1e-12 * np.abs(a).max() for a, b in zip(whole, parts, strict=True))


def test_a_batch_of_one_is_mixed_with_itself(config):
    """Which changes nothing but rounding."""
    images = np.full((1, 1, 1, 1), 3.0, np.float32)
    assert mixed(Batch(images, np.array([2]), np.arange(1)), TrainConfig(mixup=1.0), CPU, 0).images == pytest.approx(3.0)


def test_training_with_everything_goes_on_after_a_stop(config):
    """Mixup, cut-out, colour shift and random parts: the parameters after two epochs are those of one epoch, a stop, and another."""
    changes = {"mixup": 0.2, "cutout": 8, "colour_shift": 0.1, "random_resized": True, "head": "linear", "width": 1 / 32}
    whole = train(config(**changes))
    with pytest.raises(CrashError):
        train(config(**changes), observer=At(7, crash))
    again = train(config(**changes), resume="auto")
    one, other = (load_checkpoint(result.folder / "checkpoints" / "last.safetensors").model for result in (whole, again))
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_a_cards_memory_is_predicted_with_mixup():
    """The mixed images are on the card, besides the batch, and while they are made at most two more of their size."""
    plain, more = (Rehearsal(TrainConfig(width=1 / 16, mixup=mixup), 3, 1).predict(8).peak for mixup in (0.0, 0.2))
    assert plain + 8 * 32 * 32 * 4 <= more <= plain + 3 * 8 * 32 * 32 * 4
