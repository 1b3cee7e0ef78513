"""Batch norm's kernels, with and without the rectifier behind it, against the formulas in NumPy and float64."""

from __future__ import annotations

import numpy as np
import pytest

import minivgg as mv
from minivgg import ops
from minivgg.fast.cuda import batch_norm, channel_sum, rows

from .pretend_cupy import raw_module
from .pretend_cupy.raw_module import LAUNCHES

BOUND = {"float16": 2e-3, "float32": 3e-6, "float64": 1e-14}  # of the largest element; half is rounded once, at the end
SHAPES = [(3, 3, 5, 7), (2, 24, 3, 3), (5, 1, 1, 1), (7, 6), (3, 11), (2, 64, 4)]
RNG = np.random.default_rng


def batch(shape, dtype, seed=0):
    """x and gy of a dtype, gamma and beta of the one that is computed with; a channel's mean is far from 0 against its spread."""
    rng, parameters = RNG(seed), np.float64 if dtype == "float64" else np.float32
    x = rng.standard_normal(shape) + 10 * np.arange(shape[1]).reshape(1, -1, *(1 for _ in shape[2:])) / shape[1]
    gamma, beta = rng.uniform(0.5, 2, shape[1]), rng.standard_normal(shape[1])
    return x.astype(dtype), gamma.astype(parameters), beta.astype(parameters), rng.standard_normal(shape).astype(dtype)


def formulas(x, gamma, beta, gy, eps, relu):
    """y, mean, variance, gx, gγ, gβ in float64, as Ioffe & Szegedy write them; and where y is too near 0 to know its sign."""
    x, gamma, beta, gy = (v.astype(np.float64) for v in (x, gamma, beta, gy))
    axes, column = (0, *range(2, x.ndim)), (1, -1, *(1 for _ in x.shape[2:]))
    mean, variance = x.mean(axes), x.var(axes)
    inverse = 1 / np.sqrt(variance + eps)
    normal = (x - mean.reshape(column)) * inverse.reshape(column)
    y = gamma.reshape(column) * normal + beta.reshape(column)
    g = np.where(y > 0, gy, 0) if relu else gy
    gbeta, ggamma, m = g.sum(axes), (g * normal).sum(axes), x.size // x.shape[1]
    gx = (gamma * inverse).reshape(column) * (g - gbeta.reshape(column) / m - normal * ggamma.reshape(column) / m)
    return (np.maximum(y, 0) if relu else y), mean, variance, gx, ggamma, gbeta


def near(found, exact, dtype, times=1.0):
    """`found`, an array of the card, is `exact` within the bound of its dtype."""
    found = found.get() if hasattr(found, "get") else found
    assert found.shape == exact.shape
    assert np.abs(found - exact).max() <= times * BOUND[dtype] * max(np.abs(exact).max(), 1.0)


@pytest.mark.parametrize("relu", [False, True], ids=["plain", "relu"])
@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_statistics_and_gradients(card, shape, dtype, relu):
    """y, the statistics and all three gradients of whole calls, by kernels alone; of half images the statistics are float32."""
    x, gamma, beta, gy = batch(shape, dtype)
    expected = formulas(x, gamma, beta, gy, 0.1, relu)
    call = (ops.BatchNormRelu if relu else ops.BatchNorm)(0.1)
    wide = np.dtype(np.float64 if dtype == "float64" else np.float32)
    LAUNCHES.clear()
    forward, backward = (batch_norm.forward_relu, batch_norm.backward_relu) if relu else (batch_norm.forward, batch_norm.backward)
    device = [card.asarray(v) for v in (x, gamma, beta, gy)]
    y = forward(call, *device[:3])
    saved = dict(zip(["x", "gamma", "beta"] if relu else ["x", "gamma"], device, strict=False))
    gx, ggamma, gbeta = backward(call, device[3], saved, (), [True] * 3)
    assert LAUNCHES == ["moments", "finish_moments", "batch_norm", "gradient_sums", "finish_gradient_sums", "input_gradient"]
    assert (y.dtype, gx.dtype) == (x.dtype, x.dtype)
    assert all(v.dtype == wide for v in (call.mean, call.variance, ggamma, gbeta))
    for found, exact in zip((call.mean, call.variance, ggamma, gbeta), [expected[i] for i in (1, 2, 4, 5)], strict=True):
        near(found, exact, wide.name)
    near(y, expected[0], dtype)
    near(gx, expected[3], dtype)
    assert all(np.array_equal(v.get(), w) for v, w in zip(device, (x, gamma, beta, gy), strict=True))


