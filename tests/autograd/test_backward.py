"""What a sweep computes and where it leaves it: grad, backward, accumulation, hooks, freed graphs."""

from __future__ import annotations

import numpy as np
import pytest

import minivgg as mv
from minivgg import ops
from minivgg.errors import GraphError, ShapeError


def leaf(values, **options) -> mv.Tensor:
    """A float64 tensor that requires a gradient."""
    return mv.Tensor(np.asarray(values, dtype=np.float64), requires_grad=True, **options)


def test_backward_of_a_square_is_twice_the_number():
    """d(x²)/dx = 2x: at 3 and −4 that is 6 and −8."""
    x = leaf([3.0, -4.0])
    (x * x).sum().backward()
    assert x.grad.tolist() == [6.0, -8.0]


def test_grad_returns_what_backward_accumulates_and_leaves_grad_alone():
    """grad() gives the gradients as a list and does not touch .grad; the graph can still be swept."""
    x, w = leaf([1.0, 2.0]), leaf([5.0, 7.0])
    y = (x * w * w).sum()
    gx, gw = mv.grad(y, [x, w])
    assert gx.tolist() == [25.0, 49.0] and gw.tolist() == [10.0, 28.0]  # w², 2xw
    assert x.grad is None and w.grad is None
    y.backward()
    assert x.grad.tolist() == gx.tolist() and w.grad.tolist() == gw.tolist()


def test_a_single_tensor_may_be_given_without_a_list():
    """grad(y, x) is grad(y, [x])."""
    x = leaf([2.0])
    assert mv.grad((x * 3.0).sum(), x)[0].tolist() == [3.0]


def test_leaves_accumulate_over_sweeps():
    """Two backward passes of two graphs add up in a leaf: 2x + 3."""
    x = leaf([1.0, 5.0])
    (x * x).sum().backward()
    (x * 3.0).sum().backward()
    assert x.grad.tolist() == [5.0, 13.0]


def test_intermediates_keep_a_gradient_only_on_request_and_do_not_accumulate():
    """retain_grad() leaves the gradient of one sweep in an intermediate; without it there is none."""
    x = leaf([1.0, 2.0])
    h, other = x * 2.0, x * 3.0
    h.retain_grad()
    y = (h * h + other).sum()
    y.backward(retain_graph=True)
    first = h.grad.copy()
    y.backward()
    assert first.tolist() == [4.0, 8.0]  # 2h
    assert h.grad.tolist() == [4.0, 8.0]  # replaced, not doubled
    assert other.grad is None
    assert x.grad.tolist() == [22.0, 38.0]  # twice 8x + 3


def test_a_diamond_adds_both_branches():
    """y = (2x)·(x²) = 2x³ by two ways from x: dy/dx = 6x²."""
    x = leaf([1.0, -2.0])
    left, right = x * 2.0, x * x
    (left * right).sum().backward()
    assert x.grad.tolist() == [6.0, 24.0]


def test_a_tensor_used_many_times_by_one_op_is_counted_each_time():
    """concatenate([x, x, x]) repeats x, so its gradient is the sum of the three parts of gy."""
    x = leaf([1.0, 2.0])
    gy = np.arange(6.0)
    assert mv.grad(ops.concatenate([x, x, x]), x, gy)[0].tolist() == [6.0, 9.0]  # 0+2+4, 1+3+5


def test_deep_diamonds_are_swept_once_per_node():
    """Sixty squarings-by-addition have 2⁶⁰ paths; the sweep visits nodes, not paths, and gets 2⁶⁰ exactly."""
    x = leaf(1.0)
    h = x
    for _ in range(60):
        h = h + h
    assert mv.grad(h, x)[0].item() == 2.0**60


