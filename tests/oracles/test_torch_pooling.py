"""Max, average and adaptive average pooling against PyTorch: strides, padding, ceil mode, ties."""

from __future__ import annotations

import pytest

from minivgg import ops

torch = pytest.importorskip("torch", reason="PyTorch is not installed: run scripts/oracles")
F = pytest.importorskip("torch.nn.functional")

WINDOWS = [
    ((2, 3, 8, 8), 2, {}),
    ((2, 3, 7, 5), 2, {}),
    ((2, 3, 7, 5), 2, {"ceil_mode": True}),
    ((1, 2, 8, 9), 3, {"stride": 2}),
    ((1, 2, 8, 9), 3, {"stride": 2, "ceil_mode": True}),
    ((2, 2, 6, 7), 3, {"stride": 1, "padding": 1}),
    ((2, 2, 6, 7), 3, {"stride": 2, "padding": 1, "ceil_mode": True}),
    ((2, 2, 9, 8), (2, 3), {"stride": (3, 2), "padding": (1, 0)}),
    ((2, 2, 9, 8), (2, 3), {"stride": (3, 2), "padding": (1, 1), "ceil_mode": True}),
    ((1, 3, 7, 7), 2, {"stride": 4}),
    ((1, 3, 7, 6), 2, {"stride": 4, "ceil_mode": True}),
    ((2, 2, 5, 5), (1, 4), {"padding": (0, 2)}),
    ((2, 2, 4, 6), (4, 6), {}),
    ((3, 2, 3, 3), 1, {}),
    ((0, 2, 4, 4), 2, {}),
]
every_window = pytest.mark.parametrize(("shape", "size", "options"), WINDOWS, ids=str)


@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
@every_window
def test_max_pool2d(agree, rng, shape, size, options, ties):
    """The gradient goes to the winner, at a tie to the first in row-major order; padding never wins."""
    x = rng.integers(-3, 0, shape).astype(float) if ties else rng.standard_normal(shape) - 2.0
    agree(lambda x: ops.max_pool2d(x, size, **options), lambda x: F.max_pool2d(x, size, **options), x)


def test_max_pool2d_of_a_relu(agree, rng):
    """Whole windows of zeros are the ties of a real network: one tap gets the gradient, and ReLU's slope there is zero."""
    agree(lambda x: ops.max_pool2d(ops.relu(x)), lambda x: F.max_pool2d(torch.relu(x), 2), rng.integers(-3, 2, (2, 3, 8, 8)).astype(float))


@every_window
def test_avg_pool2d(agree, rng, shape, size, options):
    """Padding counts, what hangs over it in ceil mode does not."""
    agree(lambda x: ops.avg_pool2d(x, size, **options), lambda x: F.avg_pool2d(x, size, **options), rng.standard_normal(shape))


@pytest.mark.parametrize("size", [1, 2, 3, (2, 5), 7, (9, 8)], ids=str)
@pytest.mark.parametrize("shape", [(2, 3, 6, 6), (1, 2, 7, 5), (2, 1, 4, 9), (1, 2, 1, 1)], ids=str)
def test_adaptive_avg_pool2d(agree, rng, shape, size):
    """Cells of equal and of unequal size, overlapping ones, and more cells than pixels."""
    agree(lambda x: ops.adaptive_avg_pool2d(x, size), lambda x: F.adaptive_avg_pool2d(x, size), rng.standard_normal(shape))


def test_pooling_channels_last(agree, rng):
    """The same from images whose channels are stored last, as a convolution leaves them."""
    x = rng.standard_normal((2, 6, 8, 3)).transpose(0, 3, 1, 2)
    agree(lambda x: ops.max_pool2d(x) + ops.avg_pool2d(x), lambda x: F.max_pool2d(x, 2) + F.avg_pool2d(x, 2), x)
