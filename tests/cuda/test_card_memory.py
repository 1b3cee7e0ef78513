"""A card's memory: what a step needs is predicted, limits hold, and after too large a batch a smaller one trains."""

from __future__ import annotations

import gc
import re
from pathlib import Path

import numpy as np
import pytest

import minivgg as mv
from minivgg.backend import pool
from minivgg.backend.precision import precision
from minivgg.data import Batch
from minivgg.errors import ConfigError, OutOfMemoryError
from minivgg.train import Rehearsal, TrainConfig, build_job, evaluate, train
from minivgg.train.feeding import feed
from minivgg.train.guard import Guard
from minivgg.train.progress import Progress
from minivgg.train.update import update
from tests.train.conftest import config, npz

__all__ = ["config", "npz"]  # fixtures

_TINY = {"model": "vgg11", "head": "linear", "device": "cuda", "lr": 0.001, "checkpoint_every": 0}


def started(card):
    """The pool, its peak set to what is alive: other tests' cycles are not."""
    gc.collect()
    used = card.get_default_memory_pool()
    used.begin()
    return used


def peak_of_a_run(card, settings):
    """What the pretend pool counts at the peak of two steps, which compute, above what other tests left there."""
    used = started(card)
    before = used.used_bytes()
    job, progress = build_job(settings), Progress()
    rng, n = np.random.default_rng(0), settings.batch_size
    batches = [Batch(rng.standard_normal((n, 1, 32, 32), dtype=np.float32), np.zeros(n, int), np.arange(n)) for _ in range(2)]
    guard = Guard(job)
    with precision(settings.precision), np.errstate(all="ignore"):
        for batch in feed(iter(batches), job.device):
            loss, correct = update(job, guard, batch, progress)
            progress.add(loss.astype("float64"), correct, n)
    return used.peak - before


@pytest.mark.parametrize(
    "options",
    [
        {"model": "vgg11_bn", "batch_size": 2},
        {"model": "vgg11_bn", "batch_size": 12},
        {"model": "vgg16", "batch_size": 1},
        {"model": "vgg16", "batch_size": 6, "head": "paper"},
        {"model": "vgg11", "batch_size": 1, "precision": "fp16", "clip": 1.0, "width": 1 / 32},
        {"model": "vgg11", "batch_size": 8, "accumulate": 4, "width": 1 / 8},
        {"model": "vgg16_bn", "batch_size": 4, "recompute": True},
    ],
    ids=lambda options: " ".join(map(str, options.values())),
)
def test_the_peak_of_a_step_is_predicted(card, config, options):
    """Within 10 % of what live arrays take when a training step is computed on images of 32×32, for several networks, batches, heads,
    precisions, micro-batches, and with recomputation."""
    settings = config(**{**_TINY, **options})
    measured, predicted = peak_of_a_run(card, settings), Rehearsal(settings, 3, 1).predict(settings.batch_size)
    assert abs(predicted.peak / measured - 1) < 0.1, predicted
    assert sum(predicted.parts.values()) == predicted.peak


def test_the_peak_of_an_evaluation_is_predicted(card, config):
    """Within 10 %, too; no gradients and no velocities are there."""
    settings = config(**{**_TINY, "model": "vgg11_bn", "batch_size": 12})
    used = started(card)
    before = used.used_bytes()
    job = build_job(settings)
    evaluate(job.model, job.test, job.device)
    predicted = Rehearsal(settings, 3, 1, training=False).predict(12)
    velocities = 0
    assert abs(predicted.peak / (used.peak - before) - 1) < 0.1 and predicted.parts.get("velocities", 0) == velocities


