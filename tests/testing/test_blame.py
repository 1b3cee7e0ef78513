"""`blame` names the one op whose rule is wrong, wherever in a network it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minivgg import models, ops
from minivgg.autograd.core import Op, Tensor, backward, op
from minivgg.errors import ConfigError, GradientError, GraphError
from minivgg.fast import kernels, overlay  # noqa: F401  importing the list fills the table
from minivgg.testing import blame

RNG = np.random.default_rng(3)


def network(name: str = "vgg11_bn", dtype: str = "float32") -> Callable[[], Tensor]:
    """The loss of a miniature VGG, as a function without arguments."""
    model = models.build(name, num_classes=3, in_channels=1, image_size=32, width=1 / 32, head="linear").to(dtype=dtype)
    images, targets = RNG.standard_normal((2, 1, 32, 32)).astype(dtype), np.array([0, 2])
    return lambda: ops.cross_entropy(model(Tensor(images)), targets)


def two_convolutions() -> Tensor:
    """A loss behind two convolutions, of which second derivatives are quick."""
    rng = np.random.default_rng(1)
    x, *filters = (rng.standard_normal(shape).astype("float32") for shape in ((2, 1, 8, 8), (3, 1, 3, 3), (3, 3, 3, 3)))
    first, second = (Tensor(w, requires_grad=True) for w in filters)
    return ops.cross_entropy(ops.conv2d(ops.tanh(ops.conv2d(x, first)), second).sum((2, 3)), np.array([0, 2]))


def cut(rule: Any) -> Any:
    """The rule, right in value but cut from the graph of the gradient."""

    def planted(self: Any, gy: Any, x: Any, w_shape: Any) -> Any:
        g = rule(self, gy, x, w_shape)
        return Tensor(g.data) if isinstance(g, Tensor) else g

    return planted


def test_a_right_network_blames_nobody() -> None:
    """Every op of a float32 VGG is checked alone, at its own values: all are right, at both orders; state stays as it is."""
    loss = network()
    report = blame(loss)
    assert report.ok and report and report.culprits == {} and report.unchecked == []
    assert str(report).startswith(f"all {len(report.suspects)} ops that could be checked are right")
    report.raise_if_failed()


@pytest.mark.parametrize("recorded", [True, False], ids=["tensor", "function"])
def test_the_one_wrong_rule_is_named_with_its_layer(monkeypatch: pytest.MonkeyPatch, recorded: bool) -> None:
    """ReLU with half its gradient: it alone is named, with the diagnosis, at the first batch norm that it is fused with; from a
    tensor or a function."""
    monkeypatch.setattr(ops.Relu, "grad_x", lambda self, gy, y: gy * (y > 0) * 0.5)
    loss = network()
    report = blame(loss() if recorded else loss, order=1)
    assert list(report.culprits) == ["Relu.grad_x"] and not report.ok
    assert str(report).startswith("Relu.grad_x is wrong: Relu() at features.1, step 1, and in 7 more calls")
    with pytest.raises(GradientError, match="factor ½"):
        report.raise_if_failed()


def test_a_rule_that_only_second_derivatives_see_is_named() -> None:
    """The filter gradient of a convolution, cut from the graph: right at order 1, wrong at order 2, and the rule is named."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ops.Conv2d, "grad_w", cut(ops.Conv2d.grad_w))
        report = blame(two_convolutions)
    assert list(report.culprits) == ["Conv2d.grad_w"]
    assert not any(suspect.first_order for suspect in report.suspects)


def test_a_wrong_rule_does_not_drag_down_those_that_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules are written with ops: a wrong multiplication spoils second derivatives of tanh, but it is what is wrong."""
    monkeypatch.setattr(ops.Multiply, "grad_x", lambda self, gy, w: 2.0 * gy * w if not isinstance(gy, Tensor) else gy * w * 2.0)
    x = Tensor(RNG.standard_normal(4), requires_grad=True)
    report = blame((ops.tanh(x) * np.arange(4.0)).sum())
    assert list(report.culprits) == ["Multiply.grad_x"]


def test_a_wrong_kernel_is_told_from_a_wrong_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel for the backward pass of batch norm and ReLU, halved: the rules are right."""

    def wrong(call: Any, gy: Any, saved: Any, shapes: Any, wanted: Any) -> list[Any]:
        operands = [saved[name] for name in ("x", "gamma", "beta")]
        gx = call.grad_x(gy, *operands) * 0.5 if wanted[0] else None
        return [gx, call.grad_gamma(gy, *operands) if wanted[1] else None, call.grad_beta(gy, *operands) if wanted[2] else None]

    monkeypatch.setitem(overlay.table, (ops.BatchNormRelu, "backward", "numpy"), [overlay.Kernel(wrong, lambda *_: True, 1e-5)])
    report = blame(network(), order=1)
    assert list(report.culprits) == ["the kernel of BatchNormRelu"]


