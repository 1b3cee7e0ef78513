"""The loop: it learns, its bits depend on nothing they should not, and NaN stops it in time."""

from __future__ import annotations

import csv
import dataclasses
import json
import re

import numpy as np
import pytest

from minivgg import data, ops, optim
from minivgg.autograd.core import Tensor
from minivgg.errors import NumericalError
from minivgg.train import Observer, Predictor, TrainConfig, build_job, dry_run, evaluate, load_checkpoint, train
from minivgg.train.metrics import COLUMNS


class Spy(Observer):
    """Calls `at_step(trainer)` after each step, and `at_begin`."""

    def __init__(self, at_step=lambda trainer: None, at_begin=lambda trainer: None):
        self.at_step, self.at_begin, self.messages = at_step, at_begin, []

    def begin(self, trainer):
        self.at_begin(trainer)

    def step(self, trainer):
        self.at_step(trainer)

    def message(self, text):
        self.messages.append(text)


def last(result):
    """The bytes of the run's last checkpoint."""
    return (result.folder / "checkpoints" / "last.safetensors").read_bytes()


def test_it_learns_stripes(config):
    """Six epochs without dropout on three obvious classes: every test image right, and the loss falls."""
    result = train(config(epochs=6, head="linear", width=1 / 8, lr=0.05, mirror=False))
    assert result.rows[-1]["train_loss"] < result.rows[0]["train_loss"]
    assert result.test.accuracy == 1.0 and result.test.count == 30


