"""nn.Dropout's masks: which key decides them, and which events repeat them."""

from __future__ import annotations

import numpy as np
import pytest

import minivgg as mv
from minivgg import nn
from minivgg.autograd import mode

X = np.ones((4, 100), "float32")


def at(step, layer, micro_batch=0, x=X):
    """The mask in a training step."""
    with mode.step(step, micro_batch):
        return (layer(x) > 0).tobytes()


def model(seed=0):
    """Two dropout layers under different names."""
    return nn.Sequential(nn.Dropout(0.5, seed), nn.Dropout(0.5, seed))


def test_the_step_decides_the_mask():
    """The same step repeats it, in any order of calls; another step or micro-batch has another."""
    layer = nn.Dropout(0.5)
    first = at(7, layer)
    assert at(8, layer) != first and at(7, layer, 1) != first and at(7, layer) == first == at(7, nn.Dropout(0.5))


def test_the_layers_name_and_the_seed_decide_the_mask():
    """Two layers of one model differ, two models of one seed agree, another seed differs."""

    def masks(net):
        seen = []
        for layer in net:
            layer.register_forward_hook(lambda module, inputs, y: seen.append((y > 0).tobytes()) or X)
        with mode.step(3):
            net(X)
        return seen

    first, second = masks(model())
    assert first != second and masks(model()) == [first, second]
    assert not {first, second} & set(masks(model(seed=1)))


def test_outside_a_loop_every_call_has_its_own_mask():
    """The layer counts its calls; a fresh layer begins again."""
    layer, other = nn.Dropout(0.5), nn.Dropout(0.5)
    masks = [(layer(X) > 0).tobytes() for _ in range(3)]
    assert len(set(masks)) == 3 and [(other(X) > 0).tobytes() for _ in range(3)] == masks


def test_frozen_state_repeats_the_mask():
    """Inside frozen_state() calls are not counted: gradient checks see one function."""
    layer = nn.Dropout(0.5)
    with mv.frozen_state():
        masks = {(layer(X) > 0).tobytes() for _ in range(3)}
    assert len(masks) == 1 and layer.calls == 0 and (layer(X) > 0).tobytes() in masks


def test_steps_do_not_count_as_calls():
    """A training loop gives the step; the layer's own counter stays."""
    layer = nn.Dropout(0.5)
    at(0, layer)
    assert layer.calls == 0


def test_evaluation_passes_through():
    """In eval mode the input itself comes out, and no call is counted."""
    layer = nn.Dropout(0.5).eval()
    assert layer(X) is X and layer.calls == 0


def test_the_mask_does_not_depend_on_storage():
    """Channels-last and C-ordered images see the same mask in the same step."""
    x, masks = np.ones((2, 3, 4, 5), "float32"), []
    for stored in (x, np.asfortranarray(x), np.moveaxis(np.ones((2, 4, 5, 3), "float32"), -1, 1)):
        with mode.step(0):
            masks.append(nn.Dropout(0.5)(stored) > 0)
    np.testing.assert_array_equal(masks[0], masks[1])
    np.testing.assert_array_equal(masks[0], masks[2])


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 0.9])
def test_the_expectation_is_kept(p):
    """About 1 − p is kept and enlarged by 1/(1 − p), so that the mean stays 1 within 5 deviations."""
    y = nn.Dropout(p)(np.ones((100, 1000), "float32"))
    assert abs((y > 0).mean() - (1 - p)) < 5 * (0.25 / 1e5) ** 0.5
    assert abs(y.mean() - 1) < 5 * (p / (1 - p) / 1e5) ** 0.5 + 1e-6


def test_the_counter_is_not_part_of_the_state():
    """Dropout adds no names to the state dict."""
    assert nn.Dropout(0.5).state_dict() == {}
