"""What loaders take beside a training step, where memory is short."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from minivgg.backend.limits import Limit
from minivgg.train.memory import _beside


@pytest.mark.parametrize(
    ("in_processes", "raises", "expected"),
    [(False, False, 0), (False, True, 2 * 72 * 2**20), (True, True, 2 * 72 * 2**20), (True, False, 2 * (88 * 2**20 + 4 * 4 * 192 * 6))],
)
def test_threads_count_as_addresses_and_processes_as_memory(in_processes, raises, expected):
    """Two workers, 3×8×8 images, batches of 4 to train and of 2 to validate: a limit on addresses is each process's own, so only this
    one's threads count; elsewhere each worker is an interpreter with four batches, once to train and once to validate."""
    train = SimpleNamespace(in_processes=in_processes, workers=2, batch_size=4, image_shape=(3, 8, 8))
    job = SimpleNamespace(config=SimpleNamespace(workers=2), train=train, val=SimpleNamespace(batch_size=2))
    assert _beside(job, Limit("memory", 2**40, 0, raises)) == expected
