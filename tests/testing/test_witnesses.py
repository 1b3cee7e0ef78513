"""The other witnesses: each accepts what is right, rejects what it is there for, and refuses what it cannot judge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minivgg import nn, ops
from minivgg.autograd.core import Op, Tensor
from minivgg.errors import ConfigError, DeviceError, NumericalError, ShapeError
from minivgg.testing import (
    check_adjoint,
    check_backend,
    check_definition,
    check_equivariance,
    check_invariance,
    check_layouts,
    check_linearity,
    check_loss,
    check_norm,
    check_orthogonality,
    check_precision,
)

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 4))
IMAGES, FILTERS, BIAS = RNG.standard_normal((2, 3, 5, 5)), RNG.standard_normal((4, 3, 3, 3)), RNG.standard_normal(4)
CONV = ops.Conv2d((1, 1), (1, 1), (1, 1), 1)


def wrong_half(self: Op, gy: Any) -> Any:
    """A rule: half of gy."""
    return gy * 0.5


# ---------------------------------------------------------------------- adjoint


def test_adjoint_of_each_linear_operand_of_a_convolution() -> None:
    """Linear in x, and in w and b together: two maps, each proved without a step, with kernels where there are any."""
    report = check_adjoint(CONV, IMAGES, FILTERS, BIAS)
    assert report.ok and {s.title.split(",")[0] for s in report.sections} == {"adjoint of the map of x", "adjoint of the map of w"}


def test_adjoint_rejects_a_rule_that_is_not_the_transpose(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negation with half its gradient."""
    monkeypatch.setattr(ops.Negate, "grad_x", wrong_half)
    assert not check_adjoint(ops.Negate(), X).ok


def test_adjoint_of_a_function_needs_linearity() -> None:
    """A linear function with a constant part passes; a product is refused unless told in which factor it is linear."""
    assert check_adjoint(lambda x: 3.0 * x.sum(0) + 1.0, X).ok
    with pytest.raises(ConfigError, match=r"not linear in a, b: .*linear_in=\[\[0\]\]"):
        check_adjoint(lambda a, b: a * b, X, X + 1.0)
    assert check_adjoint(lambda a, b: a * b, X, X + 1.0, linear_in=[[0], [1]]).ok
    with pytest.raises(ConfigError, match="not linear in x"):
        check_adjoint(ops.exp, X)


@pytest.mark.parametrize("sets", [[], [[]], [["u"]], [[-1]], [[2]], [0], [[0, 0]]], ids=str)
def test_adjoint_needs_sets_of_differentiated_inputs(sets: Any) -> None:
    """Positions or names, each once, none empty."""
    with pytest.raises(ConfigError, match=r"linear_in must be sets of differentiated inputs, .* out of \[0, 'a', 1, 'b'\]"):
        check_adjoint(lambda a, b: a * b, X, X + 1.0, linear_in=sets)
    assert check_adjoint(lambda a, b: a * b, X, X + 1.0, linear_in=[["a"], [1]]).ok


def test_adjoint_of_an_op_without_a_linear_operand_is_refused() -> None:
    """Exp declares none."""
    with pytest.raises(ConfigError, match=r"Exp\(\) declares no operands in which it is linear"):
        check_adjoint(ops.Exp(), X)


def test_adjoint_of_a_variadic_op() -> None:
    """Concatenation is linear in all its operands together."""
    assert check_adjoint(ops.Concatenate(0), X, X + 1.0).ok

    class Products(Op):
        """y = x·w, declared linear in nothing."""

        def forward(self, *xs: Any) -> Any:
            return xs[0] * xs[1]

        def grad_xs(self, gy: Any, index: int, xs: Any) -> Any:
            return gy * xs[1 - index]

    Op.registry.remove(Products)
    with pytest.raises(ConfigError, match="declares no operands"):
        check_adjoint(Products(), X, X + 1.0)


# ---------------------------------------------------------------------- definition


