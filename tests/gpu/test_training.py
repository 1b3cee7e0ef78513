"""Training on a card: the CPU's numbers, the same bits every time, memory that runs out, batches in flight, and other libraries."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minivgg as mv
from minivgg.autograd import mode
from minivgg.backend.arrays import to_numpy
from minivgg.backend.device import Device
from minivgg.cli import run
from minivgg.errors import OutOfMemoryError
from minivgg.nn import Dropout
from minivgg.train import Observer, TrainConfig, build_job, gradients, load_checkpoint, train
from minivgg.train.feeding import feed
from minivgg.train.mixup import mixed

from . import stripes
from .conftest import Card


@pytest.fixture
def config(card: Card, tmp_path: Path) -> Callable[..., TrainConfig]:
    """On the pretend card three steps of a tiny network; on a real one the default job on the embedded images, one epoch. Keywords
    change it."""
    tiny = {"data": str(stripes.write(tmp_path)), "width": 1 / 16, "batch_size": 9, "lr": 0.02, "epochs": 1}
    base = card.pick(tiny, {"epochs": 1})
    return lambda **changes: TrainConfig(**{**base, "out": str(tmp_path / "runs"), "device": "cuda", **changes})


class Losses(Observer):
    """Notes the sum of losses after each step, on the device."""

    def __init__(self) -> None:
        self.sums: list[Any] = []

    def step(self, trainer: Any) -> None:
        self.sums.append(trainer.progress.loss_sum)

    def each(self, images: int) -> Any:
        """The loss of each step, for batches of so many images."""
        return np.diff([float(value) for value in self.sums], prepend=0.0) / images


def test_first_losses_are_the_cpus(card: Card, config: Callable[..., TrainConfig]) -> None:
    """The default job's first steps, with dropout: losses to 1e-4 at first, and their mean over the epoch to 1 %."""
    curves = {}
    for device in ("cpu", "cuda"):
        seen = Losses()
        made = train(config(device=device, head="paper", val_split=0.1), observer=seen)
        curves[device] = seen.each(config().batch_size), made.rows[0]["train_loss"]
    early = 3
    assert np.abs(curves["cuda"][0] / curves["cpu"][0] - 1)[:early].max() <= 1e-4
    assert curves["cuda"][1] == pytest.approx(curves["cpu"][1], rel=1e-2)


def test_mixup_is_the_cpus(card: Card, config: Callable[..., TrainConfig]) -> None:
    """Mixed images on the card are the CPU's, whether the batch was fed or is still on the host, as in a replay; so is the step's loss."""
    found, losses = [], dict[str, float]()
    for device, host in (("cpu", True), ("cuda", True), ("cuda", False)):
        job = build_job(config(device=device, mixup=0.4, batch_size=card.pick(3, 32)))
        with job.device.use():
            batch = next(feed(job.train.epoch(0), Device("cpu") if host else job.device))
            whole = mixed(batch, job.config, job.device, 3)
            found.append([to_numpy(x) for x in (whole.images, whole.labels, whole.partners)])
            loss = None if host and device == "cuda" else float(gradients(job, batch, 3)[0])
        assert whole.images.dtype == np.float32
        assert loss is None or loss == pytest.approx(losses.setdefault("cpu", loss), rel=1e-4)
    for images, labels, partners in found[1:]:
        assert np.abs(images - found[0][0]).max() <= 1e-6 * np.abs(found[0][0]).max()
        assert np.array_equal(labels, found[0][1]) and np.array_equal(partners, found[0][2])


