"""Memory in a training loop: after a few steps nothing more is needed."""

from __future__ import annotations

import pytest

from minivgg.backend import memory

from .large import Steps


def test_the_pool_does_not_grow_over_training_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps take all that is needed; five more make no new block, on one thread as on two."""
    for number in "12":
        monkeypatch.setenv("MINIVGG_THREADS", number)
        monkeypatch.setattr(memory, "_blocks", [])
        step = Steps()
        for _ in range(3):
            step()
        blocks, kept = memory._count, memory.allocated()[1]
        assert kept > 0
        for _ in range(5):
            step()
        assert (memory._count, memory.allocated()[1]) == (blocks, kept)


def test_all_of_the_pool_is_idle_after_a_step() -> None:
    """But for the gradients, which the parameters hold until they are forgotten: no kernel keeps its memory."""
    step = Steps()
    step()
    step.optimizer.zero_grad()
    before = memory.allocated()[0]
    step()
    step.optimizer.zero_grad()
    assert memory.allocated()[0] == before
