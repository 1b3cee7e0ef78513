"""On a device: updates stay there, never make the host wait, and are the host's to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from minivgg.autograd.core import Tensor
from minivgg.backend.arrays import to_numpy
from minivgg.optim import SGD, clip_grad_norm
from minivgg.testing import pretend as gpu


@pytest.mark.parametrize("form", ["torch", "paper"])
@pytest.mark.parametrize("guard", [None, True, False])
def test_guarded_updates_do_not_wait(form, guard):
    """Three clipped steps on the pretend GPU, guarded or not: no synchronisation, and the same weights as on the host."""
    start, gradients = np.arange(4, dtype="float32"), np.random.default_rng(0).standard_normal((3, 4)).astype("float32")

    def train(move):
        w = Tensor(move(start.copy()), requires_grad=True)
        sgd = SGD([("w", w)], lr=0.1, nesterov=True, form=form)
        for g in gradients:
            w.grad = move(g.copy())
            clip_grad_norm([("w", w)], 1.0)
            sgd.step(None if guard is None else move(np.array(guard)))
        return w.data

    gpu.synchronisations = 0
    on_device = train(gpu.pretend)
    assert gpu.synchronisations == 0
    assert np.array_equal(to_numpy(on_device), train(lambda array: array))
    assert (to_numpy(on_device) == start).all() == (guard is False)
