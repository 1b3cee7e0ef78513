"""Dropout on the card: the CPU's masks and numbers, without a word from the host."""

from __future__ import annotations

import numpy as np
import pytest

import minivgg as mv
from minivgg import nn, ops
from minivgg.autograd import mode
from minivgg.backend.random import stream
from minivgg.testing import pretend

from .pretend_cupy.raw_module import LAUNCHES

IMAGES = np.random.default_rng(0).standard_normal((2, 5, 7, 3)).transpose(0, 3, 1, 2)  # stored channels-last
INPUTS = {"images": IMAGES, "rows": IMAGES.reshape(2, 105), "gaps": IMAGES[:, :, ::-1, 1:], "one": IMAGES[0, 0, 0, :1]}


def layer(x, gy):
    """A layer's output, and its gradient for gy, in step 3."""
    tensor = mv.Tensor(x, requires_grad=True)
    with mode.step(3), mode.scope("classifier.2"):
        y = nn.Dropout(0.3, seed=4)(tensor)
    y.backward(gy)
    return y.data, tensor.grad


@pytest.mark.parametrize("x", INPUTS.values(), ids=INPUTS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dropout_has_the_cpus_bits(card, x, dtype):
    """Mask, output and gradient of a layer are the CPU's; three launches, no wait for the card, nothing sent to it."""
    x, gy, device = x.astype(dtype), np.random.default_rng(1).standard_normal(x.shape).astype(dtype), mv.Device("cuda")
    on_card = device.asarray(x), device.asarray(gy)
    LAUNCHES.clear()
    pretend.synchronisations = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(card), "asarray", None)
        found = layer(*on_card)
    assert LAUNCHES == ["keep", "dropout", "dropout"]
    assert pretend.synchronisations == 0
    for a, b in zip(found, layer(x, gy), strict=True):
        assert a.dtype == b.dtype
        assert np.array_equal(a.get(), b)


def test_half_is_scaled_in_float32(card):
    """Half-precision values are kept, dropped and enlarged as float32 numbers and rounded once."""
    x = IMAGES.astype("float16")
    kept = stream(0, "half").random((2, 5, 7, 3), dtype=np.float32).transpose(0, 3, 1, 2) >= 0.3
    y = ops.dropout(mv.Device("cuda").asarray(x), 0.3, rng=stream(0, "half"))
    assert np.array_equal(y.get(), (x.astype("float32") * kept * np.float32(1 / 0.7)).astype("float16"))


def test_nan_and_infinity_are_treated_as_by_the_op(card):
    """What is dropped is multiplied by zero: NaN stays NaN, and infinity becomes NaN."""
    x, kept = np.array([np.nan, np.inf, -np.inf, -1.0, np.nan, np.inf], "float32"), np.array([0, 0, 0, 0, 1, 1], bool)
    y = ops.Dropout(0.5)(card.asarray(x), card.asarray(kept)).get()
    assert np.array_equal(y, np.array([np.nan, np.nan, np.nan, -0.0, np.nan, np.inf], "float32"), equal_nan=True)
    assert np.signbit(y[3])


@pytest.mark.parametrize("rng", [np.random.default_rng, lambda seed: np.random.Generator(np.random.MT19937(seed))])
def test_other_generators_draw_on_the_host(card, rng):
    """Any NumPy generator may be passed: the mask is the one that it draws on the host."""
    y = ops.dropout(card.asarray(np.ones((4, 5), "float32")), 0.5, rng=rng(9))
    assert np.array_equal(y.get(), 2.0 * (rng(9).random((4, 5), dtype=np.float32) >= 0.5))


def test_reference_draws_on_the_host(card):
    """Inside `reference()` neither kernel runs, and the numbers are the same."""
    x = card.asarray(np.ones((4, 5), "float32"))
    with_kernels = ops.dropout(x, 0.5, rng=stream(0, "reference"))
    LAUNCHES.clear()
    with mv.reference():
        without = ops.dropout(x, 0.5, rng=stream(0, "reference"))
    assert LAUNCHES == []
    assert np.array_equal(with_kernels.get(), without.get())