def test_ones_own_op_is_blamed_like_any_other() -> None:
    """An op of one's own, with two operands and a constant: the rule of the second is named."""

    @op
    class Mix(Op):
        """y = a·x + (1 − a)·w."""

        a: float

        def forward(self, x: Any, w: Any) -> Any:
            return self.a * x + (1.0 - self.a) * w

        def grad_x(self, gy: Any) -> Any:
            return gy * self.a

        def grad_w(self, gy: Any) -> Any:
            return gy * (1.0 + self.a)

    Op.registry.remove(Mix)
    x, w = (Tensor(RNG.standard_normal(5), requires_grad=True) for _ in range(2))
    report = blame((Mix(0.25)(ops.exp(x), w) + 1.0).sum())
    assert list(report.culprits) == ["Mix.grad_w"]


def test_a_variadic_op_is_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Concatenation that gives every operand twice its part, with a constant among the operands."""
    right = ops.Concatenate.grad_xs
    monkeypatch.setattr(ops.Concatenate, "grad_xs", lambda self, gy, index, xs_shape: right(self, gy, index, xs_shape) * 2.0)
    x = Tensor(RNG.standard_normal(3), requires_grad=True)
    assert list(blame(ops.concatenate([ops.exp(x), np.ones(2), x]).sum()).culprits) == ["Concatenate.grad_xs"]


def test_values_that_the_graph_dropped_are_computed_again() -> None:
    """Additions keep nothing: their operands come from before, dropped constants count as 0, a missing bias stays missing."""
    x = Tensor(RNG.standard_normal((1, 2, 4, 4)), requires_grad=True)
    w = Tensor(RNG.standard_normal((4, 1, 3, 3)), requires_grad=True)
    y = ops.conv2d(x + 3.0, w, groups=2)
    loss = ((y + np.ones(2)) * 2.0).sum()
    del y
    report = blame(loss)
    assert report.ok, str(report)


def test_values_that_cannot_be_found_are_said() -> None:
    """An input that died and that no rule kept is not made up: the ops that read it are listed; a function finds them."""

    def compute() -> Tensor:
        x = Tensor(np.ones(3), requires_grad=True)
        return ops.exp(x + 1.0).sum()

    lost = compute()
    assert [type(s.op).__name__ for s in blame(lost).unchecked] == ["Add", "Exp"]
    assert "a value that it read was dropped. Pass a function: blame(lambda: loss(…))" in str(blame(lost))
    assert not blame(lost).ok and blame(compute).ok


def test_a_constant_that_the_result_depends_on_is_not_guessed() -> None:
    """The numerator of a quotient is dropped, since its rule reads the quotient: the division is listed as unchecked."""
    w = Tensor(RNG.uniform(1.0, 2.0, 3), requires_grad=True)
    assert [type(s.op).__name__ for s in blame((np.ones(3) / w).sum()).unchecked] == ["Divide"]


def test_an_op_at_nan_is_said() -> None:
    """A value of NaN cannot be checked; the others are."""
    x = Tensor(np.array([-1.0, 2.0]), requires_grad=True)
    with np.errstate(invalid="ignore"):
        report = blame(ops.exp(ops.log(x)).sum())
    assert {type(s.op).__name__ for s in report.unchecked} == {"Log", "Exp", "Sum"}
    assert "NaN or Inf" in str(report)


def test_what_fails_without_a_culprit_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a kink only there is nothing to compare: not proved, and nobody is blamed."""
    x = Tensor(np.zeros(1), requires_grad=True)
    report = blame(ops.relu(x).sum())
    assert not report.ok and report.culprits == {} and "no rule stands out, but 1 calls failed" in str(report)


def test_a_rule_that_raises_does_not_end_the_search() -> None:
    """The call is listed as unchecked, with what was raised; nobody says that all is right."""

    class Raising(Op):
        """y = 3x."""

        def forward(self, x: Any) -> Any:
            return x * 3.0

        def grad_x(self, gy: Any) -> Any:
            raise KeyError("slip")

    Op.registry.remove(Raising)
    x = Tensor(RNG.standard_normal(3), requires_grad=True)
    report = blame(lambda: Raising()(x).sum(), order=1)
    assert not report.ok and "KeyError: 'slip'" in str(report)
    assert str(report).startswith("all 1 ops that could be checked are right, but others could not")


def test_without_a_graph_there_is_nothing_to_blame() -> None:
    """A constant, and a graph that backward() has freed."""
    for loss in (Tensor(1.0), Tensor(1.0, requires_grad=True)):
        with pytest.raises(GraphError, match="there is no graph otherwise"):
            blame(loss)
    with pytest.raises(GraphError, match="that computes one, but got NoneType"):
        blame(lambda: None)
    with pytest.raises(ConfigError, match="order must be 1 or 2, but is 3"):
        blame(Tensor(1.0), order=3)
    x = Tensor(np.ones(2), requires_grad=True)
    loss = ops.exp(x).sum()
    backward(loss)
    with pytest.raises(GraphError, match="a backward\\(\\) has freed it"):
        blame(loss)