def test_every_order_of_threads_gives_the_same_bits(card, order):
    """Statistics and gradients of 3 blocks of rows, by 24 and by 3 channels: those of threads that run upwards."""
    for channels in (24, 3):
        arrays = [card.asarray(v) for v in batch((1500, channels), "float32")]
        results = []
        for run in (order, 0):
            raw_module.order[0] = run
            call = ops.BatchNormRelu(1e-5)
            y = batch_norm.forward_relu(call, *arrays[:3])
            gradients = batch_norm.backward_relu(call, arrays[3], dict(zip(["x", "gamma", "beta"], arrays, strict=False)), (), [True] * 3)
            results.append([v.get().tobytes() for v in (y, call.mean, call.variance, *gradients)])
        assert results[0] == results[1]
        near(call.variance, arrays[0].get().astype(np.float64).var(0), "float32")


def test_the_variance_of_numbers_far_from_zero(card):
    """10,000 ± 1: Σx²/m − mean² in float32 would be off by ½ or more; the kernel has six digits. A constant channel has exactly 0."""
    x = np.stack([10_000 + RNG(0).standard_normal(3001), np.full(3001, 0.1)], axis=1).astype(np.float32)
    mean, variance = batch_norm.statistics(card.asarray(x))
    exact = x.astype(np.float64)
    assert abs(np.mean(x[:, 0] ** 2) - np.mean(x[:, 0]) ** 2 - 1) >= 0.5
    assert np.abs(mean.get()[0] - exact.mean(0)[0]) <= 1e-3
    assert variance.get()[0] == pytest.approx(exact.var(0)[0], rel=1e-6)
    assert mean.get()[1] == np.float32(0.1) and variance.get()[1] == 0


def test_statistics_and_gradients_of_many_blocks(card):
    """34 blocks of rows, more than the second stages have threads in a column, 32: all of them count."""
    x, gamma, beta, gy = batch((17_000, 3), "float32")
    assert rows.layout(x, **batch_norm._SUMS)[0] == (1, 34)
    call, expected = ops.BatchNorm(0.1), formulas(x, gamma, beta, gy, 0.1, False)
    device = [card.asarray(v) for v in (x, gamma, beta, gy)]
    y = batch_norm.forward(call, *device[:3])
    found = batch_norm.backward(call, device[3], dict(zip(["x", "gamma"], device, strict=False)), (), [True] * 3)
    for a, b in zip((y, call.mean, call.variance, *found), expected, strict=True):
        near(a, b, "float32", 3)


def test_an_outlier_in_front_spoils_nothing(card):
    """The first number of a channel is what a thread measures distances from: 1,000 deviations off, the variance has five digits."""
    x = RNG(0).standard_normal((4000, 8)).astype(np.float32)
    x[0] = 1000
    variance = batch_norm.statistics(card.asarray(x))[1]
    np.testing.assert_allclose(variance.get(), x.astype(np.float64).var(0), rtol=1e-5)


def test_what_is_not_wanted_is_not_computed(card):
    """Of frozen images only the parameters' gradients are made, of a frozen gamma only beta's: a sum over gy."""
    x, gamma, beta, gy = (card.asarray(v) for v in batch((2, 24, 3, 3), "float32"))
    call, exact = ops.BatchNorm(1e-5), formulas(x.get(), gamma.get(), beta.get(), gy.get(), 1e-5, False)
    batch_norm.forward(call, x, gamma, beta)
    LAUNCHES.clear()
    gx, ggamma, gbeta = batch_norm.backward(call, gy, {"x": x}, (), [False, True, False])
    assert gx is None and gbeta is None and "input_gradient" not in LAUNCHES
    near(ggamma, exact[4], "float32")
    gx, ggamma, gbeta = batch_norm.backward(call, gy, {}, (), [False, False, True])
    assert gx is None and ggamma is None
    near(gbeta, exact[5], "float32")


