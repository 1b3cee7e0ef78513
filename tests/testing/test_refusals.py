"""What cannot be checked is named for what it is, with the remedy: never a pass, never a mismatch."""

from __future__ import annotations

import operator
import re
from typing import Any

import numpy as np
import pytest

from minivgg import nn, ops
from minivgg.autograd import mode
from minivgg.autograd.core import Op, Tensor, op
from minivgg.backend.random import stream
from minivgg.errors import ConfigError, GraphError, NumericalError
from minivgg.testing import check_gradients, check_model

RNG = np.random.default_rng(0)


def refused(error: type[Exception], match: str, f: Any, *inputs: Any, **options: Any) -> None:
    """check_gradients raises `error` with a message that matches."""
    with pytest.raises(error, match=match):
        check_gradients(f, *inputs, **options)


def test_another_precision_is_named_with_the_conversion() -> None:
    """float32 and float16 drown the difference in rounding; complex numbers are not the engine's."""
    refused(
        ConfigError, r"finite differences need float64 inputs, but x is float32.*x\.astype\('float64'\)", ops.exp, np.ones(2, np.float32)
    )
    refused(ConfigError, "x is float16", ops.exp, np.ones(2, np.float16))
    refused(ConfigError, "x is complex128", ops.exp, np.ones(2, complex))


def test_whole_numbers_alone_leave_nothing_to_differentiate() -> None:
    """Integers, truths, Python numbers and nothing at all are listed by name and kind."""
    refused(GraphError, r"nothing to differentiate: x is int64 \(2,\)", ops.exp, np.ones(2, np.int64))
    refused(GraphError, r"nothing to differentiate: x is bool \(2,\)", ops.exp, np.ones(2, bool))
    refused(GraphError, "nothing to differentiate: x is float", ops.exp, 1.0)
    refused(GraphError, "nothing to differentiate: there are none", lambda: Tensor(1.0))
    refused(GraphError, "with elements", ops.exp, np.ones((2, 0)))


def test_overlapping_memory_is_named() -> None:
    """A broadcast view, windows that overlap, and two inputs that share memory: to move one element would move another."""
    refused(ConfigError, r"elements of x \(3, 2\) share memory", ops.exp, np.broadcast_to(np.ones(2), (3, 2)))
    windows = np.lib.stride_tricks.sliding_window_view(np.arange(5.0), 3)
    refused(ConfigError, r"elements of x \(3, 3\) overlap in memory.*x\.copy\(\)", ops.exp, windows)
    x = RNG.standard_normal(6)
    refused(ConfigError, "x and w share memory", lambda x, w: x[:3] * w, x, x[:3])


def test_a_view_that_does_not_overlap_is_checked() -> None:
    """Transposed and strided views are inputs like others; so are views of one array that do not touch."""
    x = RNG.standard_normal((4, 6))
    assert check_gradients(lambda a, b: a * b, x[::2, :3].T, x[1::2, 3:].T).ok


def test_chance_is_named() -> None:
    """Dropout from a generator that goes on is not a function; from a stream made anew, or in a layer, it is."""
    rng = np.random.default_rng(0)
    x = RNG.standard_normal((4, 5))
    refused(ConfigError, r"not deterministic: called twice .*Fix what it draws", lambda x: ops.dropout(x, 0.5, rng=rng), x)
    assert check_gradients(lambda x: ops.dropout(x, 0.5, rng=stream(0, "mask")), x).ok
    layer = nn.Dropout(0.5)
    assert check_gradients(layer, x).ok  # state is frozen: the layer's counter stands still
    assert layer.calls == 0


def test_a_result_whose_shape_changes_is_chance_too() -> None:
    """A result of another shape at the second call."""
    sizes = iter(range(1, 100))
    refused(ConfigError, "not deterministic", lambda x: ops.concatenate([x] * next(sizes)), np.ones(2))


def test_an_ignored_input_is_named() -> None:
    """A gradient of 0 for an input that the value does not depend on proves nothing."""
    refused(GraphError, "the function ignores its input w", lambda x, w: x * 2.0, np.ones(2), np.ones(3))
    refused(GraphError, "ignores its input x", lambda x: Tensor(np.ones(2), requires_grad=True) * 1.0, np.ones(2))


def test_a_detached_input_is_no_ignored_one() -> None:
    """If the value depends on it the gradient 0 is wrong, and the report says what it looks like."""
    report = check_gradients(lambda x, w: x * w.detach(), np.array([1.0, 2.0]), np.array([0.5, -1.0]), order=1)
    assert not report.ok
    assert any("gradient of w: detached operand" in d for d in report.diagnoses)


def test_nan_and_inf_are_named_where_they_arise() -> None:
    """In an input, in the value, or only in the gradient; none of them is a mismatch, and no warning escapes."""
    refused(NumericalError, r"x itself holds NaN or Inf, first at \[1\]", ops.exp, np.array([0.0, np.nan]))
    refused(NumericalError, r"value holds 1 NaN or Inf among 2, first at \[0\]", ops.log, np.array([-1.0, 2.0]))
    refused(NumericalError, r"value holds 2 NaN or Inf", lambda x: x / 0.0, np.array([1.0, 2.0]))
    refused(NumericalError, r"gradient of order 1 by x holds NaN or Inf, first at \[0\]", ops.sqrt, np.array([0.0, 2.0]))