def test_parts_by_hand():
    """Parameters and velocities in multiples of 512 bytes, two device buffers of images and labels, and as the batch grows only what
    belongs to images grows. No card is here."""
    settings = TrainConfig(model="vgg11", width=1 / 16, device="cuda")
    shapes = [p.shape for p in build_job(TrainConfig(model="vgg11", width=1 / 16, device="cpu")).model.parameters()]
    rounded = sum(-(-4 * int(np.prod(shape)) // 512) * 512 for shape in shapes)
    rehearsal = Rehearsal(settings, 10, 1)
    small, large = rehearsal.predict(2).parts, rehearsal.predict(64).parts
    assert small["parameters"] == large["parameters"] == large["velocities"] == rounded
    assert large["batches on the card"] == 2 * (64 * 32 * 32 * 4 + 64 * 8)
    assert large["kept by the graph"] > 20 * small["kept by the graph"]


def test_the_largest_batch_that_fits():
    """Its peak is within what is free, that of a batch a twentieth larger is not; nothing fits nothing; more micro-batches need less."""
    rehearsal = Rehearsal(TrainConfig(model="vgg11", width=1 / 16, device="cuda"), 10, 1)
    free = rehearsal.predict(100).peak
    most = rehearsal.most(free)
    assert most >= 95 and rehearsal.predict(most).peak <= free < rehearsal.predict(most + most // 20).peak
    assert rehearsal.most(1000) == 0
    parts = rehearsal.micro_batches(400, free)
    assert parts == 8 and rehearsal.predict(400, 8).peak <= free < rehearsal.predict(400, 4).peak
    assert rehearsal.micro_batches(4, 1000) == 0


def test_too_large_a_batch_is_explained_and_a_smaller_one_trains(card, config):
    """Under gpu_memory a batch of 16 fails on the way: exit 6, nothing of it stays in the pool, and both remedies train in the same
    process under the same limit, which ends with the run."""
    settings = {**_TINY, "batch_size": 16, "epochs": 1, "width": 1 / 32, "gpu_memory": "700kB"}
    with pytest.raises(OutOfMemoryError, match=r"16 images at once keep .* and of gpu_memory, 700 kB, .* free at the start") as caught:
        train(config(**settings))
    used = card.get_default_memory_pool()
    assert caught.value.exit_code == 6 and used.get_limit() == 0
    found = re.search(r"--accumulate (\d+) \(the same update, \d+ images at a time\), or --batch-size (\d+)\.$", str(caught.value))
    assert found, str(caught.value)
    del caught
    assert used.used_bytes() < 200_000
    for remedy in ({"accumulate": int(found[1])}, {"batch_size": int(found[2])}):
        assert len(train(config(**{**settings, **remedy})).rows) == 1


def test_a_limit_that_nothing_fits_is_named(card, config):
    """With a single byte allowed not even what an image needs can be measured: exit 6, and it is the limit that is named."""
    with pytest.raises(OutOfMemoryError, match=r"not even two images are possible, of gpu_memory, .* Give it more"):
        train(config(**{**_TINY, "gpu_memory": "1"}))


def test_what_the_pool_keeps_is_free(card):
    """After an array of 1 MB is gone its block is the pool's: not in use for Device.memory(), and empty_cache() gives it back and tells
    so, with the page-locked memory."""
    device, used = mv.Device("cuda"), card.get_default_memory_pool()
    before = device.memory()[0]
    array = device.full((1 << 18,), 1.0)
    assert device.memory()[0] == before + (1 << 20)
    del array
    assert used.free_bytes() >= 1 << 20 and device.memory()[0] == before
    card.cuda.alloc_pinned_memory(100)
    assert mv.empty_cache() >= 1 << 20
    assert used.free_bytes() == 0 and card.get_default_pinned_memory_pool().n_free_blocks() == 0


def test_a_limit_holds_and_ends(card):
    """Beyond it MemoryError; behind the block the limit from before; a share is one of the card's memory."""
    device, used = mv.Device("cuda"), card.get_default_memory_pool()
    with pytest.raises(MemoryError), pool.limited(device, f"{used.used_bytes() + 1000}"):
        device.full((1000,), 0.0)
    with pool.limited(device, "50%"):
        assert pool.limit(device) == (used.used_bytes(), 40 << 30)
    assert pool.limit(device) is None


@pytest.mark.parametrize(
    ("text", "size"), [("20GB", 20 * 10**9), ("1.5 GiB", 3 << 29), ("512mib", 1 << 29), ("7 kB", 7000), ("1000", 1000), ("25%", 2500)]
)
def test_amounts_of_memory(text, size):
    """Decimal and binary units, plain bytes, and a share of the whole."""
    assert pool.bytes_of(text, 10_000) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "20TB", "101%", "0", "twenty", "1GB2", "9" * 400 + "GB"])
def test_no_amounts_of_memory(text):
    """ConfigError with an example."""
    with pytest.raises(ConfigError, match=r'such as "20GB"'):
        pool.bytes_of(text, 10_000)


def test_a_cpu_has_no_such_limit(config):
    """gpu_memory on the CPU is refused, not ignored, before a run folder is made."""
    refused = config(gpu_memory="1GB")
    with pytest.raises(ConfigError, match="but the device is the CPU"):
        train(refused)
    assert not Path(refused.out).exists()
