"""Layers: their arguments, running statistics, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

import minivgg as mv
from minivgg import nn, ops
from minivgg.errors import ConfigError, ShapeError

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 4, 5, 6)).astype("float32")


def test_layers_are_their_ops():
    """Each layer's output is the function of the same name with the layer's arguments."""
    conv = nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2)
    assert conv.weight.shape == (6, 2, 3, 2) and conv.bias.shape == (6,) and not conv.bias.data.any()
    expected = ops.conv2d(X, conv.weight.data, conv.bias.data, stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2)
    np.testing.assert_array_equal(conv(X).data, expected)
    lrn = {"size": 3, "alpha": 0.5, "beta": 0.5, "k": 1.0}
    pairs = [
        (nn.MaxPool2d(3, 2, 1, ceil_mode=True), ops.max_pool2d(X, 3, stride=2, padding=1, ceil_mode=True)),
        (nn.MaxPool2d(), ops.max_pool2d(X)),
        (nn.AdaptiveAvgPool2d((2, 3)), ops.adaptive_avg_pool2d(X, (2, 3))),
        (nn.LocalResponseNorm(), ops.local_response_norm(X)),
        (nn.LocalResponseNorm(3, 0.5, 0.5, 1.0, alpha_over_n=True), ops.local_response_norm(X, **lrn, alpha_over_n=True)),
        (nn.ReLU(), np.maximum(X, 0)),
        (nn.Flatten(), X.reshape(3, -1)),
    ]  # fmt: skip
    for layer, y in pairs:
        np.testing.assert_array_equal(layer(X), y, err_msg=repr(layer))


def test_layers_without_bias_have_none():
    """bias=False leaves the name out of the state."""
    assert list(nn.Conv2d(3, 4, 1, bias=False).state_dict()) == list(nn.Linear(3, 4, bias=False).state_dict()) == ["weight"]


def test_running_statistics_follow_torchs_rule():
    """Two batches with momentum 0.1, by hand.

    Batch 1, 3: mean 2, unbiased variance ((1−2)² + (3−2)²)/1 = 2.    Running mean 0.9·0 + 0.1·2 = 0.2, variance 0.9·1 + 0.1·2 = 1.1.
    Batch 5, 9: mean 7, unbiased variance (4 + 4)/1 = 8.              Running mean 0.9·0.2 + 0.7 = 0.88, variance 0.99 + 0.8 = 1.79.
    """
    bn = nn.BatchNorm2d(1)
    for batch, mean, variance in [((1.0, 3.0), 0.2, 1.1), ((5.0, 9.0), 0.88, 1.79)]:
        y = bn(np.array(batch, "float32").reshape(2, 1, 1, 1))
        np.testing.assert_allclose(y.data.ravel(), [-1, 1], atol=1e-5)  # by the batch's own statistics
        np.testing.assert_allclose([bn.running_mean.data[0], bn.running_var.data[0]], [mean, variance], rtol=1e-6)
    assert bn.num_batches_tracked.data == 2
    y = bn.eval()(np.array([0.88, 2.88], "float32").reshape(2, 1, 1, 1))
    np.testing.assert_allclose(y.data.ravel(), [0, 2 / 1.79**0.5], rtol=1e-4, atol=1e-6)
    assert bn.num_batches_tracked.data == 2


def test_running_statistics_equal_a_loop_over_channels():
    """For images: mean and unbiased variance over N, H and W of each channel, with another momentum."""
    bn = nn.BatchNorm2d(4, momentum=0.3)
    bn(X)
    for c in range(4):
        values = [float(v) for v in X[:, c].ravel()]
        mean = sum(values) / len(values)
        variance = sum((v - mean) ** 2 for v in values) / (len(values) - 1)
        np.testing.assert_allclose(bn.running_mean.data[c], 0.3 * mean, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(bn.running_var.data[c], 0.7 + 0.3 * variance, rtol=1e-5)


def test_frozen_state_leaves_running_statistics_alone():
    """Inside frozen_state() the batch's statistics are used, and no buffer moves."""
    bn = nn.BatchNorm2d(4)
    with mv.frozen_state():
        frozen = bn(X).data
    assert not bn.running_mean.data.any() and bn.num_batches_tracked.data == 0
    np.testing.assert_array_equal(bn(X).data, frozen)


def test_running_statistics_keep_their_dtype():
    """A float64 batch in a float32 layer is refused, or leaves the buffers float32: the state's dtypes do not drift."""
    bn = nn.BatchNorm2d(4)
    try:
        bn(X.astype("float64"))
    except ShapeError as error:
        assert "float64" in str(error) and "float32" in str(error)
    assert bn.running_mean.dtype == bn.running_var.dtype == np.float32


def test_a_failed_batch_leaves_running_statistics_alone():
    """One value per channel is refused before anything moves."""
    bn = nn.BatchNorm2d(4)
    with pytest.raises(ShapeError, match="1 value per channel"):
        bn(np.ones((1, 4, 1, 1), "float32"))
    assert bn.num_batches_tracked.data == 0 and not bn.running_mean.data.any()
    assert bn.eval()(np.ones((1, 4, 1, 1), "float32")).shape == (1, 4, 1, 1)


def test_batch_norm_errors_name_the_layer():
    """Through a model the message begins with the path."""
    model = nn.Sequential(nn.Conv2d(4, 2, 1), nn.BatchNorm2d(3))
    with pytest.raises(ShapeError, match=r"^1 has 3 channels.*\(3, 2, 5, 6\)"):
        model(X)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Conv2d(0, 3, 3), "in_channels must be a whole number ≥ 1, but is 0"),
        (lambda: nn.Conv2d(3, 2.5, 3), r"out_channels.*2\.5"),
        (lambda: nn.Conv2d(3, 3, 0), "kernel_size"),
        (lambda: nn.Conv2d(4, 6, 3, groups=4), "groups=4 must divide in_channels=4 and out_channels=6"),
        (lambda: nn.Conv2d(3, 3, 3, init="hee"), 'unknown initialiser "hee": did you mean he'),
        (lambda: nn.Linear(3, -1), "out_features.*-1"),
        (lambda: nn.BatchNorm2d(3, eps=0.0), r"eps > 0 and momentum in \[0, 1\].*0\.0 and 0\.1"),
        (lambda: nn.BatchNorm2d(3, momentum=1.5), r"1\.5"),
        (lambda: nn.BatchNorm2d(0), "channels must be a whole number"),
        (lambda: nn.Dropout(1.5), r"probability in \[0, 1\], but is 1\.5"),
        (lambda: nn.AdaptiveAvgPool2d(0), "output_size must be"),
    ],
)
def test_impossible_layers_are_refused_when_they_are_made(make, message):
    """The message names the argument and its value."""
    with pytest.raises(ConfigError, match=message):
        make()


def test_sizes_may_be_numpy_integers():
    """num_classes is often labels.max() + 1, a NumPy integer; it counts as a whole number."""
    classes = np.array([0, 3, 2]).max() + 1
    assert nn.Linear(np.int64(3), classes).weight.shape == (4, 3)
    assert mv.models.vgg11(num_classes=classes, image_size=32, width=1 / 64, head="linear").num_classes == 4
