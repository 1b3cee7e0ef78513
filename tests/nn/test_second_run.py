"""The second run of a checkpoint: as the first one was, dropped as the sweep passes, and what is refused."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import minivgg as mv
from minivgg import nn, ops
from minivgg.autograd import mode
from minivgg.autograd.core import grad
from minivgg.errors import GraphError
from minivgg.testing import blame

from .recomputed import Plain, Twice, X, layers, step


def test_one_dropout_called_twice_inside_repeats_both_masks():
    """The layer counts its calls in the second run from where the first began."""

    plain, checkpointed = Plain(Twice()), nn.Checkpoint(Twice())
    assert step(plain) == step(checkpointed) and checkpointed.module.drop.calls == 2
    assert step(plain) == step(checkpointed)


def test_what_is_recomputed_is_dropped_as_the_sweep_passes():
    """With the collector off: after backward() no array of either run is alive, though the loss is."""
    model, alive = nn.Checkpoint(layers()), []
    for layer in model.module:
        layer.register_forward_hook(lambda module, inputs, y: alive.append(weakref.ref(y.data)))
    gc.collect()
    gc.disable()
    try:
        loss = (model(mv.Tensor(X)) * 2.0).sum()
        assert [array() for array in alive[:4]] == [None] * 4
        loss.backward()
        assert len(alive) == 10 and all(array() is None for array in alive)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_memory_falls_while_the_sweep_is_inside():
    """When the gradient reaches the first of five layers, what the last ones kept in the second run is gone."""

    class Tanh(nn.Module):
        def forward(self, x):
            return ops.tanh(x)

    model, alive, left = nn.Checkpoint(nn.Sequential(*[Tanh() for _ in range(5)])), [], []

    def note(module, inputs, y):
        if y.requires_grad:  # the second run
            alive.append(weakref.ref(y.data))
            if module is model.module[0]:
                y.register_hook(lambda g: left.append(sum(array() is not None for array in alive)))

    for layer in model.module:
        layer.register_forward_hook(note)
    model(mv.Tensor(X, requires_grad=True)).sum().backward()
    assert len(alive) == 5 and left[0] <= 2


def test_the_second_run_sees_the_modes_of_the_first():
    """model.eval() between forward and backward, and reference() around the forward only, change no bit."""
    plain, checkpointed, results = Plain(layers()), nn.Checkpoint(layers()), []
    for model in (plain, checkpointed):
        x = mv.Tensor(X, requires_grad=True)
        with mv.reference():
            y = model(x)
        model.eval()
        (y * y).sum().backward()
        results.append((x.grad.tobytes(), model.module[0].weight.grad.tobytes()))
        assert not model.module[1].training
    assert results[0] == results[1]


def test_the_second_run_uses_kernels_where_the_first_did(monkeypatch):
    """Forward inside reference(), backward outside: kernels are asked for in the sweep, for no convolution run again."""
    asked = []
    monkeypatch.setattr(mode, "find_kernel", [lambda call, phase, arrays: asked.append((type(call).__name__, phase))])
    model = nn.Checkpoint(nn.Conv2d(3, 2, 3))
    with mv.reference():
        y = model(mv.Tensor(X))
    assert asked == []
    y.sum().backward()
    assert ("Conv2d", "backward") in asked and ("Conv2d", "forward") not in asked


def test_a_frozen_first_run_is_a_frozen_second_run():
    """In frozen_state() a dropout called twice has one mask twice; so it has when it runs again outside."""
    found = []
    for wrap in (Plain, nn.Checkpoint):
        model, x = wrap(Twice()), mv.Tensor(X, requires_grad=True)
        with mv.frozen_state():
            y = model(x)
        y.sum().backward()
        found.append((y.data.tobytes(), x.grad.tobytes()))
        assert model.module.drop.calls == 0
    assert found[0] == found[1]


def test_a_write_in_between_is_noticed():
    """Parameters in training, and running statistics in evaluation, are read again: GraphError if written to in between.
    A second forward pass in training writes statistics that are not read: no error."""
    model = nn.Checkpoint(layers())
    y, _ = model(mv.Tensor(X)), model(mv.Tensor(X))
    y.sum().backward()
    y = model(mv.Tensor(X))
    model.module[0].weight.data -= 0.1
    with pytest.raises(GraphError, match=r"\(4, 3, 3, 3\) was overwritten"):
        y.sum().backward()
    y = model.eval()(mv.Tensor(X))
    model.module[1].running_mean[0] = 1.0
    with pytest.raises(GraphError, match=r"\(4,\) was overwritten"):
        y.sum().backward()


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_tensor_from_outside_is_refused(create_graph):
    """Its gradient would be lost without a word."""
    secret = mv.Tensor([2.0], requires_grad=True, name="secret")

    class Sly(nn.Module):
        def forward(self, x):
            return x * (secret * 2.0)

    x = mv.Tensor([1.0], requires_grad=True)
    y = nn.Checkpoint(Sly())(x * 1.0)
    with pytest.raises(GraphError, match=r"Sly used secret \(1,\), which requires a gradient and is neither"):
        grad(y, [x], create_graph=create_graph)


def test_a_module_that_returns_no_tensor_is_refused():
    """At once, with the kind of what it returned."""

    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    with pytest.raises(GraphError, match="Pair returned a tuple"):
        nn.Checkpoint(Pair())(mv.Tensor([1.0], requires_grad=True))


def test_nan_inside_is_blamed_on_the_op_that_made_it():
    """check_finite() names the inner layer, in the second run, too."""
    model = nn.Checkpoint(nn.Sequential(nn.Linear(1, 1), nn.ReLU()))
    with mv.check_finite(), pytest.raises(mv.errors.NumericalError) as caught:
        model(np.array([[np.inf]], "float32"))
    assert "layer module.0" in caught.value.__notes__[0]


def test_checks_look_inside():
    """blame() lists the inner ops; a tensor's own graph shows one step, whose rule the sweep's tape names."""
    model, x = nn.Checkpoint(nn.Sequential(nn.Linear(3, 2), nn.ReLU())), np.random.default_rng(4).standard_normal((2, 3))
    model.to(dtype="float64")
    report = blame(lambda: model(x).sum(), order=1)
    assert report.ok and {type(s.op).__name__ for s in report.suspects} >= {"Linear", "Relu"}
    loss = model(x).sum()
    assert blame(loss, order=1).ok
    tape = mv.trace(loss)
    assert "Recompute" in str(tape) and "grad_xs(gy, wanted, xs)" in str(tape)


def test_a_failure_in_the_second_run_names_the_checkpoint():
    """A rule that raises inside: notes of the inner op and of the checkpoint; modes and parameters are in their places."""
    model = nn.Checkpoint(layers())
    weight = model.module[0].weight
    calls = []

    def explode(module, inputs, y):
        calls.append(0)
        if len(calls) == 2:
            raise ValueError("second run")

    model.module[2].register_forward_hook(explode)
    y = model(mv.Tensor(X)).sum()
    with pytest.raises(ValueError, match="second run") as caught:
        y.backward()
    assert caught.value.__notes__ == ["while differentiating Recompute(Sequential)"]
    assert model.module[0].weight is weight and mode.state.step is None and mode.state.path == ()