def test_broadcast_operands_get_gradients_of_their_own_shape():
    """A (3, 1) and a (4,) operand meet in (3, 4): each gradient is summed over what was repeated."""
    x, w = leaf([[1.0], [2.0], [3.0]]), leaf([1.0, 10.0, 100.0, 1000.0])
    gx, gw = mv.grad((x * w).sum(), [x, w])
    assert gx.tolist() == [[1111.0]] * 3 and gw.tolist() == [6.0] * 4


def test_independent_x_gets_zeros():
    """An x that y does not depend on gets zeros of its shape and dtype, also when y has no graph at all."""
    x, other = leaf([1.0, 2.0]), leaf([[3.0]])
    gx, gother = mv.grad((x * x).sum(), [x, other])
    assert gx.tolist() == [2.0, 4.0] and gother.tolist() == [[0.0]] and gother.dtype == np.float64
    assert mv.grad(mv.Tensor(1.0), other)[0].tolist() == [[0.0]]


def test_gradients_by_intermediates_are_available():
    """grad() differentiates by tensors that ops made, too."""
    x = leaf([1.0, 2.0])
    h = x * 3.0
    gh, gx = mv.grad((h * h).sum(), [h, x])
    assert gh.tolist() == [6.0, 12.0] and gx.tolist() == [18.0, 36.0]


def test_gy_weighs_the_elements():
    """gy of y's shape weighs each element of y."""
    x = leaf([1.0, 2.0, 3.0])
    y = x * x
    assert mv.grad(y, x, np.array([1.0, 0.0, -1.0]))[0].tolist() == [2.0, 0.0, -6.0]
    y.backward(mv.Tensor(np.array([0.5, 0.5, 0.5])))
    assert x.grad.tolist() == [1.0, 2.0, 3.0]


def test_a_plain_number_can_weigh_a_single_number():
    """backward(2.0) doubles the gradient of a scalar."""
    x = leaf([1.0, 2.0])
    (x * x).sum().backward(2.0)
    assert x.grad.tolist() == [4.0, 8.0]


def test_gy_is_needed_for_more_than_one_number():
    """Without gy a vector has no single gradient; the message says how to go on."""
    x = leaf([1.0, 2.0])
    with pytest.raises(GraphError, match=r"y has shape \(2,\).*Pass gy.*y\.sum\(\)"):
        (x * x).backward()


def test_gy_of_another_shape_is_refused():
    """gy (3,) for y (2,) raises with both shapes."""
    x = leaf([1.0, 2.0])
    with pytest.raises(ShapeError, match=r"\(2,\).*\(3,\)"):
        mv.grad(x * x, x, np.ones(3))


def test_gy_is_not_written_to():
    """The caller's gy is as it was, though several parents receive it."""
    x = leaf([1.0, 2.0])
    gy = np.array([1.0, 3.0])
    h = x + x
    (h + h + x).backward(gy)
    assert gy.tolist() == [1.0, 3.0] and x.grad.tolist() == [5.0, 15.0]


def test_gradients_of_two_leaves_are_separate_writable_arrays():
    """x + w hands one gradient to both; scaling x.grad in place afterwards leaves w.grad and gy as they are."""
    x, w, gy = leaf([1.0, 2.0]), leaf([3.0, 4.0]), np.ones(2)
    (x + w).backward(gy)
    x.grad *= 10.0
    assert x.grad.tolist() == [10.0, 10.0]
    assert w.grad.tolist() == [1.0, 1.0] and gy.tolist() == [1.0, 1.0]


def test_the_gradient_of_a_sum_can_be_scaled_in_place():
    """Clipping scales .grad in place: that works when the gradient is one number, repeated."""
    x = leaf([1.0, 2.0])
    x.sum().backward()
    x.grad *= 0.5
    assert x.grad.tolist() == [0.5, 0.5]


def test_second_backward_through_a_freed_graph_is_refused():
    """The first backward frees the graph; the second says so and names the remedy."""
    x = leaf([1.0])
    y = (x * x).sum()
    y.backward()
    with pytest.raises(GraphError, match=r"freed by an earlier backward.*retain_graph=True"):
        y.backward()
    with pytest.raises(GraphError, match="freed"):
        mv.grad(y, x)
    assert x.grad.tolist() == [2.0]


