"""Too little memory: refused in time, explained in one message, and the size that it names fits."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest

import minivgg as mv
from minivgg import ops
from minivgg.backend.limits import Limit
from minivgg.errors import ConfigError, OutOfMemoryError
from minivgg.train import build_job, dry_run, memory, train

ROOT = Path(__file__).parents[2]
linux = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="address space is read from Linux's /proc")


@pytest.fixture
def limit(monkeypatch):
    """limit(free) makes `memory_limit` answer so many bytes."""

    def answer(free: int, raises: bool = False) -> None:
        monkeypatch.setattr(memory, "memory_limit", lambda: Limit("this test's memory", free, 0, raises))

    return answer


@pytest.mark.parametrize("options", [{}, {"model": "vgg11", "head": "linear"}, {"recompute": True}])
def test_an_image_keeps_what_the_graph_says(config, options):
    """A batch of six keeps six times as much, but for what does not grow with it: batch norm's statistics."""
    job = build_job(config(**options))
    each = memory.kept_per_image(job)
    x = np.zeros((6, *job.train.image_shape), "float32")
    kept = mv.kept_bytes(ops.cross_entropy(job.model(mv.Tensor(x)), np.zeros(6, int)))
    assert 6 * each <= kept <= 6 * each + 50_000


def test_measuring_leaves_the_model_alone(config):
    """No running statistic, counter or gradient is touched, and what is as if nothing were recomputed is larger."""
    job = build_job(config(recompute=True))
    before = {name: a.tobytes() for name, a in job.model.state_dict().items()}
    assert memory.kept_per_image(job) < memory.kept_per_image(job, recompute=False) / 2
    assert {name: a.tobytes() for name, a in job.model.state_dict().items()} == before
    assert all(p.grad is None for p in job.model.parameters()) and job.model.classifier[2].calls == 0


def test_images_that_fit_by_hand(config):
    """Room for parameters three times, workspaces, batches in hand, and 7.5 images' worth: seven; with the batches in hand of
    the size itself, fewer, and they fit."""
    job = build_job(config(workers=0, batch_size=16))
    parameters, image = sum(p.data.nbytes for p in job.model.parameters()), 4 * 32 * 32
    each, fixed = memory._PEAK * memory.kept_per_image(job), 3 * parameters + memory._WORKSPACES
    assert memory.images_that_fit(job, int(fixed + 4 * 16 * image + 7.5 * each), accumulate=True) == 7
    free = int(fixed + 7.5 * each)
    alone = memory.images_that_fit(job, free, accumulate=False)
    assert alone == int(7.5 * each / (each + 4 * image)) and memory.images_that_fit(job, 1000, accumulate=False) == 0


def test_what_cannot_fit_is_refused_before_the_first_step(config, limit):
    """The graph of 16 images alone is larger than the memory: no step, and the remedies are in the message."""
    job = build_job(config())
    limit(16 * memory.kept_per_image(job) - 1)
    with pytest.raises(OutOfMemoryError, match=r"16 images at once keep .* of this test's memory, .* were free at the start") as caught:
        train(config())
    assert caught.value.exit_code == 6 and isinstance(caught.value, MemoryError)
    with pytest.raises(OutOfMemoryError):
        dry_run(config())
    limit(16 * memory.kept_per_image(job))
    train(config(epochs=1))
    limit(8 * memory.kept_per_image(job))
    train(config(epochs=1, accumulate=2))  # eight at a time


def test_a_failed_allocation_is_explained(config, limit):
    """MemoryError inside: both remedies, never more than half of what failed; other errors pass. What the failed step held is
    free by then."""
    job, held = build_job(config(batch_size=32)), []

    def step():
        activations = np.zeros(10)
        held.append(weakref.ref(activations))
        raise MemoryError

    limit(10**10)
    remedies = r"--accumulate 2 \(the same update, 16 images at a time\), or --batch-size 16\.$"
    with pytest.raises(OutOfMemoryError, match=remedies), memory.explain_out_of_memory(job):
        step()
    assert held[0]() is None
    with pytest.raises(ConfigError), memory.explain_out_of_memory(job):
        raise ConfigError("mine")
    limit(32 * memory.kept_per_image(job))  # below what workspaces take
    with pytest.raises(OutOfMemoryError, match="Not even one fits for sure: lower --width"), memory.explain_out_of_memory(job):
        raise MemoryError


@linux
@pytest.mark.parametrize(("megabytes", "started"), [(200, False), (247, True)], ids=["refused beforehand", "failed in the first step"])
def test_under_ulimit_the_message_names_a_size_that_fits(tmp_path, megabytes, started):
    """In a process with so much address space left: exit 6, one message, no traceback; both remedies that it names then train
    to the end under the same limit."""
    images = np.random.default_rng(0).integers(0, 255, (1100, 28, 28), dtype=np.uint8)
    np.savez(tmp_path / "d.npz", x_train=images, y_train=np.arange(1100) % 3)

    def limited(*arguments: str) -> subprocess.CompletedProcess[str]:
        script = (
            "import pathlib, resource, sys, numpy as np\n"
            "from minivgg import cli, ops, train\n"
            "train.memory._let_blas_take_its_buffers()\n"
            f"size = int(pathlib.Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize() + {megabytes}_000_000\n"
            "resource.setrlimit(resource.RLIMIT_AS, (size, size))\n"
            "sys.exit(cli.run(['train', 'd.npz', *'--epochs 1 --width 0.0625 --image-size 64 --workers 0'.split(), *sys.argv[1:]]))"
        )
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
        command = [sys.executable, "-c", script, *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=False)

    failed = limited("--batch-size", "980")
    assert failed.returncode == 6, failed.stderr
    *progress, message = failed.stderr.splitlines()
    assert message.startswith("error: out of memory: 980 images at once keep") and "Traceback" not in failed.stderr
    assert any("train loss" in line for line in progress) == started
    remedies = re.search(r"--accumulate (\d+) \(the same update, \d+ images at a time\), or --batch-size (\d+)\.$", message)
    assert remedies, message
    for arguments in (("--batch-size", "980", "--accumulate", remedies[1]), ("--batch-size", remedies[2])):
        done = limited(*arguments)
        assert done.returncode == 0, done.stderr
