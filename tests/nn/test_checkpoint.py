"""Recomputation: the same bits as without, for less memory; run again as it was run; what it refuses."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import minivgg as mv
from minivgg import models, nn, ops
from minivgg.autograd import mode
from minivgg.autograd.core import Op, grad
from minivgg.backend.arrays import to_numpy
from minivgg.errors import GraphError
from minivgg.testing import blame, check_gradients
from minivgg.testing import pretend as gpu

X = np.random.default_rng(0).standard_normal((3, 3, 8, 8)).astype("float32")


class Plain(nn.Module):
    """Holds a module under the name that Checkpoint gives it, without being one."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def forward(self, *inputs):
        """module(*inputs)."""
        return self.module(*inputs)


class Twice(nn.Module):
    """One dropout layer that is called twice."""

    def __init__(self) -> None:
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        """The sum of two masked inputs."""
        return self.drop(x * 2.0) + self.drop(x * 3.0)


def layers() -> nn.Sequential:
    """One layer of each kind that has state or a kink."""
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.MaxPool2d(2))


def step(model, x=X, number=None):
    """(value, gradient by x, all gradients, all state) of one forward and backward pass, as bytes."""
    x = mv.Tensor(x, requires_grad=True)
    with mode.step(number) if number is not None else mode.enable_grad():
        y = model(x)
    (y * y).sum().backward()
    gradients = {name: None if p.grad is None else p.grad.tobytes() for name, p in model.named_parameters()}
    return y.data.tobytes(), x.grad.tobytes(), gradients, {name: a.tobytes() for name, a in model.state_dict().items()}


@pytest.mark.parametrize("number", [None, 7], ids=["own calls", "a loop's step"])
def test_values_gradients_and_state_have_the_same_bits(number):
    """Three passes in training: values, gradients by input and parameters, running statistics and the masks that follow."""
    plain, checkpointed = Plain(layers()), nn.Checkpoint(layers())
    for _ in range(3):
        assert step(plain, number=number) == step(checkpointed, number=number)
        plain.zero_grad()
        checkpointed.zero_grad()
    assert int(checkpointed.module[1].num_batches_tracked.data) == 3


def test_one_dropout_called_twice_inside_repeats_both_masks():
    """The layer counts its calls in the second run from where the first began."""

    plain, checkpointed = Plain(Twice()), nn.Checkpoint(Twice())
    assert step(plain) == step(checkpointed) and checkpointed.module.drop.calls == 2
    assert step(plain) == step(checkpointed)


@pytest.mark.parametrize("name", ["vgg11", "vgg11_bn", "vgg11_lrn", "vgg16_1x1_bn"])
def test_a_network_by_blocks_has_the_same_names_and_bits(name):
    """recompute=True: torchvision's names, and loss, gradients and state bit for bit; less is kept."""
    results, kept = [], []
    for recompute in (False, True):
        model = models.build(name, num_classes=5, image_size=32, width=1 / 16, recompute=recompute)
        x = np.random.default_rng(1).standard_normal((4, 3, 32, 32)).astype("float32")
        with mode.step(2):
            loss = ops.cross_entropy(model(x), np.array([0, 1, 2, 3]))
        kept.append(mv.kept_bytes(loss))
        loss.backward()
        state = {n: a.tobytes() for n, a in model.state_dict().items()}
        results.append((loss.data.tobytes(), {n: p.grad.tobytes() for n, p in model.named_parameters()}, state))
    assert results[0] == results[1] and next(iter(results[0][1])) == "features.0.weight"
    assert kept[1] < kept[0] / 2


def test_kept_is_the_input_alone():
    """Of four layers the graph keeps x (3, 3, 8, 8): 2304 bytes; without, the inputs of convolution, batch norm, … as well."""
    x = mv.Tensor(X, requires_grad=True) * 2.0
    assert mv.kept_bytes(nn.Checkpoint(layers())(x)) == X.nbytes < mv.kept_bytes(layers()(x)) / 2


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


@pytest.mark.parametrize(
    "wrap", [nn.Checkpoint, lambda m: nn.Checkpoint(nn.Sequential(nn.Checkpoint(m[:3]), m[3:]))], ids=["one", "nested"]
)
def test_second_derivatives_agree_with_finite_differences(wrap):
    """check_gradients at orders 1 and 2, by the input and by all parameters, with kernels and without."""
    net = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Dropout(0.2), nn.Conv2d(3, 2, 1))
    model = wrap(net).to(dtype="float64")
    names = [name for name, _ in model.named_parameters()]

    def f(*tensors):
        with mode.step(0):
            return ops.tanh(nn.functional_call(model, dict(zip(names, tensors, strict=False)), tensors[-1]))

    x = np.random.default_rng(2).standard_normal((2, 2, 4, 4))
    report = check_gradients(f, *(p.data for p in model.parameters()), x, coordinates=12)
    assert report.ok and report.comparisons > 100, str(report)


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


def test_third_derivatives_of_a_cube():
    """y = w·w·w·x: ∂³y/∂w³ = 6x, through three recorded sweeps."""

    class Cube(nn.Module):
        def __init__(self):
            self.w = nn.Parameter(2.0, dtype="float64")

        def forward(self, x):
            return self.w * self.w * self.w * x

    cube = Cube()
    y = nn.Checkpoint(cube)(mv.Tensor(np.array(5.0), requires_grad=True))
    for expected in (60.0, 60.0):
        (y,) = grad(y, [cube.w], create_graph=True)
        assert y.item() == expected
    assert grad(y, [cube.w])[0] == 30.0


