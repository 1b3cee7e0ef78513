"""Layers in a row: which neighbours run as one op, and that nobody sees the difference."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import minivgg as mv
from minivgg import nn, ops
from minivgg.autograd import mode
from minivgg.errors import NumericalError

IMAGES = np.random.default_rng(0).standard_normal((4, 3, 6, 6)).astype(np.float32)


def network():
    """Both pairs of the table, each of them twice, between layers that stay alone."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 2, 1, bias=False), nn.ReLU(), nn.ReLU(), nn.BatchNorm2d(2), nn.ReLU(),
    )  # fmt: skip


def one_by_one(model, x):
    """The layers called one after the other: nothing is fused."""
    for layer in model:
        x = layer(x)
    return x


def recorded(model, x=IMAGES):
    """[(op, layer), …] of the graph of model(x)."""
    seen = []
    with mode.observe(lambda node, inputs, y: seen.append((type(node.op).__name__, node.layer))):
        model(mv.Tensor(x))
    return seen


def kinds(model):
    """The names of the ops that model(IMAGES) records."""
    return [name for name, _ in recorded(model)]


def derivatives(run, model, order):
    """[output, gradients of the images and the parameters by a fixed cotangent, of order 2 the gradients of their sum of squares]."""
    x = mv.Tensor(IMAGES, requires_grad=True)
    y, xs = run(model, x), [x, *model.parameters()]
    gy = np.random.default_rng(1).standard_normal(y.shape).astype(np.float32)
    if order == 1:
        return [y.data, *mv.grad(y, xs, gy)]
    return mv.grad(sum((g * g).sum() for g in mv.grad(y, xs, gy, create_graph=True)), xs)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_fused_neighbours_give_the_bits_of_the_layers_one_by_one(training, order):
    """Outputs, first and second derivatives, running statistics: in the reference not one bit differs."""
    model, other = (m.train(training) for m in (network(), network()))
    with mv.reference():
        ours, theirs = derivatives(nn.Sequential.__call__, model, order), derivatives(one_by_one, other, order)
    for a, b in zip([*ours, *model.state_dict().values()], [*theirs, *other.state_dict().values()], strict=True):
        np.testing.assert_array_equal(a, b)
    assert int(model[3].num_batches_tracked.data) == training


def test_the_table_decides_what_is_fused():
    """Convolution and ReLU always, batch norm and ReLU in training; the op stands under the first one's name."""
    model = network()
    convolutions = [("Conv2dRelu", "0"), ("Conv2d", "2")]
    rest = [("MaxPool2d", "5"), ("Conv2dRelu", "6"), ("Relu", "8")]
    assert recorded(model) == [*convolutions, ("BatchNormRelu", "3"), *rest, ("BatchNormRelu", "9")]
    assert [pair for pair in recorded(model.eval()) if pair[0] in ("ChannelAffine", "Relu")] == [
        ("ChannelAffine", "3"), ("Relu", "4"), ("Relu", "8"), ("ChannelAffine", "9"), ("Relu", "10"),
    ]  # fmt: skip


@pytest.mark.parametrize("index", [0, 1])
def test_a_hooked_layer_is_called_by_itself(index):
    """A forward hook on either layer sees that layer's input and output; when it is gone the two are fused again."""
    model, seen = network(), []
    remove = model[index].register_forward_hook(lambda module, inputs, y: seen.append((inputs[0], y)))
    assert kinds(model)[:2] == ["Conv2d", "Relu"]
    (x, y) = seen[0]
    np.testing.assert_array_equal(y.data, (ops.conv2d(x, model[0].weight, padding=1) if index == 0 else ops.relu(x)).data)
    remove()
    assert kinds(model)[0] == "Conv2dRelu" and len(seen) == 1


