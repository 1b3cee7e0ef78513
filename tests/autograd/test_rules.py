"""Rules: which are called, where they are looked up, what a wrong one meets."""

from __future__ import annotations

import numpy as np
import pytest

import minivgg as mv
from minivgg import models, ops
from minivgg.autograd import mode
from minivgg.autograd.core import Op
from minivgg.errors import GraphError, ShapeError


def leaf(values=(1.0, 2.0)) -> mv.Tensor:
    """A float64 tensor that requires a gradient."""
    return mv.Tensor(np.array(values), requires_grad=True)


@pytest.fixture
def image_gradients(monkeypatch):
    """A list that grows by one shape each time a convolution's image gradient is computed (by the formula, not by a kernel)."""
    shapes = []
    original = ops.Conv2dInput.forward

    def counted(self, u, w):
        shapes.append(self.shape)
        return original(self, u, w)

    monkeypatch.setattr(ops.Conv2dInput, "forward", counted)
    with mv.reference():
        yield shapes


@pytest.fixture
def small():
    """VGG-11, a thirty-second as wide."""
    return models.vgg11(num_classes=3, image_size=32, width=1 / 32, head="linear")


IMAGES = np.random.default_rng(0).standard_normal((1, 3, 32, 32)).astype("float32")


def test_the_first_convolutions_image_gradient_is_never_computed(image_gradients, small):
    """VGG-11 has 8 convolutions: 7 image gradients, none of them of the image batch itself."""
    small(IMAGES).sum().backward()
    assert len(image_gradients) == 7 and (1, 3, 32, 32) not in image_gradients
    assert all(parameter.grad is not None for parameter in small.parameters())


def test_the_image_gradient_is_computed_if_somebody_wants_it(image_gradients, small):
    """With images that require a gradient all 8 are computed; only asked for the last bias, none."""
    x = mv.Tensor(IMAGES, requires_grad=True)
    y = small(x).sum()
    mv.grad(y, small.classifier.bias)
    assert image_gradients == []
    mv.grad(y, x)
    assert len(image_gradients) == 8


def test_frozen_layers_cost_no_gradients(image_gradients, small):
    """With the features frozen backward stops at the classifier."""
    small.features.requires_grad_(False)
    small(IMAGES).sum().backward()
    assert image_gradients == [] and small.classifier.weight.grad is not None
    assert all(parameter.grad is None for parameter in small.features.parameters())


def test_rules_of_constants_are_not_called(monkeypatch):
    """x·c with a constant c calls only grad_x."""
    called = []
    monkeypatch.setattr(ops.Multiply, "grad_w", lambda self, gy, x: called.append("w"))
    x = leaf()
    assert mv.grad((x * np.array([3.0, 4.0])).sum(), x)[0].tolist() == [3.0, 4.0]
    assert called == []


def test_rules_are_looked_up_on_the_class_at_each_sweep(monkeypatch):
    """A rule replaced after the forward pass takes effect in the next sweep, and its restoration too."""
    x = leaf()
    y = (x * 3.0).sum()
    with monkeypatch.context() as patch:
        patch.setattr(ops.Multiply, "grad_x", lambda self, gy, w: gy * w * 100.0)
        assert mv.grad(y, x)[0].tolist() == [300.0, 300.0]
    assert mv.grad(y, x)[0].tolist() == [3.0, 3.0]


def test_a_replaced_rule_that_reads_what_was_not_kept_is_refused(monkeypatch):
    """The graph keeps what the rule of the forward pass named; another rule's wish is a clear error."""
    x = leaf()
    y = ops.exp(x).sum()
    monkeypatch.setattr(ops.Exp, "grad_x", lambda self, gy, x: gy * x)
    with pytest.raises(GraphError, match="reads x, which was not kept"):
        y.backward()


def test_a_rule_for_an_operand_that_does_not_exist_is_refused_at_import():
    """grad_w without an operand w is a TypeError when the class is made, and the op is not registered."""
    before = list(Op.registry)
    with pytest.raises(TypeError, match=r"Bad\.grad_w is a rule for an operand.*\('x',\)"):

        class Bad(Op):
            def forward(self, x):
                return x

            def grad_w(self, gy):
                return gy

    assert Op.registry == before


def test_a_rule_that_reads_an_unknown_name_is_refused_at_import():
    """A rule can read operands, y and shapes; a misspelt name is a TypeError that lists the valid ones."""
    with pytest.raises(TypeError, match=r"Bad\.grad_x reads \['weight'\].*'x'.*'x_shape'.*'y'"):

        class Bad(Op):
            def forward(self, x):
                return x

            def grad_x(self, gy, weight):
                return gy


def test_only_a_variadic_op_may_read_an_index():
    """`index` means the operand's number, which an ordinary rule knows already."""
    with pytest.raises(TypeError, match="index"):

        class Bad(Op):
            def forward(self, x):
                return x

            def grad_x(self, gy, index):
                return gy


