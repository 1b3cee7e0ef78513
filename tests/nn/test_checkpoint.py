"""Recomputation: the same bits as without, of every order, for less memory."""

from __future__ import annotations

import numpy as np
import pytest

import minivgg as mv
from minivgg import models, nn, ops
from minivgg.autograd import mode
from minivgg.autograd.core import Op, grad
from minivgg.backend.arrays import to_numpy
from minivgg.testing import check_gradients
from minivgg.testing import pretend as gpu

from .recomputed import Plain, X, layers, step


@pytest.mark.parametrize("number", [None, 7], ids=["own calls", "a loop's step"])
def test_values_gradients_and_state_have_the_same_bits(number):
    """Three passes in training: values, gradients by input and parameters, running statistics and the masks that follow."""
    plain, checkpointed = Plain(layers()), nn.Checkpoint(layers())
    for _ in range(3):
        assert step(plain, number=number) == step(checkpointed, number=number)
        plain.zero_grad()
        checkpointed.zero_grad()
    assert int(checkpointed.module[1].num_batches_tracked.data) == 3


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


def test_several_inputs_and_integers():
    """A loss with its targets inside: the gradient of the logits is that without."""
    logits, targets = np.random.default_rng(3).standard_normal((4, 5)), np.array([0, 4, 2, 2])
    found = []
    for wrap in (Plain, nn.Checkpoint):
        x = mv.Tensor(logits, requires_grad=True)
        wrap(nn.CrossEntropyLoss())(x, targets).backward()
        found.append(x.grad.tobytes())
    assert found[0] == found[1]


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
