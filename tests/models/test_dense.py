"""The fully convolutional VGG: the plain network's scores where both can look, a map elsewhere, and the same weights back."""

from __future__ import annotations

import numpy as np
import pytest

import minivgg as mv
from minivgg import models
from minivgg.errors import CheckpointError, ShapeError
from minivgg.models import dense, undense

BOUND = {"float64": 1e-12, "float32": 1e-5}


def built(name, size, head="paper", dtype="float64", **options):
    """A narrow network in evaluation; batch norms have statistics of their own."""
    model = models.build(name, num_classes=7, image_size=size, width=1 / 16, head=head, **options).eval().to(dtype=dtype)
    rng = np.random.default_rng(1)
    for path, buffer in model.named_buffers():
        if "running" in path:
            buffer.data[...] = rng.uniform(0.5, 1.5, buffer.shape)
    return model


def images(count, height, width, dtype="float64"):
    """Noise."""
    return np.random.default_rng(0).standard_normal((count, 3, height, width)).astype(dtype)


def run(network, x):
    """What the network says of the images."""
    with mv.no_grad():
        return network(mv.Tensor(x)).data


def close(found, expected, dtype="float64"):
    """Within the bound, relative to the largest of the expected."""
    return np.abs(found - expected).max() <= BOUND[dtype] * np.abs(expected).max()


@pytest.mark.parametrize("dtype", BOUND)
def test_an_image_of_224_pixels_gives_the_plain_logits(dtype):
    """FC6 as a 7×7 convolution: a 1×1 map, within 1e-12 of the largest logit in float64 and 1e-5 in float32."""
    model, x = built("vgg11", 224, dtype=dtype), images(2, 224, 224, dtype)
    found = run(dense(model), x)
    assert found.shape == (2, 7, 1, 1) and found.dtype == dtype
    assert close(found[..., 0, 0], run(model, x), dtype)


@pytest.mark.parametrize("name", models.MODELS)
def test_all_networks_give_their_plain_logits_and_get_their_weights_back(name):
    """Every column, with and without batch norm, at 64×64 (2×2 cells); the way back gives the same bytes, and the same logits."""
    model, x = built(name, 64), images(2, 64, 64)
    network = dense(model)
    assert close(run(network, x)[..., 0, 0], run(model, x))
    again = undense(network, built(name, 64, seed=5))
    state = again.state_dict()
    assert all(state[key].tobytes() == value.tobytes() for key, value in model.state_dict().items()) and len(state) > 16
    assert np.array_equal(run(again, x), run(model, x))


def test_each_cell_of_a_map_is_the_plain_network_on_its_own_features():
    """An image of 128×96 with a head of 2×2 cells: a 3×2 map; each entry is the classifier on its window of the feature map."""
    model, x = built("vgg11_bn", 64), images(1, 128, 96)
    found = run(dense(model), x)
    features = run(model.features, x)
    assert found.shape == (1, 7, 3, 2) and features.shape[2:] == (4, 3)
    for i in range(3):
        for j in range(2):
            window = features[:, :, i : i + 2, j : j + 2].reshape(1, -1)  # channel, row, column: Flatten's order
            assert close(found[:, :, i, j], run(model.classifier, window))


def test_the_mean_of_a_linear_heads_map_is_the_plain_logits():
    """Global pooling and one linear layer commute: at any size of image."""
    model = built("vgg11_bn", 32, "linear")
    for height, width in ((32, 32), (100, 64)):
        x = images(2, height, width)
        found = run(dense(model), x)
        assert found.shape == (2, 7, height // 32, width // 32) and close(found.mean((2, 3)), run(model, x))


def test_filters_are_the_weights_under_another_shape_and_storage():
    """(K, C·49) → (K, C, 7, 7), stored taps first; the features are the model's own, the classifier's weights are copies."""
    model = built("vgg11", 224)
    network = dense(model)
    weight = model.classifier[0].weight.data
    filters = network.classifier[0].weight.data
    assert filters.shape == (256, 32, 7, 7) and filters.transpose(2, 3, 1, 0).flags.c_contiguous
    assert filters[3, 5, 2, 6] == weight[3, 5 * 49 + 2 * 7 + 6]
    assert network.features is model.features and not np.shares_memory(filters, weight)
    assert list(network.state_dict()) == list(model.state_dict())


def test_dropout_is_the_identity_in_evaluation():
    """Twice the same scores from a model in evaluation; from one in training, others."""
    model = built("vgg11", 32)
    network, x = dense(model), images(1, 32, 32)
    assert not network.training and np.array_equal(run(network, x), run(network, x))
    network.train()
    assert not np.array_equal(run(network, x), run(network, x))


def test_images_with_too_few_cells_are_refused():
    """2×2 cells need 64×64 pixels."""
    with pytest.raises(ShapeError, match=r"2×2 cells .* at least 64×64; these are 63×200"):
        dense(built("vgg11", 64))(mv.Tensor(images(1, 63, 200)))


def test_weights_of_another_network_are_refused():
    """Seven classes do not fit eight, nor does one head the other; nothing has changed."""
    network = dense(built("vgg11", 32))
    for other in (models.vgg11(num_classes=8, image_size=32, width=1 / 16), built("vgg11", 32, "linear"), built("vgg11", 64)):
        before = {key: value.copy() for key, value in other.state_dict().items()}
        with pytest.raises(CheckpointError, match="Nothing was changed"):
            undense(network, other)
        assert all(np.array_equal(before[key], value) for key, value in other.state_dict().items())