def test_layers_that_compute_something_else_are_left_alone(monkeypatch):
    """A subclass with a forward or __call__ of its own, a replaced forward of one layer or of the class; a subclass that
    computes the same is fused."""

    class Leaky(nn.ReLU):
        def forward(self, x):
            return ops.where(x.data > 0, x, 0.1 * x)

    class Counting(nn.ReLU):
        def __call__(self, *inputs):
            return super().__call__(*inputs) * 2.0

    class Named(nn.ReLU):
        """The same under another name."""

    conv = nn.Conv2d(3, 2, 1)
    replaced = nn.ReLU()
    replaced.forward = ops.tanh
    assert kinds(nn.Sequential(conv, Leaky())) == ["Conv2d", "Multiply", "Where"]
    assert kinds(nn.Sequential(conv, Counting())) == ["Conv2d", "Relu", "Multiply"]
    assert kinds(nn.Sequential(conv, replaced)) == ["Conv2d", "Tanh"]
    assert kinds(nn.Sequential(conv, Named())) == ["Conv2dRelu"]
    monkeypatch.setattr(nn.ReLU, "forward", lambda self, x: ops.exp(x))
    assert kinds(nn.Sequential(conv, nn.ReLU())) == ["Conv2d", "Exp"]


def test_one_rectifier_in_two_places():
    """The same instance behind two layers is fused with both."""
    relu = nn.ReLU()
    assert kinds(nn.Sequential(nn.Conv2d(3, 2, 1), relu, nn.Conv2d(2, 2, 1), relu)) == ["Conv2dRelu", "Conv2dRelu"]


def test_a_cut_between_two_layers_separates_them():
    """model[:4] ends with batch norm, model[4:] begins with its ReLU; together they give what the whole gives."""
    model = network()
    with mode.frozen_state():
        first = model[:4](IMAGES)
        assert first.data.min() < 0
        np.testing.assert_allclose(model[4:](first).data, model(IMAGES).data, rtol=1e-5, atol=1e-6)


def test_batch_norm_and_its_rectifier_keep_their_input_only():
    """Before pooling no activation is kept but the batch norm's input: its own result and the ReLU's are dropped."""
    model = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2))
    x = mv.Tensor(IMAGES, requires_grad=True)
    statistics, winners = 2 * 3 * 4, 4 * 3 * 3 * 3
    with mv.reference():
        y = model(x)
        assert mv.kept_bytes(y) == statistics + winners
        assert mv.kept_bytes(one_by_one(model, x)) == statistics + winners + IMAGES.nbytes
    assert mv.kept_bytes(y, leaves=True) - mv.kept_bytes(y) == IMAGES.nbytes + 2 * 3 * 4  # γ and β


def test_frozen_statistics_stay():
    """Inside frozen_state() a fused batch norm does not touch its running statistics; outside it moves them as alone."""
    model, alone = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()), nn.BatchNorm2d(3)
    before = copy.deepcopy(model.state_dict())
    with mode.frozen_state():
        model(mv.Tensor(IMAGES))
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    with mv.reference():
        model(mv.Tensor(IMAGES))
        alone(mv.Tensor(IMAGES))
    for a, b in zip(model.state_dict().values(), alone.state_dict().values(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_tensors_in_the_place_of_parameters_are_used():
    """functional_call reaches the parameters of a fused layer, and gradients flow to what was passed."""
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU())
    doubled = mv.Tensor(2.0 * model[0].weight.data, requires_grad=True)
    y = nn.functional_call(model, {"0.weight": doubled}, IMAGES)
    np.testing.assert_allclose(y.data, 2.0 * model(IMAGES).data, rtol=1e-6)
    assert np.abs(mv.grad(y.sum(), doubled)[0]).sum() > 0


def test_errors_name_the_layer_that_made_them():
    """A batch that does not fit, and a NaN, are reported at the first of the two layers."""
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2), nn.ReLU())
    model[1].weight.data[...] = np.nan
    with pytest.raises(NumericalError) as caught, mode.check_finite():
        model(mv.Tensor(IMAGES))
    assert "layer 1" in caught.value.__notes__[0]
    with pytest.raises(mv.errors.ShapeError, match=r"^1 has 5 channels"):
        nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(5), nn.ReLU())(IMAGES)
    with pytest.raises(mv.errors.ShapeError, match=r"^0 expects 4 input channels"):
        nn.Sequential(nn.Conv2d(4, 2, 1), nn.ReLU())(IMAGES)


def test_a_summary_has_a_row_for_each_layer():
    """The table of a fused network still shows its ReLUs, with their shapes."""
    rows = network().summary((1, 3, 6, 6)).rows
    assert [row.path for row in rows] == [str(i) for i in range(11)]
    assert rows[1].layer == "ReLU()" and rows[1].shape == (1, 4, 6, 6)
