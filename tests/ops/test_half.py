"""Half precision: the ops of a VGG keep the dtype of activations, and sum in float32 where half precision does not reach."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from minivgg import ops
from minivgg.autograd.core import Tensor, grad
from minivgg.errors import ShapeError
from minivgg.testing.pretend import pretend

HALVES = {"float16": 2.0**-11, "bfloat16": 2.0**-8}  # the largest relative error of rounding once
DTYPES = {"float16": np.dtype(np.float16), "bfloat16": np.dtype(ml_dtypes.bfloat16)}
MASK = np.random.default_rng(5).random((3, 4, 6, 6)) < 0.5

# name → (function of the operands, their shapes, and the numbers of those that are float32 where x is in half precision)
CALLS = {
    "conv2d": (lambda x, w, b: ops.conv2d(x, w, b, padding=1), [(3, 4, 6, 6), (5, 4, 3, 3), (5,)], ""),
    "conv2d strided": (lambda x, w: ops.conv2d(x, w, stride=2), [(3, 4, 6, 6), (5, 4, 2, 2)], ""),
    "conv2d_relu": (lambda x, w, b: ops.conv2d_relu(x, w, b, padding=1), [(3, 4, 6, 6), (5, 4, 3, 3), (5,)], ""),
    "linear": (ops.linear, [(6, 40), (7, 40), (7,)], ""),
    "batch_norm": (ops.batch_norm, [(3, 4, 6, 6), (4,), (4,)], "12"),
    "batch_norm_relu": (ops.batch_norm_relu, [(3, 4, 6, 6), (4,), (4,)], "12"),
    "batch_norm, evaluation": (
        lambda x, gamma, beta, mean, var: ops.batch_norm(x, gamma, beta, mean=mean, var=var * var + 0.5),
        [(3, 4, 6, 6), (4,), (4,), (4,), (4,)],
        "1234",
    ),
    "max_pool2d": (ops.max_pool2d, [(3, 4, 6, 6)], ""),
    "avg_pool2d": (lambda x: ops.avg_pool2d(x, 3), [(3, 4, 6, 6)], ""),
    "adaptive_avg_pool2d": (lambda x: ops.adaptive_avg_pool2d(x, 4), [(3, 4, 6, 6)], ""),
    "relu": (ops.relu, [(3, 4, 6, 6)], ""),
    "local_response_norm": (lambda x: ops.local_response_norm(x, alpha=0.1), [(3, 6, 4, 4)], ""),
    "dropout": (lambda x: ops.Dropout(0.5)(x, _like(MASK, x)), [(3, 4, 6, 6)], ""),
}


def _like(array, x):
    return array if isinstance(x.data, np.ndarray) else pretend(array)


def _plain(array):
    return (array if isinstance(array, np.ndarray) else array.get()).astype(np.float64)


@pytest.mark.parametrize("place", [lambda x: x, pretend], ids=["numpy", "pretend card"])
@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("name", CALLS)
def test_half_precision_is_float64_within_a_few_roundings(name, half, place):
    """Value and gradients of each op on operands in half precision, against the same operands in float64: within 4 roundings of the
    largest element (a product's operands are exact, its result is rounded, and so is what comes between two ops)."""
    function, shapes, wide = CALLS[name]
    rng = np.random.default_rng(1)
    arrays = [rng.standard_normal(shape) for shape in shapes]
    dtypes = [np.dtype(np.float32) if str(i) in wide else DTYPES[half] for i in range(len(arrays))]
    low = [Tensor(place(a.astype(dtype)), requires_grad=True) for a, dtype in zip(arrays, dtypes, strict=True)]
    high = [Tensor(_plain(x.data), requires_grad=True) for x in low]
    y, exact = function(*low), function(*high)
    seed = rng.standard_normal(y.shape).astype(DTYPES[half])
    assert y.dtype == DTYPES[half]
    results = [(y.data, exact.data), *zip(grad(y, low, place(seed)), grad(exact, high, seed.astype(np.float64)), strict=True)]
    for (found, expected), dtype in zip(results, [y.dtype, *dtypes], strict=True):
        assert found.dtype == dtype
        assert np.abs(_plain(found) - expected).max() <= 4 * HALVES[half] * np.abs(expected).max()


@pytest.mark.parametrize("half", HALVES)
def test_cross_entropy_of_half_logits_is_float32(half):
    """The loss is float32 and that of the same logits in float32, to the bit; the gradient is its gradient, rounded once."""
    logits = (np.random.default_rng(0).standard_normal((4, 1000)) * 3).astype(DTYPES[half])
    low, high = Tensor(logits, requires_grad=True), Tensor(logits.astype(np.float32), requires_grad=True)
    labels = np.array([1, 999, 3, 500])
    losses = [ops.cross_entropy(x, labels, label_smoothing=0.1) for x in (low, high)]
    assert losses[0].dtype == np.float32 and losses[0].item() == losses[1].item()
    (g,), (expected,) = grad(losses[0], low), grad(losses[1], high)
    np.testing.assert_array_equal(g, expected.astype(DTYPES[half]))


def test_sums_that_float16_cannot_hold():
    """100·1,024 is past float16's end at 65,504: a bias's gradient arrives whole in float32, and means and statistics come out right."""
    x = np.full((1, 2, 32, 32), 100, np.float16)
    assert ops.channel_sum(x).dtype == np.float32 and ops.channel_sum(x).tolist() == [102400, 102400]
    assert ops.avg_pool2d(x, 32).reshape(-1).tolist() == [100, 100]
    x[:, :, ::2] = 102
    y, call = ops.BatchNorm(1e-5).run(x, np.ones(2, np.float32), np.zeros(2, np.float32))
    assert call.mean.tolist() == [101, 101] and call.variance.tolist() == [1, 1]
    assert np.abs(np.abs(y.astype(np.float32)) - 1).max() < 1e-3


def test_energies_that_float16_cannot_hold():
    """The square of 1,000 is past float16's end; local response normalisation computes it in float32. By hand: 1,000 / (2 + 0.01·10⁶)^½."""
    y = ops.local_response_norm(np.full((1, 1, 1, 1), 1000, np.float16), size=1, alpha=0.01, beta=0.5)
    assert y.item() == pytest.approx(1000 / 10002**0.5, rel=2**-11)


def test_a_filter_gradient_sums_its_tiles_in_float32():
    """Four tiles of 2 MB of columns, 16 images of 32×32 each. The first sums to 16,384·⅛ = 2,048, the others to 16,384·2⁻¹⁴ = 1 each:
    2,051 in all. Rounded to float16 after each, the ones would be lost, since float16 counts by twos there."""
    x, gy = np.ones((64, 64, 32, 32), np.float16), np.full((64, 1, 32, 32), 2.0**-14, np.float16)
    gy[:16] = 0.125
    gw = ops.Conv2dWeight((1, 1), (0, 0), (1, 1), 1, (1, 64, 1, 1))(gy, x)
    assert gw.dtype == np.float16 and {*gw.reshape(-1).tolist()} == {2052.0}  # the even one of 2,050 and 2,052


def test_real_mistakes_are_still_refused():
    """A batch in half precision and parameters in float64 do not meet by accident."""
    x = np.ones((2, 3, 2, 2), np.float16)
    with pytest.raises(ShapeError, match="the batch is float16 and the parameters are float64"):
        ops.batch_norm(x, np.ones(3), np.ones(3))
    with pytest.raises(ShapeError, match="the batch is float16 and the filters are float64"):
        ops.conv2d(x, np.ones((1, 3, 1, 1)))
