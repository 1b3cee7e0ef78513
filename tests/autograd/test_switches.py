"""The switches that hold for a block: no_grad, check_finite, scope; each is undone, also by an exception."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import minivgg as mv
from minivgg import nn, ops
from minivgg.autograd import mode
from minivgg.errors import NumericalError


def leaf(values=(1.0, 2.0)) -> mv.Tensor:
    """A float64 tensor that requires a gradient."""
    return mv.Tensor(np.array(values), requires_grad=True)


def test_no_grad_records_nothing():
    """Inside the block results are constants; outside recording goes on."""
    x = leaf()
    with mv.no_grad():
        assert not (x * 2.0).requires_grad
    assert (x * 2.0).requires_grad


def test_no_grad_decorates_functions():
    """@no_grad() works on a function, call after call."""
    x = leaf()

    @mv.no_grad()
    def f():
        return x * 2.0

    assert not f().requires_grad and not f().requires_grad and (x * 2.0).requires_grad


def test_switches_end_with_an_exception():
    """A block left by an exception restores what was before."""
    for block in (mv.no_grad, mv.reference, mv.frozen_state, mv.check_finite, mv.keep_statistics, mv.lock_arrays):
        before = dict(vars(mode.state)), mode.state.recording, mode.state.kernels, mode.state.frozen, mode.state.finite
        with pytest.raises(KeyError), block():
            raise KeyError
        assert (mode.state.recording, mode.state.kernels, mode.state.frozen, mode.state.finite) == before[1:]
        assert not mode.state.observers and mode.state.locked is None


def test_switches_belong_to_one_thread():
    """no_grad() in one thread does not stop another from recording."""
    x, seen = leaf(), []
    with mv.no_grad():
        worker = threading.Thread(target=lambda: seen.append((x * 2.0).requires_grad))
        worker.start()
        worker.join()
    assert seen == [True]


def test_check_finite_names_op_and_layer_of_the_first_nan():
    """The log of a negative number is blamed on Log and on the layer at work, though NaNs come out of later ops too."""
    x = leaf([-1.0, 2.0])
    with mv.check_finite(), np.errstate(invalid="ignore"), mode.scope("features"), mode.scope("3"), pytest.raises(NumericalError) as caught:
        ops.exp(ops.log(x * 1.0) + 1.0)
    assert "1 NaN and 0 Inf among 2 values" in str(caught.value)
    assert caught.value.__notes__ == ["in Log() of layer features.3"]


def test_check_finite_finds_what_a_rule_makes():
    """√x has the derivative ∞ at 0: the forward pass is finite, and the sweep names Sqrt and the layer."""
    x = leaf([0.0, 1.0])
    with mode.scope("root"):
        y = ops.sqrt(x)
    with mv.check_finite(), np.errstate(divide="ignore"), pytest.raises(NumericalError, match="its rule made 0 NaN and 1 Inf") as caught:
        y.sum().backward()
    assert any("while differentiating Sqrt() of layer root" in note for note in caught.value.__notes__)


def test_check_finite_names_the_layer_of_a_model():
    """A NaN weight in the second convolution is found there, not at the loss."""
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Conv2d(2, 2, 1))
    model[2].weight[0, 0, 0, 0] = np.nan
    with mv.check_finite(), pytest.raises(NumericalError) as caught:
        model(np.ones((1, 1, 2, 2), "float32"))
    assert "of layer 2" in caught.value.__notes__[0] and "Conv2d" in caught.value.__notes__[0]


def test_scopes_make_a_path():
    """Nested scopes are joined by dots and end with their blocks; an empty name adds nothing."""
    with mode.scope("features"):
        with mode.scope(""), mode.scope("0"):
            assert mode.where() == "features.0"
        assert mode.where("default") == "features"
    assert mode.where("default") == "default"


def test_check_finite_lets_whole_numbers_pass():
    """Integers and booleans have no NaN: indexing labels inside the block is no error, and neither is counting them."""
    labels = mv.Tensor(np.array([3, 1, 2]))
    with mv.check_finite():
        assert labels[1:].data.tolist() == [1, 2] and (labels + 1).data.tolist() == [4, 2, 3] and labels.sum().item() == 6


def test_a_step_holds_for_its_block_and_names_the_micro_batch():
    """Nested steps are restored, also after an exception; outside there is none, so layers count their own calls."""
    assert mode.state.step is None
    with mode.step(7, 2):
        with pytest.raises(KeyError), mode.step(8):
            assert mode.state.step == (8, 0)
            raise KeyError
        assert mode.state.step == (7, 2)
    assert mode.state.step is None


def test_dropout_draws_by_step_and_micro_batch():
    """The same step and micro-batch give the same mask whenever they run; another step, or micro-batch, another mask."""
    layer, x, masks = nn.Dropout(0.5), np.ones((4, 64), "float32"), {}
    for key in [(0, 0), (1, 0), (0, 1), (0, 0)]:
        with mode.step(*key):
            mask = layer(x) > 0
        np.testing.assert_array_equal(mask, masks.setdefault(key, mask))
    assert len({mask.tobytes() for mask in masks.values()}) == 3


def test_observers_see_every_recorded_op_and_each_other():
    """Nested watches are both called, outer first, with node, operands and result; unrecorded ops are not seen."""
    x, seen = leaf(), []
    with mode.observe(lambda node, inputs, y: seen.append(("outer", type(node.op).__name__, y.data.tolist()))):
        x * 2.0
        with mode.observe(lambda node, inputs, y: seen.append(("inner", inputs[0] is x, y.node is node))):
            ops.relu(x)
        with mv.no_grad():
            x * 3.0
        mv.Tensor(np.ones(2)) * 4.0
    x * 5.0
    assert seen == [("outer", "Multiply", [2.0, 4.0]), ("outer", "Relu", [1.0, 2.0]), ("inner", True, True)]