def test_a_parameter_shared_with_the_outside_gets_both_contributions_once():
    """y = w·(w·x) with the outer product inside a checkpoint: gw = 2wx, in ordinary and in recorded sweeps; then 2x."""

    class Times(nn.Module):
        def __init__(self, w):
            self.w = w

        def forward(self, x):
            return self.w * x

    w = nn.Parameter(3.0, dtype="float64")
    y = nn.Checkpoint(Times(w))(nn.Checkpoint(Times(w))(np.array(5.0)))
    (g,) = grad(y, [w], create_graph=True)
    assert grad(y, [w])[0] == g.item() == 30.0 and grad(g, [w])[0] == 10.0


def test_hooks_of_gradients_are_called_once():
    """A hook on the input, on the output and on a parameter: one call each in a sweep, and what it returns counts."""
    model, calls = nn.Checkpoint(nn.Linear(2, 1, bias=False)), []
    x = mv.Tensor(np.ones((1, 2), "float32"), requires_grad=True)
    h = x * 1.0
    h.register_hook(lambda g: calls.append("input") or g * 2.0)
    model.module.weight.register_hook(lambda g: calls.append("weight"))
    y = model(h)
    y.register_hook(lambda g: calls.append("output") or g * 10.0)
    y.sum().backward()
    assert sorted(calls) == ["input", "output", "weight"]
    np.testing.assert_array_equal(x.grad, 20.0 * model.module.weight.data)
    np.testing.assert_array_equal(model.module.weight.grad, [[10.0, 10.0]])


def test_only_what_is_wanted_is_computed():
    """Frozen parameters and an input without gradient get none; nothing requires one: nothing is recorded."""
    model = nn.Checkpoint(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)))
    model.module[0].requires_grad_(False)
    x = np.ones((1, 2), "float32")
    model(x).sum().backward()
    assert model.module[0].weight.grad is None and model.module[1].weight.grad.shape == (1, 2)
    h = mv.Tensor(x, requires_grad=True)
    model.requires_grad_(False)
    model(h).sum().backward()
    np.testing.assert_allclose(h.grad, model.module[1].weight.data @ model.module[0].weight.data, rtol=1e-6)
    assert not model(x).requires_grad


def test_inside_no_grad_it_just_runs():
    """The value, nothing recorded, and state updated once."""
    model = nn.Checkpoint(layers())
    with mv.no_grad():
        y = model(mv.Tensor(X))
    assert not y.requires_grad and int(model.module[1].num_batches_tracked.data) == 1


def test_an_identity_inside_does_not_touch_its_input():
    """Dropout in evaluation returns its input itself: the checkpoint's result is another tensor, with gradient one."""
    x = mv.Tensor(X, requires_grad=True)
    y = nn.Checkpoint(nn.Dropout(0.5).eval())(x)
    y.sum().backward()
    assert y is not x and x.node.op is None and (x.grad == 1.0).all()


def test_what_does_not_matter_gets_zeros():
    """A parameter that the module does not use, and a result that depends on nothing: zeros, not an error."""

    class Idle(nn.Module):
        def __init__(self):
            self.w = nn.Parameter([1.0, 2.0])

        def forward(self, x):
            return x.detach() * 2.0

    model, x = nn.Checkpoint(Idle()), mv.Tensor([3.0, 4.0], requires_grad=True)
    assert [g.tolist() for g in grad(model(x).sum(), [x, model.module.w])] == [[0.0, 0.0], [0.0, 0.0]]


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


def test_several_inputs_and_integers():
    """A loss with its targets inside: the gradient of the logits is that without."""
    logits, targets = np.random.default_rng(3).standard_normal((4, 5)), np.array([0, 4, 2, 2])
    found = []
    for wrap in (Plain, nn.Checkpoint):
        x = mv.Tensor(logits, requires_grad=True)
        wrap(nn.CrossEntropyLoss())(x, targets).backward()
        found.append(x.grad.tobytes())
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


def test_the_pretend_gpu_gives_the_same_without_waiting():
    """A block on device arrays: gradients of orders 1 and 2 equal the host's, and the host never waits in between."""

    def second(move):
        net = nn.Checkpoint(nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.ReLU())).to(dtype="float64")
        for _, tensor in (*net.named_parameters(), *net.named_buffers()):
            tensor.data = move(tensor.data)
        x = mv.Tensor(move(X.astype("float64")), requires_grad=True)
        before = gpu.synchronisations
        y = net(x)
        (g,) = grad((y * y).sum(), [x], create_graph=True)
        gradients = [g.data, *grad((g * g).sum(), [x, *net.parameters()])]
        assert gpu.synchronisations == before
        return [to_numpy(array) for array in gradients]

    for device, host in zip(second(gpu.pretend), second(lambda array: array), strict=True):
        np.testing.assert_allclose(device, host, rtol=1e-12, atol=1e-12)


def test_it_is_no_op_among_the_ops():
    """The registry, from which ops are tested one by one, holds formulas: Recompute has none of its own."""
    assert "Recompute" not in {cls.__name__ for cls in Op.registry}
