"""SGD against hand-worked numbers and a naive loop over Python floats, in both forms, with and without Nesterov."""

from __future__ import annotations

import numpy as np
import pytest

from minivgg.autograd.core import Tensor
from minivgg.errors import CheckpointError, ConfigError
from minivgg.optim import SGD, without_decay


def weight(*values, dtype="float64"):
    """A trainable tensor."""
    return Tensor(np.array(values, dtype), requires_grad=True)


def naive(form, nesterov, rates, gradients, w, momentum, decay):
    """One weight, one step after the other, straight from the two papers."""
    v = 0.0
    for rate, g in zip(rates, gradients, strict=True):
        g += decay * w
        if form == "torch":
            v = momentum * v + g
            w -= rate * (g + momentum * v) if nesterov else rate * v
        else:
            v = momentum * v - rate * g
            w += momentum * v - rate * g if nesterov else v
    return w


@pytest.mark.parametrize(("form", "expected"), [("paper", -2.955), ("torch", -1.597)])
def test_forms_differ_after_a_drop_of_the_rate(form, expected):
    """A constant gradient of 1, 5 steps at .1 and 5 at .01: the numbers of the paper's page, by hand."""
    w = weight(0.0)
    sgd = SGD([("w", w)], lr=0.1, weight_decay=0, form=form)
    for step in range(10):
        sgd.lr = 0.1 if step < 5 else 0.01
        w.grad = np.ones(1)
        sgd.step()
    assert w.data[0] == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize("form", ["torch", "paper"])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.05])
def test_agrees_with_a_loop_over_python_floats(form, nesterov, decay):
    """Random gradients and rates, 12 steps: the same weights as the recurrence written out for one number."""
    rng = np.random.default_rng(1)
    rates, gradients, start = rng.uniform(0.01, 0.3, 12), rng.standard_normal((12, 3)), rng.standard_normal(3)
    w = weight(*start)
    sgd = SGD([("w", w)], lr=1.0, momentum=0.8, weight_decay=decay, nesterov=nesterov, form=form)
    for rate, g in zip(rates, gradients, strict=True):
        sgd.lr, w.grad = float(rate), g.copy()
        sgd.step()
        assert np.array_equal(w.grad, g)
    expected = [naive(form, nesterov, rates, gradients[:, i], start[i], 0.8, decay) for i in range(3)]
    np.testing.assert_allclose(w.data, expected, rtol=1e-13)


def test_two_steps_by_hand():
    """w=1, g=2 then 1, lr .5, momentum .5, decay 0: v=2, w=0; v=2, w=−1. Nesterov: w=1−.5·3=−.5; then −.5−.5·2=−1.5."""
    for nesterov, expected in [(False, [0.0, -1.0]), (True, [-0.5, -1.5])]:
        w = weight(1.0)
        sgd = SGD([("w", w)], lr=0.5, momentum=0.5, weight_decay=0, nesterov=nesterov)
        for g, value in zip([2.0, 1.0], expected, strict=True):
            w.grad = np.array([g])
            sgd.step()
            assert w.data[0] == value


def test_updates_in_place_and_counts_as_a_write():
    """The array stays the same object and float32, even if the rate is a NumPy float64, and the version goes up."""
    w = weight(1.0, 2.0, dtype="float32")
    array, version = w.data, w.version[0]
    w.grad = np.ones(2, "float32")
    sgd = SGD([("w", w)], lr=np.float64(0.1), momentum=0.9)
    sgd.step()
    assert w.data is array and w.dtype == np.float32 and w.version[0] > version
    assert sgd.state_dict()["momentum.w"].dtype == np.float32


def test_parameters_without_gradient_are_skipped():
    """grad None: neither the weight nor its momentum moves, and no decay is applied."""
    a, b = weight(1.0), weight(1.0)
    sgd = SGD([("a", a), ("b", b)], lr=0.1, weight_decay=0.5)
    a.grad = np.ones(1)
    sgd.step()
    assert a.data[0] != 1.0 and b.data[0] == 1.0
    sgd.zero_grad()
    assert a.grad is None


def test_without_decay_spares_one_dimensional_parameters():
    """With a zero gradient a matrix shrinks by lr·decay, and a bias stays."""
    w, b = Tensor(np.ones((2, 2)), requires_grad=True), weight(1.0)
    sgd = SGD(without_decay([("w", w), ("b", b)], 0.1), lr=0.5, momentum=0)
    w.grad, b.grad = np.zeros((2, 2)), np.zeros(1)
    sgd.step()
    assert (w.data == 0.95).all() and b.data[0] == 1.0


