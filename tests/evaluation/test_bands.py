"""A large image in bands has the scores of the whole; what cannot be is refused."""

from __future__ import annotations

import numpy as np
import pytest

import minivgg as mv
from minivgg import models
from minivgg.errors import OutOfMemoryError
from minivgg.evaluation.bands import bytes_per_pixel, halo, scores
from minivgg.models import dense

HALOS = {"vgg11": 59, "vgg11_lrn": 59, "vgg13": 62, "vgg16_1x1": 62, "vgg16": 90, "vgg19": 118}


def network(name="vgg16", head="paper", size=32):
    """A narrow network in evaluation, float64."""
    return dense(models.build(name, num_classes=3, image_size=size, width=1 / 64, head=head).eval().to(dtype="float64"))


@pytest.mark.parametrize("name", HALOS)
def test_the_halo_is_what_really_reaches_a_cell(name):
    """A change of the pixel `halo` above a cell's own 32 rows is seen there; one a pixel further up is not."""
    model = network(name)
    for parameter in model.parameters():
        parameter.data[...] = np.abs(parameter.data) + 0.1  # so that nothing is lost in a ReLU or a pooling
    reach = halo(model)
    assert reach == HALOS[name]
    x = np.full((3, 3, 160, 32), 0.01)
    cell = 4  # its rows begin at 128
    x[1, :, 128 - reach] = 100
    x[2, :, 128 - reach - 1] = 100
    with mv.no_grad():
        y = model.features(mv.Tensor(x)).data[:, :, cell]
    assert not np.array_equal(y[1], y[0]) and np.array_equal(y[2], y[0])


@pytest.mark.parametrize("name, head, size", [("vgg16", "paper", 64), ("vgg11_bn", "linear", 32), ("vgg11_lrn", "paper", 32)])
@pytest.mark.parametrize("height, width", [(430, 70), (64, 448)])
def test_bands_give_the_whole_images_scores(name, head, size, height, width):
    """Along the longer side, for sides that are multiples of 32 and others, in bands of one cell and of several."""
    model = network(name, head, size)
    x = mv.Tensor(np.random.default_rng(0).standard_normal((1, 3, height, width)))
    with mv.no_grad():
        whole = model(x).data
        for pixels in (1, 300 * min(height, width)):
            found = scores(model, x, pixels).data
            assert found.shape == whole.shape and np.abs(found - whole).max() <= 1e-12 * np.abs(whole).max()


def test_bands_are_smaller_than_the_image():
    """With room for 300 of 900 rows no piece that reaches the features is longer."""
    model, seen = network(), []
    model.features[0].register_forward_hook(lambda layer, inputs, y: seen.append(inputs[0].shape[2]))
    with mv.no_grad():
        scores(model, mv.Tensor(np.zeros((1, 3, 900, 32))), 300 * 32)
    assert len(seen) > 3 and max(seen) <= 300


def test_too_little_memory_is_refused_with_the_numbers():
    """Bands of 7 cells, 224 pixels, are the least for VGG-16."""
    model = network()
    each = bytes_per_pixel(model)
    assert each == 4 * 2 * (3 + 1)  # a 64th of 64 filters
    with pytest.raises(OutOfMemoryError, match=r"900×40 needs about 292 kB .* bands of 228 pixels, but only 256 kB .* --scales"):
        scores(model, mv.Tensor(np.zeros((1, 3, 900, 40))), 8000, most=8000)
