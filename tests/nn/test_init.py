"""Initial weights: their spread, their streams, their storage."""

from __future__ import annotations

import numpy as np
import pytest

from minivgg import models, nn
from minivgg.backend.random import stream
from minivgg.errors import ConfigError

CONV, LINEAR = (96, 64, 3, 3), (300, 200)  # fan-in 576 and 200, fan-out 864 and 300


@pytest.mark.parametrize(("shape", "fan_in"), [(CONV, 576), (LINEAR, 200)])
def test_he_has_the_deviation_of_its_fan_in(shape, fan_in):
    """N(0, 2/fan_in): n numbers give their deviation within 5/√(2n), their mean within 5·std/√n, and are normal."""
    w = nn.init.he(stream(0, "he"), shape)
    std = (2 / fan_in) ** 0.5
    assert w.shape == shape and w.dtype == np.float32
    assert abs(w.std() / std - 1) < 5 / (2 * w.size) ** 0.5 and abs(w.mean()) < 5 * std / w.size**0.5
    assert abs((np.abs(w) < std).mean() - 0.6827) < 0.01  # a normal distribution's share within one deviation


@pytest.mark.parametrize(("shape", "fans"), [(CONV, 576 + 864), (LINEAR, 200 + 300)])
def test_glorot_is_uniform_within_its_bound(shape, fans):
    """U(−a, a) with a = √(6/(fan_in + fan_out)): all inside, nearly reaching it, with deviation a/√3."""
    w = nn.init.glorot(stream(0, "glorot"), shape)
    a = (6 / fans) ** 0.5
    assert np.abs(w).max() <= a and np.abs(w).max() > 0.999 * a
    assert abs(w.std() / (a / 3**0.5) - 1) < 0.01 and abs(w.mean()) < 5 * a / w.size**0.5 and w.dtype == np.float32


def test_the_papers_deviation_is_a_hundredth():
    """ "paper" is N(0, 0.01²) whatever the fan-in."""
    for shape in (CONV, LINEAR):
        w = nn.init.initialiser("paper")(stream(0, "paper"), shape)
        assert abs(w.std() / 0.01 - 1) < 0.02


def test_fans():
    """(K, C, R, S): C·R·S summands of an output; K·R·S of a gradient."""
    assert nn.init.fans((96, 64, 3, 5)) == (960, 1440) and nn.init.fans((300, 200)) == (200, 300)


def test_filters_are_stored_tap_by_tap():
    """As convolutions read them: all taps together are one matrix (R·S·C, K)."""
    w = nn.init.he(stream(0), CONV)
    assert w.strides[0] == w.itemsize and w.transpose(2, 3, 1, 0).flags.c_contiguous


def test_a_function_can_be_the_initialiser():
    """Any (rng, shape) → array; an unknown name is refused with the nearest."""
    layer = nn.Linear(3, 2, init=lambda rng, shape: np.full(shape, 0.5, "float32"))
    assert (layer.weight.data == 0.5).all()
    with pytest.raises(ConfigError, match="did you mean glorot"):
        nn.init.initialiser("glorott")


def small(**options):
    """A VGG-11 of a thirty-second of the width."""
    return models.vgg11_bn(num_classes=5, image_size=32, width=1 / 32, **options)


def test_equal_seeds_give_equal_weights_and_others_do_not():
    """The seed decides every weight; biases are 0, batch norm begins with 1 and 0."""
    a, b, c = small(seed=3).state_dict(), small(seed=3).state_dict(), small(seed=4).state_dict()
    for name, array in a.items():
        np.testing.assert_array_equal(array, b[name])
        drawn = array.ndim > 1
        assert np.array_equal(array, c[name]) != drawn, name
        assert drawn or set(np.unique(array)) <= {0.0, 1.0}, name


def test_a_layers_weights_depend_on_its_name_not_on_its_neighbours():
    """Another head or another number of classes leaves the convolutions' weights as they are."""
    a, b = small().state_dict(), small(head="linear").state_dict()
    for name in (n for n in a if n.startswith("features")):
        np.testing.assert_array_equal(a[name], b[name])


def test_layers_of_one_shape_do_not_share_weights():
    """Two 512→512 convolutions differ."""
    model = models.vgg16(num_classes=2, image_size=32, width=1 / 64, head="linear")
    first, second = model.features[26].weight.data, model.features[28].weight.data
    assert first.shape == second.shape and not np.array_equal(first, second)


def test_the_paper_in_miniature_keeps_its_gain():
    """std = 0.01·√(full fan-in / fan-in): narrow by 8, inner layers have √8 times the deviation, the first (3 channels) none."""
    model = models.vgg11(num_classes=1000, image_size=32, width=1 / 8, init="paper")
    full = {
        "features.0": 27,
        "features.3": 64 * 9,
        "features.18": 512 * 9,
        "classifier.0": 512 * 49,
        "classifier.3": 4096,
        "classifier.6": 4096,
    }
    state = model.state_dict()
    for name, fan_in in full.items():
        w = state[f"{name}.weight"]
        expected = 0.01 * (fan_in / (w.size / len(w))) ** 0.5
        assert abs(w.std() / expected - 1) < 5 / (2 * w.size) ** 0.5, name