def test_a_shared_part_that_was_freed_is_noticed():
    """Two losses share h; after the first one's backward the second one's is an error, not a wrong number."""
    x = leaf([1.0, 2.0])
    h = x * x
    first, second = h.sum(), (h * 2.0).sum()
    first.backward()
    with pytest.raises(GraphError, match="freed"):
        second.backward()
    assert x.grad.tolist() == [2.0, 4.0]


def test_retain_graph_allows_another_sweep():
    """With retain_graph=True the second backward adds the same gradient again."""
    x = leaf([3.0])
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [12.0]


def test_backward_of_a_constant_is_refused():
    """There is nothing to differentiate if no input required a gradient."""
    with pytest.raises(GraphError, match="nothing to differentiate"):
        (mv.Tensor([1.0]) * 2.0).sum().backward()


def test_grad_by_a_constant_is_refused():
    """grad() by a tensor outside the graph says what it can differentiate by."""
    x = leaf([1.0])
    with pytest.raises(GraphError, match="requires_grad=True"):
        mv.grad(x.sum(), mv.Tensor([1.0]))


def test_a_hook_sees_the_gradient_once_per_sweep():
    """The hook of a tensor used twice gets the summed gradient, once; None leaves it as it is."""
    x = leaf([1.0, 2.0])
    h = x * 2.0
    seen = []
    h.register_hook(lambda g: seen.append(g.tolist()))
    (h * 3.0 + h * 4.0).sum().backward()
    assert seen == [[7.0, 7.0]] and x.grad.tolist() == [14.0, 14.0]


def test_a_hook_replaces_the_gradient_and_can_be_removed():
    """What a hook returns goes on in its place; after removal it is not called any more."""
    x = leaf([1.0, 2.0])
    h = x * 2.0
    remove = h.register_hook(lambda g: g * 100.0)
    y = h.sum()
    assert mv.grad(y, x)[0].tolist() == [200.0, 200.0]
    remove()
    assert mv.grad(y, x)[0].tolist() == [2.0, 2.0]


def test_a_leaf_hook_acts_before_accumulation():
    """A hook on a leaf clips what is added to .grad."""
    x = leaf([10.0, -10.0])
    x.register_hook(lambda g: np.clip(g, -1.0, 1.0))
    (x * x).sum().backward()
    assert x.grad.tolist() == [1.0, -1.0]


def test_hooks_and_retained_gradients_need_a_graph():
    """A constant has no gradient to hook or to retain."""
    for verb in ("register_hook", "retain_grad"):
        with pytest.raises(GraphError, match=rf"{verb}\(\) needs a tensor with requires_grad"):
            getattr(mv.Tensor([1.0]), verb)(*([print] if verb == "register_hook" else []))


def test_gradients_have_their_operands_dtype():
    """A float32 leaf in a float64 computation gets a float32 gradient."""
    x = mv.Tensor([1.0, 2.0], requires_grad=True)
    (x * np.array([3.0, 4.0])).sum().backward()
    assert x.dtype == np.float32 and x.grad.dtype == np.float32 and x.grad.tolist() == [3.0, 4.0]


def test_a_chain_of_20000_ops_works_and_is_freed():
    """Forward, backward and freeing of a chain of 20,000 ops need no recursion; (1.0001)^20000 comes out."""
    x = leaf(1.0)
    h = x
    for _ in range(20_000):
        h = h * 1.0001
    h.backward(retain_graph=True)
    assert np.isclose(x.grad, 1.0001**20_000, rtol=1e-10)
    del h  # frees 20,000 nodes, one inside the other
    h = x
    for _ in range(20_000):
        h = ops.tanh(h)
    h.backward()
    assert 0 < x.grad.item() < 1.0001**20_000 + 1e-3