def test_errors_in_a_rule_say_what_was_being_differentiated(monkeypatch):
    """The exception keeps its type and message, and gains a note with the op and the layer."""

    def broken(self, gy, y):
        raise ZeroDivisionError("broken rule")

    x = leaf()
    with mode.scope("features.3"):
        y = ops.tanh(x)
    monkeypatch.setattr(ops.Tanh, "grad_x", broken)
    with pytest.raises(ZeroDivisionError, match=r"^broken rule") as caught:
        y.sum().backward()
    assert caught.value.__notes__ == ["while differentiating Tanh() of layer features.3"]


def test_errors_in_a_forward_pass_say_which_op():
    """Operands that do not broadcast raise a ShapeError with the op and both shapes."""
    with pytest.raises(ShapeError, match=r"Add\(\): shapes \(2,\) and \(3,\) do not broadcast"):
        leaf() + np.ones(3)


def test_a_rule_with_a_gradient_of_the_wrong_shape_is_refused(monkeypatch):
    """A gradient that is no broadcast of its operand raises, and is not broadcast silently."""
    x = leaf()
    y = ops.tanh(x)
    monkeypatch.setattr(ops.Tanh, "grad_x", lambda self, gy, y: np.ones(3))
    with pytest.raises(ValueError, match="shape") as caught:
        y.sum().backward()
    assert any("Tanh" in note for note in caught.value.__notes__)


def test_one_op_object_serves_many_calls():
    """An op is a value: what one call saved is not overwritten by the next call of the same object."""
    pool = ops.MaxPool2d(ops.Geometry((2, 2), (2, 2)))
    rng = np.random.default_rng(0)
    a, b = (mv.Tensor(rng.standard_normal((1, 1, 4, 4)), requires_grad=True) for _ in range(2))
    ya, yb = pool(a), pool(b)
    for x, y in ((a, ya), (b, yb)):
        (g,) = mv.grad(y.sum(), x)
        assert set(x.data[g == 1.0]) == set(y.data.ravel())
    assert not hasattr(pool, "winners")


def fake_kernels(call, phase, arrays):
    """Stands in for the overlay: tanh is 42, and its gradient 7."""
    if not isinstance(call, ops.Tanh):
        return None
    if phase == "forward":
        return lambda call, x: np.full_like(x, 42.0)
    return lambda call, gy, saved, shapes, wanted: [np.full_like(gy, 7.0)]


def test_kernels_stand_in_for_formulas_and_reference_switches_them_off(monkeypatch):
    """The overlay's kernels run forwards and backwards; inside reference() the op's own text does."""
    monkeypatch.setattr(mode, "find_kernel", [fake_kernels])
    monkeypatch.setattr(mode.state, "kernels", True)
    x = leaf()
    y = ops.tanh(x)
    assert y.data.tolist() == [42.0, 42.0] and mv.grad(y.sum(), x)[0].tolist() == [7.0, 7.0]
    with mv.reference():
        y = ops.tanh(x)
        np.testing.assert_allclose(y.data, np.tanh([1.0, 2.0]))
        np.testing.assert_allclose(mv.grad(y.sum(), x)[0], 1 - np.tanh([1.0, 2.0]) ** 2)


def test_backward_kernels_are_not_used_while_a_graph_is_recorded(monkeypatch):
    """A kernel's result could not be differentiated again, so create_graph uses the rule."""
    x = leaf()
    y = ops.tanh(x)
    monkeypatch.setattr(mode, "find_kernel", [fake_kernels])
    monkeypatch.setattr(mode.state, "kernels", True)
    (g,) = mv.grad(y.sum(), x, create_graph=True)
    np.testing.assert_allclose(g.data, 1 - np.tanh([1.0, 2.0]) ** 2)


@pytest.mark.parametrize("shape", [(1,), ()], ids=str)
def test_a_gradient_smaller_than_its_operand_is_refused(monkeypatch, shape):
    """A rule that summed too much gives a gradient that would broadcast: it is an error with both shapes, not a wrong number."""
    x = leaf()
    y = ops.tanh(x)
    monkeypatch.setattr(ops.Tanh, "grad_x", lambda self, gy, y: np.ones(shape))
    with pytest.raises(ShapeError) as caught:
        y.sum().backward()
    assert f"an array of shape {shape} is not one of shape (2,) broadcast" in str(caught.value)
    assert "a gradient has its operand's shape" in str(caught.value)
    assert "while differentiating Tanh()" in caught.value.__notes__ and x.grad is None


def test_a_node_tells_an_absent_operand_from_a_single_number():
    """Kernels and observers read the operands' shapes: a bias that is not there has None, a number ()."""
    w = mv.Tensor(np.ones((4, 3)), requires_grad=True)
    assert ops.linear(np.ones((2, 3)), w).node.shapes == ((2, 3), (4, 3), None)
    assert (w * 2.0).node.shapes == ((4, 3), ())
