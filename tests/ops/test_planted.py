"""The suite notices: every rule of every op, made wrong in four ways, is rejected by the gradient check."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minivgg import ops
from minivgg.autograd.core import Op, Tensor, broadcast_to
from minivgg.testing import check_gradients

RULES = [
    pytest.param(cls, name, id=f"{cls.__name__}.{name}")
    for cls in Op.registry
    if cls.__module__.startswith("minivgg.")
    for name in sorted(n for n in dir(cls) if n.startswith("grad_"))
]


def half(g: Any) -> Any:
    """Scaled by ½."""
    return g * 0.5


def slightly_large(g: Any) -> Any:
    """Scaled by 1.001."""
    return g * 1.001


def cut(g: Any) -> Any:
    """Right in value, but cut from the graph of the gradient."""
    return Tensor(g.data) if isinstance(g, Tensor) else g


def wrong_axis(g: Any) -> Any:
    """Summed over its longest axis, and repeated along it."""
    if g.ndim == 0 or max(g.shape) < 2:
        return g
    axis = int(np.argmax(g.shape))
    return broadcast_to(g.sum(axis, keepdims=True), g.shape)


def plant(monkeypatch: pytest.MonkeyPatch, cls: type[Op], name: str, bug: Callable[[Any], Any]) -> None:
    """Replace the rule by one whose result is passed through `bug`."""
    rule = getattr(cls, name)

    @functools.wraps(rule)
    def planted(self: Op, *args: Any) -> Any:
        return bug(rule(self, *args))

    monkeypatch.setattr(cls, name, planted)


def rejected(cls: type[Op], order: int) -> bool:
    """Whether the check fails, by comparison, for one of the op's examples."""
    return any(
        not check_gradients(op, *arrays, order=order, coordinates=12, directions=2).ok
        for op, arrays in cls.examples(np.random.default_rng(0))
    )


@pytest.mark.parametrize("bug", [half, slightly_large, wrong_axis])
@pytest.mark.parametrize(("cls", "name"), RULES)
def test_wrong_values_are_rejected_at_order_one(monkeypatch: pytest.MonkeyPatch, cls: type[Op], name: str, bug: Any) -> None:
    """A rule scaled by ½ or 1.001, or summed over a wrong axis, fails the first-order comparison."""
    plant(monkeypatch, cls, name, bug)
    assert rejected(cls, order=1)


@pytest.mark.parametrize(("cls", "name"), RULES)
def test_a_rule_cut_from_the_graph_is_rejected_at_order_two(monkeypatch: pytest.MonkeyPatch, cls: type[Op], name: str) -> None:
    """A rule whose values are right but whose result is a constant passes order 1 and fails order 2."""
    plant(monkeypatch, cls, name, cut)
    assert not rejected(cls, order=1)
    assert rejected(cls, order=2)


def test_a_good_kernel_hides_a_wrong_rule_and_the_check_still_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """BatchNorm.grad_x scaled by ½: the section with kernels is right, the reference section is wrong, the report is not ok."""
    plant(monkeypatch, ops.BatchNorm, "grad_x", half)
    op, arrays = next(iter(ops.BatchNorm.examples(np.random.default_rng(0))))
    report = check_gradients(op, *arrays, order=1)
    verdicts = {section.kernels: section.ok for section in report.sections if section.title.startswith("order 1")}
    assert verdicts == {True: True, False: False}
    assert not report.ok


def test_a_cotangent_of_ones_would_be_blind() -> None:
    """Soft-max scaled wrongly has zero gradient of its sum either way: only the random cotangent sees the bug."""
    x = Tensor(np.array([[0.3, -1.0, 2.0]]), requires_grad=True)
    ops.softmax(x).sum().backward()
    assert np.abs(x.grad).max() < 1e-15
