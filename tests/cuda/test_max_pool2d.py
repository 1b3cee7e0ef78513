"""Max pooling's kernels, against loops over windows."""

from __future__ import annotations

import numpy as np
import pytest

import minivgg as mv
from minivgg import ops
from minivgg.fast.cuda import max_pool2d

from .pretend_cupy.raw_module import LAUNCHES

SHAPES = [(2, 3, 4, 6), (1, 8, 2, 2), (2, 24, 5, 3), (3, 1, 7, 8), (1, 320, 3, 4)]
DTYPES = ["float16", "float32", "float64"]
PLAIN = ops.Geometry((2, 2), (2, 2))


def windows(x):
    """The largest number of each window and its tap, the first at a tie, one window after the other. Of a NaN (NaN, 0)."""
    n, c, h, w = x.shape
    y, winners = np.zeros((n, c, h // 2, w // 2), x.dtype), np.zeros((n, c, h // 2, w // 2), np.uint8)
    for place in np.ndindex(y.shape):
        i, j, p, q = place
        taps = x[i, j, 2 * p : 2 * p + 2, 2 * q : 2 * q + 2].reshape(-1)
        winner = 0
        for tap in range(1, 4):
            if taps[tap] > taps[winner]:
                winner = tap
        bad = np.isnan(taps).any()
        y[place], winners[place] = (np.nan, 0) if bad else (taps[winner], winner)
    return y, winners


def scattered(u, winners, shape):
    """u at its window's winner, zero elsewhere."""
    y = np.zeros(shape, u.dtype)
    for i, j, p, q in np.ndindex(u.shape):
        tap = int(winners[i, j, p, q])
        y[i, j, 2 * p + tap // 2, 2 * q + tap % 2] = u[i, j, p, q]
    return y


def delicate(shape, dtype):
    """Few different numbers, so that many windows have ties; infinities, zeros of both signs, and NaN at every tap."""
    values = np.array([0.0, -0.0, 1.0, 1.0, -1.0, 2.0, np.inf, -np.inf, np.nan], dtype)
    return np.random.default_rng(0).choice(values, shape, p=[0.1, 0.1, 0.15, 0.15, 0.2, 0.15, 0.05, 0.05, 0.05])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_winners_and_gradients_are_exact(card, shape, dtype):
    """y, the winners and gx of channels-last images with ties, NaN and odd sizes, to the bit."""
    x = delicate(shape, dtype)
    y, winners = windows(x)
    gy = np.random.default_rng(1).standard_normal(y.shape).astype(dtype)
    tensor = mv.Tensor(card.asarray(x), requires_grad=True)
    LAUNCHES.clear()
    result, call = ops.MaxPool2d(PLAIN).run(tensor)
    places = call.winners.get()  # the sweep drops them
    result.backward(card.asarray(gy))
    assert LAUNCHES == ["max_pool2d", "pool_scatter"]
    assert np.array_equal(result.data.get(), y, equal_nan=True)
    assert places.dtype == np.uint8 and np.array_equal(places, winners)
    assert np.array_equal(tensor.grad.get(), scattered(gy, winners, shape))
    assert np.array_equal(tensor.data.get(), x, equal_nan=True)


def test_every_order_of_threads_gives_the_same(card, order):
    """No thread writes what another does."""
    x = delicate((2, 8, 5, 7), "float32")
    y, winners = windows(x)
    found = ops.MaxPool2d(PLAIN).run(card.asarray(x))[0]
    gx = ops.PoolScatter(PLAIN, x.shape)(card.asarray(np.abs(winners + 1.0)), card.asarray(winners))
    assert np.array_equal(found.get(), y, equal_nan=True)
    assert np.array_equal(gx.get(), scattered(winners + 1.0, winners, x.shape))


@pytest.mark.parametrize("stored", ["C order", "turned", "repeated", "a part"])
def test_any_strides(card, stored):
    """Images and gradients in any storage; the results are stored channels-last."""
    layouts = {
        "C order": lambda v: v,
        "turned": lambda v: v[:, ::-1, ::-1],
        "repeated": lambda v: np.broadcast_to(v[:1], v.shape),
        "a part": lambda v: np.ascontiguousarray(np.concatenate([v, v]).transpose(0, 2, 3, 1))[1 : 1 + len(v)].transpose(0, 3, 1, 2),
    }
    x = layouts[stored](delicate((2, 12, 4, 5), "float32"))
    y, winners = windows(x)
    u, places = layouts[stored](winners + np.float32(1)), layouts[stored](winners)
    found = max_pool2d.forward(ops.MaxPool2d(PLAIN), card.asarray(x))
    gx = max_pool2d.scatter(ops.PoolScatter(PLAIN, x.shape), card.asarray(u), card.asarray(places))
    assert np.array_equal(found.get(), y, equal_nan=True)
    assert np.array_equal(gx.get(), scattered(u, places, x.shape))
    assert all(v.transpose(0, 2, 3, 1).flags.c_contiguous for v in (found, gx))


def test_numbers_that_begin_anywhere(card):
    """Contiguous images and winners that do not begin at a multiple of 16 or of 4 bytes."""
    x, rng = np.random.default_rng(0).standard_normal(1 + 2 * 4 * 4 * 8).astype(np.float32), np.random.default_rng(1)
    whole = rng.integers(0, 4, 1 + 2 * 2 * 2 * 8).astype(np.uint8)
    images, places = (card.asarray(v)[1:].reshape(2, -1, 8) for v in (x, whole))
    images, places = images.reshape(2, 4, 4, 8).transpose(0, 3, 1, 2), places.reshape(2, 2, 2, 8).transpose(0, 3, 1, 2)
    y = max_pool2d.forward(ops.MaxPool2d(PLAIN), images).get()
    assert np.array_equal(y, windows(images.get())[0])
    gx = max_pool2d.scatter(ops.PoolScatter(PLAIN, images.shape), card.asarray(y), places).get()
    assert np.array_equal(gx, scattered(y, places.get(), images.shape))


def test_a_nan_gradient_reaches_its_whole_window(card):
    """As the op's product with the mask does, NaN · 0: a kernel may not hide it."""
    u, winners = np.array([[[[np.nan, 1.0]]]], np.float32), np.array([[[[3, 2]]]], np.uint8)
    gx = ops.PoolScatter(PLAIN, (1, 1, 2, 4))(card.asarray(u), card.asarray(winners)).get()
    assert np.isnan(gx[..., :2]).all() and np.array_equal(gx[0, 0, :, 2:], [[0, 0], [1, 0]])


@pytest.mark.parametrize("geometry", [ops.Geometry((3, 2), (2, 1), (1, 1)), ops.Geometry((2, 2), (2, 2), ceil_mode=True)], ids=str)
def test_other_windows_are_the_ops_own(card, geometry):
    """Overlapping or overhanging windows run by the op's formula on the card, with the bits that NumPy gives."""
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 5)).astype(np.float32)
    LAUNCHES.clear()
    results = []
    for place in (card.asarray, np.asarray):
        tensor = mv.Tensor(place(x), requires_grad=True)
        y = ops.MaxPool2d(geometry)(tensor)
        (y * y).sum().backward()
        results.append([y.data, tensor.grad])
    assert not {"max_pool2d", "pool_scatter"} & set(LAUNCHES)
    assert all(np.array_equal(a.get(), b) for a, b in zip(*results, strict=True))