def test_groups_keep_their_ratio_of_rates():
    """Setting lr scales each group by the same factor."""
    sgd = SGD([{"params": [("a", weight(1.0))]}, {"params": [("b", weight(1.0))], "lr": 0.02}], lr=0.1)
    sgd.lr = 0.05
    assert [g["lr"] for g in sgd.groups] == pytest.approx([0.05, 0.01]) and sgd.lr == 0.05


def test_state_goes_by_name():
    """Another optimiser over other tensors of the same names goes on with the same bits; the state is copied."""

    def start():
        tensors = [("a", weight(1.0, 2.0)), ("b", weight(3.0))]
        return tensors, SGD(tensors, lr=0.1)

    (one, first), (two, second) = start(), start()
    for _, p in one:
        p.grad = p.data * 2
    first.step()
    state = {name: array.copy() for name, array in first.state_dict().items()}
    assert sorted(state) == ["momentum.a", "momentum.b"]
    second.load_state_dict(state)
    for (_, p), (_, q) in zip(one, two, strict=True):
        q.data = p.data.copy()
        p.grad = q.grad = p.data * 3
    first.step()
    second.step()
    assert all(np.array_equal(p.data, q.data) for (_, p), (_, q) in zip(one, two, strict=True))
    assert not np.array_equal(state["momentum.a"], second.state_dict()["momentum.a"])


@pytest.mark.parametrize("damage", ["missing", "extra", "shape"])
def test_foreign_state_is_refused_and_changes_nothing(damage):
    """Missing, unknown and misshapen entries: CheckpointError, and the momentum is as before."""
    w = weight(1.0, 2.0)
    sgd = SGD([("a", w), ("b", weight(1.0))], lr=0.1)
    w.grad = np.ones(2)
    sgd.step()
    state = {name: array + 1 for name, array in sgd.state_dict().items()}
    before = {name: array.copy() for name, array in sgd.state_dict().items()}
    if damage == "missing":
        del state["momentum.b"]
    elif damage == "extra":
        state["momentum.c"] = np.ones(1)
    else:
        state["momentum.b"] = np.ones(7)
    with pytest.raises(CheckpointError, match=r"momentum\.|missing|unknown"):
        sgd.load_state_dict(state)
    assert all(np.array_equal(before[name], array) for name, array in sgd.state_dict().items())


def test_a_false_guard_changes_nothing():
    """With guard False neither weights nor momentum move; with True the step is the ordinary one."""
    for guard in (False, True):
        w, twin = weight(1.0), weight(1.0)
        sgd, ordinary = SGD([("w", w)], lr=0.1), SGD([("w", twin)], lr=0.1)
        w.grad = np.array([1.0 if guard else np.nan])
        sgd.step(np.array(guard))
        if guard:
            twin.grad = np.ones(1)
            ordinary.step()
        assert w.data[0] == twin.data[0]
        assert sgd.state_dict()["momentum.w"][0] == ordinary.state_dict()["momentum.w"][0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": 0}, "lr must be"),
        ({"lr": float("nan")}, "lr must be"),
        ({"momentum": 1.0}, r"momentum must be a number in \[0, 1\)"),
        ({"weight_decay": -1}, "weight_decay must be"),
        ({"nesterov": True, "momentum": 0}, "nesterov=True needs momentum"),
        ({"nesterov": 1}, "nesterov must be True or False"),
        ({"form": "pytorch"}, "did you mean torch"),
        ({"lr": True}, "lr must be"),
    ],
)
def test_bad_options_are_refused_by_name(options, message):
    """Each message names the option and what was expected."""
    with pytest.raises(ConfigError, match=message):
        SGD([("w", weight(1.0))], **{"lr": 0.1, **options})


def test_bad_parameters_are_refused():
    """No names, no parameters, one name twice, and a misspelt group option: each says so."""
    with pytest.raises(ConfigError, match=r"\(name, Tensor\) pairs"):
        SGD([weight(1.0)], lr=0.1)
    with pytest.raises(ConfigError, match="no parameter to train"):
        SGD([], lr=0.1)
    with pytest.raises(ConfigError, match='"w" occurs twice'):
        SGD([("w", weight(1.0)), ("w", weight(1.0))], lr=0.1)
    with pytest.raises(ConfigError, match="did you mean momentum"):
        SGD([{"params": [("w", weight(1.0))], "momentun": 0.5}], lr=0.1)
    with pytest.raises(ConfigError, match="lr must be a finite number"):
        SGD([("w", weight(1.0))], lr=0.1).lr = -1.0