@pytest.mark.parametrize("stored", ["C order", "channels-last", "turned", "strided", "repeated"])
def test_any_strides(card, stored):
    """A whole step through the overlay, whatever way images and gradient lie in memory; the result is stored channels-last."""
    x, gamma, beta, gy = batch((2, 6, 4, 5), "float32")
    layouts = {
        "C order": lambda v: v,
        "channels-last": lambda v: np.ascontiguousarray(v.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
        "turned": lambda v: np.ascontiguousarray(v[:, ::-1, :, ::-1])[:, ::-1, :, ::-1],
        "strided": lambda v: np.repeat(v, 2, axis=3)[..., ::2],
        "repeated": lambda v: np.broadcast_to(v[:1], v.shape),
    }
    x, gy = layouts[stored](x), layouts[stored](gy)
    expected = formulas(x, gamma, beta, gy, 1e-5, True)
    tensors = [mv.Tensor(card.asarray(x), requires_grad=True)]
    tensors += [mv.Tensor(card.asarray(np.repeat(v, 2)[::2]), requires_grad=True) for v in (gamma, beta)]
    y = ops.batch_norm_relu(*tensors)
    y.backward(card.asarray(gy))
    assert y.data.transpose(0, 2, 3, 1).flags.c_contiguous
    for found, exact in zip((y.data, *(t.grad for t in tensors)), [expected[i] for i in (0, 3, 4, 5)], strict=True):
        near(found, exact, "float32")


def test_a_nan_spoils_its_channel_only(card):
    """The others have the numbers that they have without it."""
    x, gamma, beta, _ = batch((2, 8, 3, 3), "float32")
    clean = formulas(x, gamma, beta, x, 1e-5, True)[0]
    x[1, 3, 2, 0] = np.nan
    y = ops.BatchNormRelu(1e-5)(*(card.asarray(v) for v in (x, gamma, beta))).get()
    assert np.isnan(y[:, 3]).all()
    near(np.delete(y, 3, axis=1), np.delete(clean, 3, axis=1), "float32")


@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_evaluation_has_the_bits_of_the_op(card, shape, dtype):
    """a·x + b for each channel, each operation rounded as NumPy rounds it, and the result to x's dtype."""
    x, a, b, _ = batch(shape, dtype)
    column = (1, -1, *(1 for _ in shape[2:]))
    expected = (x.astype(a.dtype) * a.reshape(column) + b.reshape(column)).astype(dtype)
    y = batch_norm.affine(ops.ChannelAffine(), *(card.asarray(v) for v in (x, a, b)))
    assert y.dtype == x.dtype and np.array_equal(y.get(), expected)


def test_channel_sums_of_images(card):
    """Σ over all but the channels, of images in any storage; of half images in float32: 3,000 ones are 3000."""
    x = RNG(0).standard_normal((2, 5, 3, 4)).astype(np.float32)
    for view in (x, x[:, ::-1], np.broadcast_to(x[:1], x.shape), x[:, :, 0, 0], x[..., 0]):
        sums = ops.channel_sum(card.asarray(view)).get()
        np.testing.assert_allclose(sums, view.sum((0, *range(2, view.ndim)), dtype=np.float64), rtol=1e-6, atol=1e-6)
    sums = channel_sum.forward(ops.ChannelSum(), card.asarray(np.ones((30, 3, 10, 10), np.float16)))
    assert sums.dtype == np.float32 and (sums.get() == 3000).all()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_running_statistics_are_the_cpus(card, dtype):
    """Two training steps of a layer: means, variances and the count have the bits that the layer's own code makes of the same batch
    statistics, which take one launch; what state_dict() gave out moves along."""
    wide, shape = ("float64" if dtype == "float64" else "float32"), (3, 19, 2, 2)
    layers = [mv.nn.BatchNorm2d(19, momentum=0.3).to("cuda", wide) for _ in range(2)]
    state = layers[0].state_dict()
    for step in range(2):
        x = mv.Tensor(card.asarray(batch(shape, dtype, step)[0]))
        LAUNCHES.clear()
        layers[0](x)
        assert LAUNCHES.count("track") == 1
        with mv.frozen_state():
            _, call = ops.BatchNorm(1e-5).run(x, *layers[1].parameters())
        mean, variance, _ = (b.data for _, b in layers[1].named_buffers())
        mean *= 1.0 - 0.3
        mean += 0.3 * call.mean
        variance *= 1.0 - 0.3
        variance += 0.3 * (call.variance * (12 / 11))
    found, expected = ([b.data.get() for _, b in layer.named_buffers()] for layer in layers)
    assert np.array_equal(found[0], expected[0]) and np.array_equal(found[1], expected[1]) and found[2] == 2
    assert np.array_equal(state["running_var"].get(), found[1])
