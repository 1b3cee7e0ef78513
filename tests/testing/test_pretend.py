"""The pretend GPU is strict, and a whole training step passes on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minivgg as mv
from minivgg import models, ops, optim
from minivgg.backend.arrays import to_numpy
from minivgg.errors import DeviceError
from minivgg.testing import pretend as gpu


def test_it_refuses_what_a_device_would_not_do() -> None:
    """NumPy functions, implicit conversion, host operands and use as an index raise TypeError."""
    x = gpu.pretend(np.ones(3))
    for forbidden in (
        lambda: np.exp(x),
        lambda: np.concatenate([x]),
        lambda: np.asarray(x),
        lambda: x + np.ones(3),
        lambda: [0, 1][gpu.pretend(np.array(1))],
    ):
        with pytest.raises(TypeError):
            forbidden()


def test_it_counts_what_makes_the_host_wait() -> None:
    """float(), bool(), item() and get() are synchronisations; arithmetic is none."""
    x = gpu.pretend(np.array(2.0))
    gpu.synchronisations = 0
    y = x * 3 + x
    assert gpu.synchronisations == 0
    assert (float(y), bool(y > 1), y.item()) == (8.0, True, 8.0)
    assert gpu.synchronisations == 3
    assert y.get() == 8.0 and gpu.synchronisations == 4


def test_uninitialised_memory_shows() -> None:
    """empty() holds NaN."""
    assert np.isnan(gpu.xp.empty((2, 2)).get()).all()


def test_mixing_with_host_arrays_names_the_remedy() -> None:
    """An op on one host and one device array is a DeviceError that names both and says how to move them."""
    with pytest.raises(DeviceError, match=r'pretend \(2,\), numpy \(2,\).*tensor.to\("cuda"\)'):
        ops.Add()(gpu.pretend(np.ones(2)), np.ones(2))


@pytest.mark.parametrize("name", ["vgg11_bn", "vgg11_lrn", "vgg16_1x1"])
def test_three_training_steps_equal_the_cpu_and_never_wait(name: str) -> None:
    """Forward, loss, backward and SGD of a miniature VGG in float64: the same parameters as on the CPU to 1e-9, without a
    single synchronisation."""

    def train(move: Any) -> list[Any]:
        model = models.build(name, num_classes=5, image_size=32, width=1 / 16, head="paper").to(dtype="float64")
        for tensor in [t for _, t in [*model.named_parameters(), *model.named_buffers()]]:
            tensor.data = move(tensor.data)
        sgd = optim.SGD(model.named_parameters(), lr=0.01, nesterov=True)
        rng = np.random.default_rng(0)
        gpu.synchronisations = 0
        for _ in range(3):
            x, targets = move(rng.standard_normal((4, 3, 32, 32))), move(rng.integers(0, 5, 4))
            loss = ops.cross_entropy(model(mv.Tensor(x)), targets, label_smoothing=0.1)
            sgd.zero_grad()
            loss.backward()
            sgd.step()
        assert gpu.synchronisations == 0
        return [to_numpy(p.data) for p in model.parameters()]

    with mv.reference():
        on_cpu = train(lambda x: x)
    on_device = train(gpu.pretend)
    assert all(np.abs(a - b).max() <= 1e-9 * max(1.0, np.abs(b).max()) for a, b in zip(on_device, on_cpu, strict=True))


def test_a_wrong_label_on_a_device_gives_nan_not_a_number() -> None:
    """Where nobody waits for an answer, a label out of range makes the loss NaN, never a plausible value."""
    loss = ops.cross_entropy(gpu.pretend(np.zeros((2, 3))), gpu.pretend(np.array([0, 7])))
    assert np.isnan(float(loss))


def test_a_tensor_on_the_right_of_a_device_array_takes_over() -> None:
    """Array − Tensor is a tensor on the device, as it is on NumPy."""
    y = gpu.pretend(np.array([3.0])) - mv.Tensor(gpu.pretend(np.array([1.0])), requires_grad=True)
    assert isinstance(y, mv.Tensor) and y.data.get().tolist() == [2.0]


def test_numbers_lengths_and_rows_of_a_device_array() -> None:
    """int() waits for the device; len() does not; iterating gives device arrays; repr says where it lives."""
    x = gpu.pretend(np.array([[1.0, 2.0], [3.0, 4.0]]))
    before = gpu.synchronisations
    assert len(x) == 2 and [type(row) for row in x] == [gpu.Array, gpu.Array] and repr(x).startswith("pretend.array(")
    assert gpu.synchronisations == before
    assert int(x[1, 0]) == 3 and gpu.synchronisations == before + 1