def test_definition_sees_value_first_and_second_derivatives(monkeypatch: pytest.MonkeyPatch) -> None:
    """The op's own definition agrees; a wrong spelling, a wrong rule and a rule cut from the graph do not."""
    assert check_definition(ops.Sigmoid(), X).ok
    assert not check_definition(ops.Sigmoid(), X, definition=lambda x: 1.0 / (1.0 + ops.exp(x))).ok
    monkeypatch.setattr(ops.Sigmoid, "grad_x", lambda self, gy, y: gy * (Tensor(y.data) if isinstance(y, Tensor) else y) * (1.0 - y))
    report = check_definition(ops.Sigmoid(), X)
    wrong = [c.where for s in report.sections for c in s.outcome.wrong]
    assert wrong and all("order 2" in where for where in wrong)


def test_definition_must_exist() -> None:
    """An op without one is refused; a function takes one as an argument."""
    with pytest.raises(ConfigError, match=r"Exp\(\) has no method definition"):
        check_definition(ops.Exp(), X)
    assert check_definition(ops.tanh, X, definition=lambda x: 2.0 * ops.sigmoid(2.0 * x) - 1.0).ok


# ---------------------------------------------------------------------- precision


def test_precision_accepts_rounding_and_rejects_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """float32 backward is within 1e-5 of float64's; with a rule that rounds to float16 it is not."""
    conv = lambda x, w, b: CONV(x, w, b)  # noqa: E731
    assert check_precision(conv, IMAGES, FILTERS, BIAS).ok

    def coarse(self: Op, gy: Any, y: Any) -> Any:
        return (gy * (1.0 - y * y)).astype(np.float16).astype(gy.dtype) if gy.dtype == np.float32 else gy * (1.0 - y * y)

    monkeypatch.setattr(ops.Tanh, "grad_x", coarse)
    report = check_precision(ops.tanh, X)
    assert not report.ok and "gradient of x, relative L2 error" in str(report)


def test_precision_goes_around_a_kink_that_rounding_crosses() -> None:
    """1 + 1e-9 is above 1 in float64 and 1 in float32; near by, both are on one side. At 0 alone there is no near by."""
    report = check_precision(lambda x: ops.relu((x + 1e-9) - 1.0), np.array([1.0, 2.0]))
    assert report.ok and any("kink at Relu[0], met by rounding" in kink for kink in report.kinks)
    assert not check_precision(lambda x: ops.relu((x + 1.0 + 1e-9) - 1.0), np.array([0.0])).ok


def test_precision_needs_a_function_that_follows_the_inputs_dtype() -> None:
    """One that holds a float64 array computes in float64 whatever comes in."""
    with pytest.raises(ConfigError, match="result is float64 though its inputs are float32"):
        check_precision(lambda x: x * X, X)


def test_precision_refuses_what_float32_cannot_hold() -> None:
    """Values of 1e300 are infinite there."""
    with pytest.raises(NumericalError, match="leaves the range of float32"):
        check_precision(lambda x: x * x, X * 1e150)


# ---------------------------------------------------------------------- layouts and backends


def test_layouts_reject_a_rule_that_trusts_the_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that reads memory in its order of storage is right for C order alone."""
    assert check_layouts(CONV, IMAGES, FILTERS, None).ok
    monkeypatch.setattr(ops.Exp, "grad_x", lambda self, gy, x: gy * np.exp(x.ravel(order="K").reshape(x.shape)))
    report = check_layouts(ops.exp, X)
    assert not report.ok and "Fortran order: gradient of x" in str(report)


def test_backend_rejects_numpy_functions_and_counts_waits() -> None:
    """On the pretend GPU a function may not reach for NumPy, nor make the host wait."""
    assert check_backend(ops.tanh, X).ok
    with pytest.raises((TypeError, DeviceError)):
        check_backend(lambda x: x * np.ones(4), X)
    report = check_backend(lambda x: x * float(x.data[0, 0] * 0 + 2), X)
    assert not report.ok and "times that the host waited: numeric 0, analytic 1" in str(report)


def test_backend_must_be_known_and_there() -> None:
    """Another name is refused, and so is a GPU that this machine does not have."""
    with pytest.raises(ConfigError, match='backend "cuda" is unknown'):
        check_backend(ops.tanh, X, backend="cuda")


def test_cupy_is_a_backend_where_there_is_one() -> None:
    """The same on a real GPU, or a DeviceError that says why there is none."""
    try:
        assert check_backend(ops.tanh, X, backend="cupy").ok
    except DeviceError as error:
        assert "cannot be used" in str(error)


# ---------------------------------------------------------------------- laws

LOGITS, TARGETS = RNG.standard_normal((4, 3)), np.array([2, 0, 1, 1])


def test_cross_entropy_obeys_the_laws_of_losses() -> None:
    """For the mean, the sum, and one loss an image."""
    for reduction in ("mean", "sum", "none"):
        report = check_loss(lambda x, t, r=reduction: ops.cross_entropy(x, t, reduction=r), LOGITS, TARGETS)
        assert report.ok, str(report)


def test_another_loss_breaks_the_laws() -> None:
    """A plain sum of the targets' logits: the rows of its gradient sum to 1."""
    report = check_loss(lambda x, t: x[np.arange(4), np.asarray(t)].sum(), LOGITS, TARGETS)
    assert any(not s.ok and s.title.startswith("each row of the gradient sums to 0") for s in report.sections)