def test_dropouts_masks_are_the_cpus(card: Card) -> None:
    """The same elements are dropped, in storage of any order, in each step and micro-batch."""
    layer = Dropout(0.3, seed=7)
    shape = card.pick((2, 3, 4, 5), (8, 64, 56, 56))
    expected, found = [], []
    for key in ((0, 0), (0, 1), (5, 0)):
        with mode.step(*key):
            expected.append(layer(mv.Tensor(np.ones(shape, np.float32))).numpy())
            for order in ("C", "channels-last"):
                found.append(to_numpy(layer(mv.Tensor(card.stored(np.ones(shape, np.float32), order))).data))
    assert all(np.array_equal(y, expected[i // 2]) for i, y in enumerate(found))
    assert not np.array_equal(expected[0], expected[1]) and not np.array_equal(expected[0], expected[2])


@pytest.mark.parametrize("precision", ["fp32", "tf32", "fp16", "bf16"])
def test_training_twice_gives_the_same_bits(card: Card, config: Callable[..., TrainConfig], precision: str) -> None:
    """Two steps of a network with everything in it, from the start, twice: all parameters, velocities and statistics are equal."""
    states = []
    for _ in range(2):
        job = build_job(config(precision=precision, head="paper", model="vgg11_bn"))
        if job.scaling is not None:
            job.scaling.load_state({"scale": 64.0, "good": 0, "skipped": 0})  # nothing overflows: NaN would be nobody's equal
        with job.device.use(), mv.precision(precision), np.errstate(over="ignore", invalid="ignore"):
            for step, batch in zip(range(2), job.train.epoch(0), strict=False):
                gradients(job, batch, step)
                job.optimizer.step(None, None if job.scaling is None else job.scaling.scale)
            states.append({name: to_numpy(a) for name, a in {**job.model.state_dict(), **job.optimizer.state_dict()}.items()})
    for name, array in states[0].items():
        assert np.array_equal(array, states[1][name]), name


@pytest.mark.parametrize("precision", ["fp32", "tf32", "fp16", "bf16"])
def test_the_loss_falls_in_every_precision(card: Card, config: Callable[..., TrainConfig], precision: str) -> None:
    """The job's own run: the validation loss after it is below that of a network that knows nothing, ln(classes)."""
    if not card.real:
        if precision != "bf16":
            pytest.skip("test_precision.py trains in the others in miniature")
        changes: dict[str, Any] = {"epochs": 2, "batch_size": 13, "model": "vgg11_bn", "lr": 0.05, "mirror": False, "label_smoothing": 0.0}
    else:
        changes = {"epochs": 2}
    rows = train(config(precision=precision, **changes)).rows
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    assert all(np.isfinite(row["val_loss"]) for row in rows)


@pytest.mark.parametrize("workers", [0, 3])
def test_batches_in_flight_change_no_bit(card: Card, config: Callable[..., TrainConfig], workers: int) -> None:
    """However many threads prepare batches, and however far ahead they are: the checkpoint is the same file."""
    files = []
    for number in (1, workers):
        made = train(
            config(
                workers=number,
            )
        )
        files.append((made.folder / "checkpoints" / "last.safetensors").read_bytes())
    assert files[0] == files[1]


def test_too_little_memory_is_answered_with_what_fits(card: Card, config: Callable[..., TrainConfig], capsys: Any) -> None:
    """A limit in the middle of training: the error, exit code 6, names a way that fits, memory is given back, and the way works."""
    pool = card.device.xp.get_default_memory_pool()
    pool.free_all_blocks()
    big = config(**card.pick({"width": 0.25, "batch_size": 27}, {"batch_size": 512}), checkpoint_every=0)
    limit = pool.used_bytes() + card.pick(6 << 20, 300 << 20)
    pool.set_limit(size=limit)
    try:
        with pytest.raises(OutOfMemoryError, match=r"out of memory: \d+ images") as caught:
            train(big)
        assert caught.value.exit_code == 6
    finally:
        pool.set_limit(size=0)
    pool.free_all_blocks()
    assert train(dataclasses.replace(big, accumulate=card.pick(3, 64))).rows
    capsys.readouterr()


def test_a_second_card_works_alone(card: Card, config: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    """--device cuda:1 trains, goes on, evaluates and predicts there, to the bits of cuda:0; no array is used on the wrong card."""
    runtime = card.device.xp.cuda.runtime
    if not card.real:
        monkeypatch.setattr(runtime, "getDeviceCount", lambda: 2)
    elif runtime.getDeviceCount() < 2:
        pytest.skip("this machine has one card")
    states = []
    for device in ("cuda:0", "cuda:1"):
        made = train(config(device=device, clip=0.5, checkpoint_every=2))
        assert train(resume=made.folder).rows == made.rows
        states.append(load_checkpoint(made.folder / "checkpoints" / "last.safetensors"))
        for command in (
            ["evaluate", made.folder],
            ["predict", made.folder, tmp_path / "a.png"],
            ["train", tmp_path / "stripes.npz", "--dry-run"],
        ):
            assert run([*map(str, command), "--device", device]) == 0, capsys.readouterr().err
    for name, array in states[0].model.items():
        assert np.array_equal(array, states[1].model[name]), name
    moved = mv.nn.Linear(3, 2).to("cuda:1").to("cuda:0").to("cuda:1")
    assert {str(mv.Device.of(p.data)) for p in moved.parameters()} == {"cuda:1"}
    other = mv.nn.Linear(3, 2).to("cuda:0")
    other.load_state_dict(moved.state_dict())
    moved.load_state_dict(other.state_dict())
    capsys.readouterr()


def test_arrays_are_shared_with_torch(card: Card) -> None:
    """Without a copy, both ways, through DLPack: what one library writes the other reads. On the pretend card NumPy's arrays are."""
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed here")
    import torch

    xp, place = (card.device.xp, "cuda") if card.real else (np, "cpu")
    x = mv.Tensor(xp.arange(24, dtype="float32").reshape(2, 3, 4))
    theirs = torch.from_dlpack(x.data)
    theirs += 1.0
    if card.real:
        torch.cuda.synchronize()
    assert theirs.device.type == place and float(x.data[0, 0, 0]) == 1.0
    ours = mv.Tensor(xp.from_dlpack(torch.ones(2, 3, device=place)), requires_grad=True)
    (ours * ours).sum().backward()
    assert np.array_equal(to_numpy(ours.grad), np.full((2, 3), 2.0, np.float32))
