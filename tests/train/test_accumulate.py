"""Gradient accumulation: the same gradient in smaller pieces, and everything around a step goes on working."""

from __future__ import annotations

import dataclasses
import weakref

import numpy as np
import pytest

from minivgg import models, nn, ops
from minivgg.autograd import mode
from minivgg.autograd.core import Tensor
from minivgg.data import Batch
from minivgg.errors import ConfigError, NumericalError
from minivgg.train import Observer, Predictor, build_job, dry_run, gradients, load_checkpoint, micro_batches, save_checkpoint, train

from .stopping import At, CrashError, crash


def random_batch(job, count, seed=0, dtype="float64"):
    """Noise in place of images."""
    rng = np.random.default_rng(seed)
    return Batch(rng.standard_normal((count, *job.train.image_shape)).astype(dtype), rng.integers(0, 3, count), np.arange(count))


def found(job, batch, accumulate):
    """(loss, correct, gradients) of one batch."""
    job.config = dataclasses.replace(job.config, accumulate=accumulate)
    loss, correct = gradients(job, batch, 0)
    return float(loss), int(correct), [p.grad.copy() for p in job.model.parameters()]


@pytest.mark.parametrize("batch_size", [1, 2, 7, 16, 30])
@pytest.mark.parametrize("accumulate", [1, 2, 3, 7, 16, 100])
def test_micro_batches_are_as_equal_as_possible(batch_size, accumulate):
    """For every batch up to the whole one: nothing is lost, none is empty, sizes differ by one at most and none is larger than
    the whole batch's; a whole batch has as many as asked for, or one for each image."""
    largest = -(-batch_size // accumulate)
    for count in range(1, batch_size + 1):
        sizes = micro_batches(count, batch_size, accumulate)
        assert sum(sizes) == count and min(sizes) >= 1 and max(sizes) - min(sizes) <= 1 and max(sizes) <= largest
    assert len(sizes) == min(accumulate, batch_size)


@pytest.mark.parametrize("accumulate", [2, 3, 5, 11, 50])
@pytest.mark.parametrize("count", [11, 7], ids=["whole batch", "short last batch"])
def test_the_sum_is_the_whole_batchs_gradient(config, accumulate, count):
    """In float64, without batch norm and dropout: loss and every gradient within 1e-12 of the un-accumulated ones."""
    job = build_job(config(model="vgg11", head="linear", batch_size=11))
    job.model.to(dtype="float64")
    batch = random_batch(job, count)
    loss, correct, whole = found(job, batch, 1)
    loss_k, correct_k, parts = found(job, batch, accumulate)
    assert abs(loss - loss_k) <= 1e-12 * loss and correct == correct_k
    for a, b in zip(whole, parts, strict=True):
        assert np.abs(a - b).max() <= 1e-12 * np.abs(a).max()


def test_one_micro_batch_is_the_plain_gradient_bit_for_bit(config):
    """accumulate=1 computes what loss.backward() of the batch does."""
    job = build_job(config())
    batch = random_batch(job, 16, dtype="float32")
    loss, _, ours = found(job, batch, 1)
    job.model.zero_grad()
    with mode.step(0), mode.frozen_state():
        plain = ops.cross_entropy(job.model(Tensor(batch.images)), batch.labels, label_smoothing=0.1)
    plain.backward()
    assert loss == plain.item()
    assert all(np.array_equal(g, p.grad) for g, p in zip(ours, job.model.parameters(), strict=True))


def test_batch_norm_sees_one_micro_batch(config):
    """With batch norm the sum is the one over micro-batches worked out one by one; running statistics move K times."""
    job = build_job(config(head="linear", batch_size=8))
    job.model.to(dtype="float64")
    batch = random_batch(job, 8)
    twin = models.build("vgg11_bn", num_classes=3, in_channels=1, image_size=32, width=1 / 16, head="linear").to(dtype="float64")
    expected = 0.0
    for part in (slice(0, 3), slice(3, 6), slice(6, 8)):
        loss = ops.cross_entropy(twin(batch.images[part]), batch.labels[part], label_smoothing=0.1)
        (loss * (len(batch.labels[part]) / 8)).backward()
        expected += loss.item() * len(batch.labels[part]) / 8
    loss, _, ours = found(job, batch, 3)
    assert loss == pytest.approx(expected, rel=1e-12)
    for (name, p), g in zip(twin.named_parameters(), ours, strict=True):
        np.testing.assert_allclose(g, p.grad, rtol=1e-9, atol=1e-12, err_msg=name)
    assert int(job.model.state_dict()["features.1.num_batches_tracked"]) == 3


def test_each_micro_batch_has_its_own_dropout_mask(config):
    """The key has the number of the micro-batch: with the same image in both, the two masks differ, and repeat."""
    job, seen = build_job(config(model="vgg11", batch_size=2)), []
    image = random_batch(job, 1, dtype="float32")
    batch = Batch(np.repeat(image.images, 2, 0), np.array([0, 0]), np.arange(2))
    job.model.classifier[2].register_forward_hook(lambda module, inputs, y: seen.append((y.data != 0).tobytes()))
    found(job, batch, 2)
    found(job, batch, 2)
    assert seen[0] != seen[1] and seen[:2] == seen[2:]


def test_one_micro_batch_is_in_memory_at_a_time(config):
    """The network sees at most ⌈16/4⌉ images; when a micro-batch begins, nothing that the one before computed is alive."""
    job, sizes, alive, left = build_job(config(batch_size=16)), [], [], []

    def begins(module, inputs, y):
        sizes.append(len(y.data))
        left.append(sum(array() is not None for array in alive))

    def ends(module, inputs, y):
        alive.append(weakref.ref(y.data))

    job.model.features[0].register_forward_hook(begins)
    for layer in job.model.features:
        layer.register_forward_hook(ends)
    found(job, random_batch(job, 14, dtype="float32"), 4)
    assert sizes == [4, 4, 3, 3] and left == [0, 0, 0, 0] and len(alive) == 4 * len(job.model.features)


def test_single_images_are_enough_for_a_vgg(config):
    """K above the batch: batches of one image; the last batch norm has 2×2 values a channel even at 32×32."""
    job = build_job(config(batch_size=4))
    _, _, found_gradients = found(job, random_batch(job, 4, dtype="float32"), 9)
    assert all(np.isfinite(g).all() for g in found_gradients)


def test_micro_batches_too_small_for_the_model_are_refused(config):
    """Batch norm behind a linear layer has one value a channel for one image: ConfigError with both numbers and the remedy."""
    job = build_job(config(batch_size=4))
    job.model = nn.Sequential(nn.Flatten(), nn.Linear(32 * 32, 3), nn.BatchNorm2d(3))
    with pytest.raises(ConfigError, match=r"= 4 cuts a batch of 4 images into micro-batches of 1.*1 value per channel.*--accumulate"):
        found(job, random_batch(job, 4, dtype="float32"), 4)


def last(result):
    """The bytes of the run's last checkpoint."""
    return (result.folder / "checkpoints" / "last.safetensors").read_bytes()


@pytest.mark.parametrize("recompute", [False, True])
def test_stopped_and_resumed_is_never_stopped(config, tmp_path, recompute):
    """Accumulation and clipping, batch norm and dropout, stopped in the middle of an epoch, with and without recomputation."""
    options = {"accumulate": 3, "clip": 0.5, "recompute": recompute}
    whole = train(config(**options))
    with pytest.raises(CrashError):
        train(config(out=str(tmp_path / "b"), **options), observer=At(7, crash))
    resumed = train(config(out=str(tmp_path / "b"), **options), resume="auto")
    assert last(resumed) == last(whole) and resumed.test == whole.test
    assert Predictor.load(whole.folder, device="cpu").config.micro_batch == 6


def test_accumulation_decides_bits_and_recomputation_does_not(config, tmp_path):
    """A run goes on with recompute switched, in the same folder and to the same bits; with another accumulate it is refused."""
    whole = train(config())
    with pytest.raises(CrashError):
        train(config(out=str(tmp_path / "b")), observer=At(4, crash))
    (folder,) = (tmp_path / "b").iterdir()
    with pytest.raises(ConfigError, match="begun with accumulate = 1, so it cannot go on with 2"):
        train(config(out=str(tmp_path / "b"), accumulate=2), resume=folder)
    resumed = train(config(out=str(tmp_path / "b"), recompute=True), resume="auto")
    assert resumed.folder == folder and last(resumed) == last(whole)


def test_a_checkpoint_from_before_accumulation_goes_on(config):
    """Its configuration lacks the key: it was 1."""
    result = train(config(epochs=1))
    checkpoint = load_checkpoint(result.folder / "checkpoints" / "last.safetensors")
    del checkpoint.state["config"]["accumulate"]
    save_checkpoint(result.folder / "checkpoints" / "last.safetensors", checkpoint)
    assert train(resume=result.folder).folder == result.folder


@pytest.mark.parametrize("every", [1, 4])
def test_nan_in_a_later_micro_batch_stops_before_the_update(config, every):
    """An absurd rate at step 4: step 5 is blamed on an op and a layer, and the weights are those of step 4's end."""
    weights = {}

    class Spy(Observer):
        def begin(self, trainer):
            trainer._check_every = every
            lr = trainer.job.schedule.lr
            trainer.job.schedule.lr = lambda step: 1e30 if step == 4 else lr(step)
            weights["trainer"] = trainer

        def step(self, trainer):
            if trainer.progress.step == 5:
                weights.update({name: p.data.copy() for name, p in trainer.job.optimizer.parameters()})

    with pytest.raises(NumericalError, match=r"^step 5: in \w+\(.*\) of layer features\.\d+: made .*not applied"):
        train(config(accumulate=4, recompute=True), observer=Spy())
    for name, p in weights["trainer"].job.optimizer.parameters():
        assert np.array_equal(p.data, weights[name])


def test_metrics_are_those_of_the_whole_batch(config):
    """Without batch norm, dropout and label smoothing, at a rate that moves nothing: loss and accuracy as without."""
    options = {"model": "vgg11", "head": "linear", "lr": 1e-30, "epochs": 1, "label_smoothing": 0.0}
    plain, parts = (train(config(accumulate=k, **options)).rows[0] for k in (1, 5))
    assert parts["train_loss"] == pytest.approx(plain["train_loss"], rel=1e-6) and parts["train_accuracy"] == plain["train_accuracy"]
    assert parts["step"] == plain["step"]


def test_dry_run_says_so(config):
    """Steps of 16 in 4 micro-batches."""
    assert "batches of 16 in 4 micro-batches" in dry_run(config(accumulate=4))