def test_the_first_update_is_the_one_worked_out_by_hand(config):
    """One step of the loop, done again with the parts: same batch, same loss, same weights."""
    one = config(epochs=1, batch_size=86, head="linear", checkpoint_every=0, momentum=0.0, nesterov=False, schedule="constant")
    job = build_job(one)
    assert len(job.train) == 1
    (batch,) = job.train.epoch(0)
    job.model.train()
    loss = ops.cross_entropy(job.model(Tensor(batch.images)), batch.labels, label_smoothing=0.1)
    loss.backward()
    expected = {name: p.data - 0.02 * (p.grad + 5e-4 * p.data) for name, p in job.model.named_parameters()}
    result = train(one)
    found = load_checkpoint(result.folder / "checkpoints" / "last.safetensors").model
    assert result.rows[0]["train_loss"] == pytest.approx(loss.item(), rel=1e-6)
    for name, w in expected.items():
        np.testing.assert_allclose(found[name], w, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("changes", [{"workers": 0}, {"workers": 3}, {"checkpoint_every": 0}, {"out": "elsewhere"}])
def test_bits_do_not_depend_on_circumstances(config, changes, tmp_path):
    """Workers, checkpoints and folders change nothing: the last checkpoint is the same file."""
    changes = {key: str(tmp_path / value) if key == "out" else value for key, value in changes.items()}
    assert last(train(config())) == last(train(config(**changes)))


def test_the_seed_decides(config):
    """Another seed, other weights."""
    assert last(train(config(epochs=1))) != last(train(config(epochs=1, seed=1)))


def test_test_images_decide_nothing(config, npz, tmp_path):
    """With other test labels the run's bits are the same, its best epoch included; only the test result differs."""
    a = train(config(schedule="plateau", patience=1))
    arrays = dict(np.load(npz))
    np.savez(tmp_path / "other.npz", **{**arrays, "y_test": (arrays["y_test"] + 1) % 3})
    b = train(config(schedule="plateau", patience=1, data=str(tmp_path / "other.npz")))
    assert last(a) == last(b)
    assert (a.folder / "checkpoints/best.safetensors").read_bytes() == (b.folder / "checkpoints/best.safetensors").read_bytes()
    assert a.test.loss != b.test.loss


def test_metrics_have_the_promised_columns(config):
    """One row an epoch, in metrics.csv and metrics.jsonl; the test result only in the last row of the latter."""
    result = train(config())
    with (result.folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert (result.folder / "metrics.csv").read_text().splitlines()[0] == (
        "epoch,step,train_loss,train_accuracy,val_loss,val_accuracy,lr,images_per_second,seconds"
    )
    lines = [json.loads(line) for line in (result.folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == ["1", "2"] and [row["step"] for row in rows] == ["6", "12"]
    assert set(lines[0]) == {*COLUMNS, "waiting"} and lines[1]["test_count"] == 30
    assert set(rows[0]) == set(COLUMNS) and all(0 <= line["waiting"] <= 1 for line in lines)
    for row, line in zip(rows, lines, strict=True):
        assert float(row["val_accuracy"]) == pytest.approx(line["val_accuracy"], abs=1e-6) and 0 <= line["val_accuracy"] <= 1


def test_rate_follows_the_schedule(config):
    """The rate at each step is one-cycle's, written out."""
    rates = []
    train(config(), observer=Spy(lambda trainer: rates.append(trainer.job.optimizer.lr)))
    schedule = optim.OneCycle(0.02, 12, 3)
    assert rates == [schedule.lr(step) for step in range(12)]


def test_clipping_bounds_the_step(config):
    """With plain SGD at rate 1 and clip 0.01, no update is longer than 0.01."""
    before = {}

    def look(trainer):
        now = {name: p.data.copy() for name, p in trainer.job.optimizer.parameters()}
        if before:
            moved = sum(float(((now[name] - before[name]) ** 2).sum()) for name in now) ** 0.5
            assert 0 < moved <= 0.01001
        before.update(now)

    options = {"momentum": 0.0, "nesterov": False, "weight_decay": 0.0, "schedule": "constant", "lr": 1.0, "clip": 0.01}
    train(config(epochs=1, head="linear", **options), observer=Spy(look))


@pytest.mark.parametrize("every", [1, 4])
def test_nan_stops_before_the_update(config, every):
    """An absurd rate at step 4 makes step 5 overflow: the error names step, op and layer, the weights are those of step 4's
    end, and the last checkpoint is an older, sound one. With the flag read every 4 steps, as on a GPU, too."""
    weights = {}

    def begin(trainer):
        trainer._check_every = every
        lr = trainer.job.schedule.lr
        trainer.job.schedule.lr = lambda step: 1e30 if step == 4 else lr(step)

    def keep(trainer):
        if trainer.progress.step == 5:
            weights.update({name: p.data.copy() for name, p in trainer.job.optimizer.parameters()})
            weights["trainer"] = trainer

    with pytest.raises(NumericalError, match=r"^step 5: in \w+\(.*\) of layer features\.\d+: made .*not applied") as caught:
        train(config(checkpoint_every=3), observer=Spy(keep, begin))
    assert "--lr" in str(caught.value)
    trainer = weights.pop("trainer")
    for name, p in trainer.job.optimizer.parameters():
        assert np.array_equal(p.data, weights[name])
    assert load_checkpoint(trainer.folder.last).state["progress"]["step"] == 3


def test_reading_the_flag_rarely_changes_no_bit(config):
    """The guarded update of the GPU path gives the bits of the plain one."""

    def begin(trainer):
        trainer._check_every = 4

    assert last(train(config())) == last(train(config(), observer=Spy(at_begin=begin)))


def test_nan_weights_are_blamed_on_themselves(config):
    """A parameter that was NaN before the step is named, rather than the op that met it."""

    def poison(trainer):
        if trainer.progress.step == 2:
            name, p = trainer.job.optimizer.parameters()[0]
            assert name == "features.0.weight"
            p.data[0, 0, 0, 0] = np.nan

    with pytest.raises(NumericalError, match=r"features\.0\.weight .* itself holds NaN"):
        train(config(), observer=Spy(poison))


def test_evaluation_equals_counting_by_hand(config):
    """Loss and accuracy image by image with NumPy's own logarithm; the model's mode is put back."""
    job = build_job(config(head="linear"))
    result = evaluate(job.model, job.val)
    job.model.eval()
    losses, right = [], 0
    for batch in job.val.epoch(0):
        for image, label in zip(batch.images, batch.labels, strict=True):
            logits = job.model(Tensor(image[None])).data[0].astype("float64")
            losses.append(np.log(np.exp(logits).sum()) - logits[label])
            right += int(np.argmax(logits) == label)
    assert result.loss == pytest.approx(np.mean(losses), rel=1e-5) and result.correct == right and result.count == len(losses)
    job.model.train()
    evaluate(job.model, job.val)
    assert job.model.training


def test_a_model_in_evaluation_equals_the_run(config):
    """Predictor.load(folder).evaluate gives exactly the run's own test result."""
    result = train(config())
    found = Predictor.load(result.folder, device="cpu").evaluate(data.load(config().data)[1])
    assert found == result.test


def test_dry_run_writes_nothing_and_tells(config, tmp_path):
    """Its text has images, steps and loss; no folder appears."""
    text = dry_run(config())
    assert "85 to train" in text or "86 to train" in text or "87 to train" in text
    assert re.search(r"one step  loss \d", text)
    assert not (tmp_path / "runs").exists()


def test_images_are_padded_to_the_network_and_shifted(config):
    """28×28 images become 32×32; shift 0 leaves one place, and evaluation is centred either way."""
    for shift in (0, 2):
        job = build_job(config(shift=shift, mirror=False))
        assert job.train.image_shape == (1, 32, 32)
        plain = build_job(config(shift=0, mirror=False))
        (a,), (b,) = list(job.val.epoch(0))[:1], list(plain.val.epoch(0))[:1]
        assert np.array_equal(a.images, b.images)


def test_default_configuration_is_the_default_job():
    """The embedded images, 5,000 of them split 4,500 to 500, in ten classes."""
    job = build_job(dataclasses.replace(TrainConfig(), device="cpu"))
    assert len(job.train.dataset) == 4500 and len(job.val.dataset) == 500 and len(job.test.dataset) == 1000
    assert job.classes[9] == "Ankle boot"
