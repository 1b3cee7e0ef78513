"""Writes between the forward and the backward pass are noticed, never differentiated over."""

from __future__ import annotations

import numpy as np
import pytest

import minivgg as mv
from minivgg import ops, optim
from minivgg.autograd.core import broadcast_to
from minivgg.errors import GraphError


def leaf(values=(1.0, 2.0, 3.0), **options) -> mv.Tensor:
    """A float64 tensor that requires a gradient."""
    return mv.Tensor(np.array(values), requires_grad=True, **options)


def write_item(t):
    """One element."""
    t[0] = 9.0


def write_slice(t):
    """Some elements."""
    t[1:] = np.zeros(2)


def write_in_place(t):
    """As an optimiser does."""
    t.data -= 0.1


def write_new(t):
    """Another array."""
    t.data = np.zeros(3)


def write_detached(t):
    """Through the detached tensor."""
    t.detach()[0] = 9.0


def write_view(t):
    """Through a view."""
    with mv.no_grad():
        t.reshape(3, 1)[0] = 9.0


def write_view_of_view(t):
    """Through a view of a view of a view."""
    with mv.no_grad():
        t.reshape(3, 1).transpose()[0, 1:][0] = 9.0


@pytest.mark.parametrize(
    "write", [write_item, write_slice, write_in_place, write_new, write_detached, write_view, write_view_of_view], ids=lambda f: f.__name__
)
def test_a_write_after_the_forward_pass_is_caught_and_named(write):
    """Every way of writing through a tensor or its views makes backward raise, with the tensor's name."""
    w = leaf(name="features.0.weight")
    y = (w * w).sum()
    write(w)
    with pytest.raises(GraphError, match=r"features\.0\.weight \(3,\) was overwritten after the forward pass.*work on a copy"):
        y.backward()
    assert w.grad is None


def test_a_write_before_the_forward_pass_is_fine():
    """The count is compared with that at the time of use."""
    w = leaf()
    write_item(w)
    write_in_place(w)
    (w * w).sum().backward()
    np.testing.assert_allclose(w.grad, 2 * w.data)


def test_a_write_to_what_no_rule_reads_is_fine():
    """x + w keeps neither operand, so overwriting them cannot make the gradient wrong."""
    w = leaf()
    y = (w + 1.0).sum()
    write_item(w)
    y.backward()
    assert w.grad.tolist() == [1.0, 1.0, 1.0]


def test_a_write_to_a_saved_result_is_caught():
    """tanh keeps its result; writing to it afterwards raises."""
    x = leaf()
    y = ops.tanh(x)
    loss = y.sum()
    with mv.no_grad():
        y[0] = 0.0
    with pytest.raises(GraphError, match="was overwritten"):
        loss.backward()


def test_a_write_to_a_constant_operand_is_caught():
    """A tensor without a gradient counts its writes as well."""
    x, constant = leaf(), mv.Tensor(np.ones(3), name="mask")
    y = (x * constant).sum()
    constant[0] = 5.0
    with pytest.raises(GraphError, match="mask"):
        y.backward()


def test_an_optimiser_step_before_backward_is_caught():
    """Updating the weights between forward and backward raises and names the weight."""
    w = leaf(name="weight")
    (w * w).sum().backward()
    late = (w * w).sum()
    optim.SGD([("weight", w)], lr=0.1).step()
    with pytest.raises(GraphError, match="weight"):
        late.backward()


def test_loading_weights_before_backward_is_caught():
    """load_state_dict counts as a write."""
    model = mv.nn.Linear(3, 2)
    model.weight.name = "weight"
    x = leaf([[1.0, 2.0, 3.0]])
    y = model.to(dtype="float64")(x).sum()
    model.load_state_dict(model.state_dict())
    with pytest.raises(GraphError, match="weight"):
        y.backward()


def test_a_write_is_caught_under_create_graph_too():
    """Recording sweeps read through the same check."""
    w = leaf()
    y = (w * w).sum()
    write_item(w)
    with pytest.raises(GraphError, match="overwritten"):
        mv.grad(y, w, create_graph=True)


def test_writing_into_a_recorded_result_never_gives_a_wrong_gradient():
    """y = 2x, y[0] = 5: y[0] no longer depends on x. Either the write is refused, or the gradient is [0, 16, 24]."""
    x = leaf()
    y = x * 2.0
    try:
        y[0] = 5.0
    except GraphError:
        return
    (y * y).sum().backward()
    assert x.grad.tolist() == [0.0, 16.0, 24.0]  # 2y·2, without the first


def test_writing_a_differentiable_value_is_not_silently_constant():
    """t[0] = x must not lose x's gradient without a word: it is refused, or it is right."""
    x, t = leaf(), mv.Tensor(np.zeros(3))
    try:
        t[0] = x[0] * 2.0
    except GraphError:
        return
    assert mv.grad(t.sum(), x)[0].tolist() == [2.0, 0.0, 0.0]


def test_locked_arrays_refuse_raw_writes_until_the_block_ends():
    """In lock_arrays() a NumPy write behind the tensor's back raises where it happens; later it is allowed again."""
    x = leaf()
    with mv.lock_arrays():
        y = (x * x).sum()
        with pytest.raises(ValueError, match="read-only"):
            x.data[0] = 9.0
        y.backward()
    x.data[0] = 9.0
    assert x.grad.tolist() == [2.0, 4.0, 6.0]


def test_locked_arrays_also_protect_the_memory_behind_a_view():
    """If the graph keeps a view, a raw write to the array that owns the memory is refused as well."""
    x = leaf()
    with mv.lock_arrays():
        view = x.reshape(3, 1)
        (view * view).sum()
        with pytest.raises(ValueError, match="read-only"):
            x.data[0] = 9.0


def test_all_locked_arrays_are_writable_again_after_the_block():
    """Views made while their owner was locked are writable afterwards, too."""
    x = leaf()
    with mv.lock_arrays():
        y = x * x
        view = x.reshape(3, 1)
        (view * view).sum()
    for tensor in (x, y, view):
        assert tensor.data.flags.writeable


def test_read_only_arrays_of_the_caller_stay_read_only():
    """lock_arrays() unlocks only what it locked."""
    array = np.ones(3)
    array.flags.writeable = False
    x = mv.Tensor(array, requires_grad=True)
    with mv.lock_arrays():
        (x * x).sum()
    assert not array.flags.writeable


def test_locking_concerns_arrays_only():
    """Python numbers that a rule reads, 3 in x³ say, have nothing to lock, and the gradient is right."""
    x = leaf()
    with mv.lock_arrays():
        y = (x**3).sum()
        with pytest.raises(ValueError, match="read-only"):
            x.data[0] = 9.0
        y.backward()
    assert x.grad.tolist() == [3.0, 12.0, 27.0]


def test_a_broadcast_view_stays_read_only_after_the_block():
    """NumPy makes views with stride 0 read-only, since their elements share memory: lock_arrays() does not open them."""
    x = leaf()
    with mv.lock_arrays():
        wide = broadcast_to(x * 1.0, (2, 3))
        (wide * wide).sum()
    assert 0 in wide.data.strides and not wide.data.flags.writeable


def test_a_write_to_a_new_array_is_no_write_to_its_operand():
    """y = 2x has its own memory, so writing to y leaves x's graphs valid."""
    x = leaf()
    loss = (x * x).sum()
    y = x * 2.0
    with mv.no_grad():
        y[0] = 5.0
    loss.backward()
    assert x.grad.tolist() == [2.0, 4.0, 6.0]
