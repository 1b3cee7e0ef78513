"""Memory in a training loop: after a few steps nothing more is needed."""

from __future__ import annotations

import pytest

from minivgg.backend import memory

from .large import Steps


def test_the_pool_does_not_grow_over_training_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """On one thread two steps take all that is needed, and five more make no block. On two it depends on who works when how much is in
    use at a time, but a half more is never needed."""
    monkeypatch.setenv("MINIVGG_THREADS", "1")
    monkeypatch.setattr(memory, "_blocks", [])
    step = Steps()
    for _ in range(2):
        step()
    blocks, kept = memory._count, memory.allocated()[1]
    assert kept > 0
    for _ in range(5):
        step()
    assert (memory._count, memory.allocated()[1]) == (blocks, kept)
    monkeypatch.setenv("MINIVGG_THREADS", "2")
    for _ in range(5):
        step()
    assert memory.allocated()[1] <= 1.5 * kept


def test_no_kernel_keeps_memory_of_the_pool() -> None:
    """As much is in use after a second step as after the first: parameters' gradients are forgotten with the graph."""
    step = Steps()
    used = []
    for _ in range(2):
        step()
        step.optimizer.zero_grad()
        used.append(memory.allocated()[0])
    assert used[0] == used[1]