def test_laws_take_ignored_targets_and_refuse_what_is_no_batch() -> None:
    """Targets that stand for no class keep their number when classes are renamed; shapes that do not fit are named."""
    assert check_loss(lambda x, t: ops.cross_entropy(x, t, ignore_index=-1), LOGITS, Tensor(np.array([2, -1, 1, 0]))).ok
    with pytest.raises(ShapeError, match=r"check_loss needs logits \(N, C\)"):
        check_loss(lambda x, t: ops.cross_entropy(x, t), LOGITS[0], TARGETS)
    with pytest.raises(ShapeError, match="in which no channel is constant"):
        check_norm(ops.BatchNorm(1e-5), np.ones((3, 2)), np.ones(2), np.zeros(2))


def test_layouts_leave_out_broadcast_views_outside_the_domain() -> None:
    """A function that divides by the spread of the rows: equal rows have none."""
    assert check_layouts(lambda x: x / ops.sqrt(((x - x.mean(0)) ** 2).mean(0)), X).ok


def test_batch_norm_obeys_the_laws_of_norms() -> None:
    """Images and plain rows; the layer, too."""
    gamma, beta = RNG.uniform(0.5, 2.0, 3), RNG.standard_normal(3)
    assert check_norm(ops.BatchNorm(1e-7), RNG.standard_normal((4, 3, 2, 2)), gamma, beta).ok
    layer = nn.BatchNorm2d(3).to(dtype="float64")
    assert check_norm(layer, RNG.standard_normal((5, 3, 4, 4))).ok


def test_batch_norm_without_its_mean_term_breaks_one_law(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its gradient has a part along 1: only the law about 1 is broken."""
    right = ops.BatchNorm.grad_x

    def shifted(self: Any, gy: Any, x: Any, gamma: Any) -> Any:
        return right(self, gy, x, gamma) + gy.sum((0, 2, 3), keepdims=True) * 0.1

    monkeypatch.setattr(ops.BatchNorm, "grad_x", shifted)
    report = check_norm(ops.BatchNorm(1e-7), RNG.standard_normal((4, 3, 2, 2)), np.ones(3), np.zeros(3))
    broken = {s.title.split(",")[0] for s in report.sections if not s.ok and s.kernels is False}
    assert broken == {"gradient orthogonal to 1"}


def test_single_laws_accept_and_reject() -> None:
    """Invariance, equivariance, orthogonality and linearity, each with a function that has it and one that has not."""
    order = np.array([2, 0, 1])
    assert check_invariance(ops.softmax, lambda x: x + 5.0, X).ok and not check_invariance(ops.exp, lambda x: x + 5.0, X).ok
    assert check_equivariance(ops.exp, lambda x: x[order], lambda y: y[order], X).ok
    assert not check_equivariance(lambda x: x * np.arange(12.0).reshape(3, 4), lambda x: x[order], lambda y: y[order], X).ok
    rows = [np.eye(3)[:, [i]] for i in range(3)]
    assert check_orthogonality(ops.softmax, lambda x: rows, X).ok and not check_orthogonality(ops.exp, lambda x: rows, X).ok
    assert check_linearity(ops.exp, X).ok


def test_linearity_rejects_a_clipped_cotangent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that bounds gy is right for small ones and no linear map."""
    monkeypatch.setattr(ops.Negate, "grad_x", lambda self, gy: -np.clip(gy, -1.0, 1.0))
    assert not check_linearity(ops.Negate(), X).ok