def test_float32_inside_is_named() -> None:
    """A result of another dtype than float64; a model left in float32."""
    refused(ConfigError, "result is float32 though its inputs are float64", lambda x: Tensor.of(np.float32(x.data), x.node), np.ones(2))


def test_rounding_inside_is_neither_a_pass_nor_a_mismatch() -> None:
    """A function that passes through float32 and back: the differences do not settle, and the report says so."""

    @op
    class Rounded(Op):
        """y = x², rounded to float32 on the way."""

        def forward(self, x: Any) -> Any:
            return (x * x).astype(np.float32).astype(np.float64)

        def grad_x(self, gy: Any, x: Any) -> Any:
            return 2.0 * gy * x

    report = check_gradients(Rounded(), np.array([0.3, 1.7]), order=1)
    Op.registry.remove(Rounded)
    assert not report.ok and not any(section.outcome.wrong for section in report.sections)
    assert str(report).startswith("NOT PROVED") and "the differences do not settle" in str(report)


def test_an_empty_result_is_named() -> None:
    """Nothing of it depends on anything."""
    refused(GraphError, r"result \(0,\) has no elements", lambda x: x[:0], np.ones(2))


def test_a_function_that_writes_into_its_input_is_named() -> None:
    """By the tensor's counter, or by the values if it went behind the tensor's back."""

    def behind(x: Tensor) -> Tensor:
        y = x * 1.0
        x.data[0] += 1.0
        return y

    def through(x: Tensor) -> Tensor:
        with mode.no_grad():
            x[0] = x.data[0] * 1.0
        return x * 2.0

    refused(ConfigError, "writes into its input x", behind, np.ones(2))
    refused(ConfigError, "writes into its input x", through, np.ones(2))


def test_results_that_are_no_tensors_are_named() -> None:
    """An array, or one among several."""
    refused(GraphError, "must return a Tensor .* but returned ndarray", lambda x: x.data, np.ones(2))
    refused(GraphError, "but returned float", lambda x: (x, 1.0), np.ones(2))


def test_impossible_options_are_named() -> None:
    """An order that is not there, and names that do not fit the inputs."""
    refused(ConfigError, "order must be 1 or 2, but is 3", ops.exp, np.ones(2), order=3)
    refused(ConfigError, "one name for each of the 1 inputs, but has 2", ops.exp, np.ones(2), names=["a", "b"])


@pytest.mark.parametrize(
    ("option", "value"),
    [("coordinates", -1), ("coordinates", 1.5), ("directions", -1), ("seed", "abc"), ("miss", 2), ("miss", "a"), ("order", [1])],
)
def test_options_out_of_range_are_named(option: str, value: Any) -> None:
    """Each with the value that was given."""
    refused(ConfigError, f"{option} must be .* is {re.escape(repr(value))}", ops.exp, np.ones(2), **{option: value})


def test_what_is_no_function_is_named() -> None:
    """An op's class in place of an op, and inputs in place of the function; a built-in without a signature is one."""
    refused(ConfigError, r"got <class .*Relu.*Pass an op, Relu\(…\), not its class", ops.Relu, np.ones(2))
    refused(ConfigError, "The function comes first, then its inputs", np.ones(2), ops.exp)
    assert check_gradients(operator.itemgetter(0), np.ones((2, 2)), order=1).ok


def test_constants_arrive_as_they_were_given() -> None:
    """A Tensor of whole numbers stays a Tensor, a NumPy number is differentiated like an array."""
    targets = Tensor(np.array([0, 1, 1]))
    assert check_gradients(lambda x, t: ops.cross_entropy(x, t.detach()), RNG.standard_normal((3, 2)), targets).ok
    assert not check_gradients(lambda x, w: x * w.detach(), np.ones(2), np.float64(2.0), order=1).ok


def test_another_point_may_be_refused() -> None:
    """A function that is defined above 5 only is checked there."""

    def above_five(x: Tensor) -> Tensor:
        if (x.data < 5).any():
            raise ValueError("too small")
        return ops.log(x)

    assert check_gradients(above_five, np.array([6.0, 7.0, 8.0])).ok


def test_a_rule_that_returns_no_array_is_named() -> None:
    """With the operand's shape and what was returned."""

    class Nothing(Op):
        """y = 3x."""

        def forward(self, x: Any) -> Any:
            return x * 3.0

        def grad_x(self, gy: Any) -> Any:
            return None

    Op.registry.remove(Nothing)
    refused(GraphError, r"a rule must return an array or a tensor of its operand's shape \(2,\), but returned None", Nothing(), np.ones(2))


def test_a_model_is_checked_on_one_image_or_more() -> None:
    """A batch of none has no loss."""
    with pytest.raises(ConfigError, match="batch must be at least one image, but is 0"):
        check_model("vgg11", batch=0)


def test_where_every_sample_meets_a_kink_nothing_is_proved() -> None:
    """A ReLU at 0 alone: no pass, no mismatch."""
    report = check_gradients(ops.relu, np.zeros(1), order=1)
    assert not report.ok and not any(section.outcome.wrong for section in report.sections)
    assert "nothing to compare: every sample met a kink" in str(report)
