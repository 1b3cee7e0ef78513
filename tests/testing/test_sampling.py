"""Where gradients are compared: no wrong element hides, the step is measured, and kinks are named and counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minivgg import nn, ops
from minivgg.autograd.core import Op, Tensor, op
from minivgg.autograd.mode import no_grad
from minivgg.testing import Outcome, check_gradients, check_model, pattern

RNG = np.random.default_rng(2)


@pytest.mark.parametrize("seed", range(20))
def test_one_wrong_element_of_a_large_weight_is_found_and_named(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """One of 589,824 elements, anywhere, doubled: the report is not ok and names its index with the ratio 2."""
    rng = np.random.default_rng(seed)
    x, w = rng.standard_normal((2, 64)), rng.standard_normal((9216, 64)) * 0.02
    place = tuple(int(rng.integers(n)) for n in w.shape)
    right = ops.Linear.grad_w

    def wrong(self: Any, gy: Any, x: Any) -> Any:
        g = right(self, gy, x)
        g[place] *= 2.0
        return g

    monkeypatch.setattr(ops.Linear, "grad_w", wrong)
    report = check_gradients(lambda w: ops.linear(x, w), w, order=1, seed=seed, coordinates=4, directions=1)
    assert not report.ok
    found = next(c for s in report.sections for c in s.outcome.wrong if c.where == f"w[{place[0]}, {place[1]}]")
    assert found.analytic / found.numeric == pytest.approx(2.0, rel=1e-6)


def test_the_probability_of_missing_one_wrong_element_is_stated() -> None:
    """At most 1e-4 by default; an input that is compared element by element hides nothing."""
    x, w = RNG.standard_normal((2, 64)), RNG.standard_normal((512, 64))
    report = check_gradients(lambda w: ops.linear(x, w), w, order=1, coordinates=4)
    assert report.ok and 0.0 <= report.missed <= 1e-4
    assert "one element lost or doubled would be missed with probability" in str(report)
    small = check_gradients(ops.tanh, RNG.standard_normal(3), order=1)
    assert small.missed == 0.0 and "would be missed" not in str(small)


def test_blocks_are_halved_until_little_could_hide() -> None:
    """Gradients over twelve orders of magnitude: the small ones would hide beside the large ones in one block."""
    x = RNG.standard_normal(2000) * 10.0 ** np.linspace(-12, 0, 2000)
    coarse, fine = (check_gradients(lambda x: (x * x).sum(), x, order=1, coordinates=4, miss=miss) for miss in (1.0, 1e-3))
    assert coarse.ok and fine.ok
    assert fine.missed < coarse.missed
    assert len(fine.sections[0].outcome.comparisons) > len(coarse.sections[0].outcome.comparisons)


def test_the_step_follows_the_function() -> None:
    """A linear map takes the largest step, a smooth one a middle one, one near kinks a small one; the report shows it."""
    steps = [
        check_gradients(f, 2.0 + 0.01 * RNG.standard_normal((3, 4)), order=1).sections[0].outcome.step
        for f in (lambda x: 3.0 * x.sum(0), lambda x: ops.tanh(200.0 * (x - 2.0)), lambda x: ops.relu(x) * x)
    ]
    assert steps[0] >= 1e-3 > steps[1] and steps[2] == 1e-5


def test_small_functions_are_not_waved_through() -> None:
    """Values of 1e-12 and of 1e-150: what is allowed follows the function's size, so a halved gradient is still wrong."""
    x = RNG.standard_normal(4)
    for size in (1e-12, 1e-20, 1e-150):
        assert check_gradients(lambda x, size=size: x * x * size, x, order=1).ok
        assert not check_gradients(lambda x, size=size: x * x.detach() * size, x, order=1).ok


def test_what_drowns_in_noise_is_not_proved() -> None:
    """Beside a constant of 1e14, and at 1e20, rounding is larger than the derivative: neither right nor wrong is proved."""
    x = RNG.standard_normal(4)
    for f, at in ((lambda x: x * 0.5 + 1e14, x), (lambda x: x * x, x * 1e20)):
        report = check_gradients(f, at, order=1)
        assert not report.ok and not any(s.outcome.wrong for s in report.sections) and "not resolved" in str(report)


def test_a_weak_input_beside_a_strong_one_is_seen() -> None:
    """A derivative of 1e-11 beside one of 1: half of it is wrong, not noise."""
    a, b = RNG.standard_normal((2, 4))
    assert check_gradients(lambda a, b: (a * 1.0, b * b * 1e-11), a, b, order=1).ok
    assert not check_gradients(lambda a, b: (a * 1.0, b * b.detach() * 1e-11), a, b, order=1).ok


def test_a_pole_near_by_is_no_proof() -> None:
    """exp(−(x·1e4)²) at 3e-5: steps that jump over the bump look settled, smaller ones tell otherwise."""
    report = check_gradients(lambda x: ops.exp(-((x * 1e4) ** 2)), np.array([3e-5]), order=1)
    assert not any(s.outcome.wrong for s in report.sections)


def test_a_check_inside_no_grad_is_the_same_check() -> None:
    """Graphs are recorded inside a check, whatever surrounds it."""
    with no_grad():
        assert check_gradients(lambda x: x * x, RNG.standard_normal(3)).ok
        assert not check_gradients(lambda x: x * x.detach(), RNG.standard_normal(3)).ok


def test_the_second_of_several_results_is_swept_repeatedly_too() -> None:
    """A rule that is right once, behind the second result."""

    class Once(Op):
        """y = 3x."""

        def forward(self, x: Any) -> Any:
            return x * 3.0

        def grad_x(self, gy: Any) -> Any:
            self.calls = getattr(self, "calls", 0) + 1
            return gy * (3.0 if self.calls == 1 else 4.0)

    Op.registry.remove(Once)
    assert not check_gradients(lambda x: (x * 2.0, Once()(x)), RNG.standard_normal(3), order=1).ok


def test_several_results_are_checked_together() -> None:
    """A function may return a tuple; a wrong gradient of the second result is found, at both orders."""
    x = RNG.standard_normal((2, 3))
    assert check_gradients(lambda x: (ops.exp(x), x.sum(0)), x).ok
    report = check_gradients(lambda x: (x * 1.0, x * x.detach()), x)
    assert not report.ok and [s.title for s in report.sections if s.outcome.wrong] == ["order 1, reference", "order 2, reference"]


def test_rules_that_are_not_linear_in_the_cotangent_are_seen_output_by_output() -> None:
    """A rule that clips gy passes for small cotangents, and for a basis of them; random ones, and their doubles, tell."""

    @op
    class Clipped(Op):
        """y = 3x, with a bounded gy."""

        def forward(self, x: Any) -> Any:
            return 3.0 * x

        def grad_x(self, gy: Any) -> Any:
            return 3.0 * ops.where(abs_of(gy) < 1.5, gy, 1.5)

    def abs_of(x: Any) -> Any:
        return np.abs(x.data if isinstance(x, Tensor) else x)

    report = check_gradients(Clipped(), np.ones(8), order=1)
    Op.registry.remove(Clipped)
    assert not report.ok and any(s.title.startswith("repeated") and s.outcome.wrong for s in report.sections)


def test_a_function_whose_domain_ends_near_by_is_checked_inside() -> None:
    """The root of 0.002: larger steps leave its domain, which is no mismatch."""
    report = check_gradients(ops.sqrt, np.array([2e-3]), order=1)
    assert report.ok, str(report)
    assert report.sections[0].outcome.step < 1e-3


def test_a_selection_by_a_mask_is_a_kink() -> None:
    """`where(x > 0, …)` has no ReLU, but its mask, a constant to the engine, tells where it decides."""
    x = np.array([1e-6, 1.0, -2.0])
    report = check_gradients(lambda x: ops.where(x > 0, x * 2.0, x * -1.0), x, order=1)
    assert report.ok and any("kink at Where[0], met at x[0]" in kink for kink in report.kinks)


def test_ones_own_op_says_what_it_decides() -> None:
    """An op with a method `decisions` is resampled at its kinks; without it the same op would be called wrong."""

    @op
    class Abs(Op):
        """y = |x|."""

        def forward(self, x: Any) -> Any:
            return np.abs(x)

        def grad_x(self, gy: Any, x: Any) -> Any:
            return gy * np.sign(x)

        def decisions(self, x: Any) -> Any:
            return x > 0

    x = np.array([1e-7, 1.0, -2.0])
    report = check_gradients(Abs(), x, order=1)
    assert report.ok and any("kink at Abs[0]" in kink for kink in report.kinks)
    del Abs.decisions
    assert not check_gradients(Abs(), x, order=1).ok
    Op.registry.remove(Abs)


def test_a_kink_in_a_layer_is_named_by_the_layer() -> None:
    """The place is the layer's path and the element: "kink at features.2[…]"."""
    model = nn.Module()
    model.features = nn.Sequential(nn.Linear(1, 1), nn.ReLU())
    model.features[0].weight.data[...] = 1.0
    model.forward = model.features
    report = check_gradients(model.to(dtype="float64"), np.array([[1.0], [1e-7], [-2.0]]), order=1)
    assert report.ok and any(kink.startswith("kink at features.1[1, 0], met at ") for kink in report.kinks)


def test_decisions_whose_number_changes_are_a_kink() -> None:
    """A selection of another length, by a mask made from x, is another branch."""
    x = np.array([1e-7, 1.0, -2.0])
    report = check_gradients(lambda x: ops.index(x, x > 0).sum(), x, order=1)
    assert report.ok and report.kinks


def test_a_model_is_checked_at_order_two_as_well() -> None:
    """Hessian-vector products of a miniature VGG, by parameters and images."""
    report = check_model("vgg11_bn", order=2, coordinates=4, directions=1)
    assert report.ok, str(report)
    assert {s.title.split(",")[0] for s in report.sections} == {"order 1", "order 2", "repeated"}


def test_layers_of_ones_own_are_functions_too() -> None:
    """A module is called like a function; its input is named after forward's parameter or its position."""
    report = check_gradients(nn.Sequential(nn.Linear(3, 2), nn.ReLU()).to(dtype="float64"), RNG.standard_normal((2, 3)), order=1)
    assert report.ok


def test_many_outputs_are_compared_by_random_cotangents_alone() -> None:
    """Six inputs with 120 outputs: no Jacobian is built, the elements are still compared."""
    x = RNG.standard_normal((6, 1))
    report = check_gradients(lambda x: ops.exp(x) * np.ones((6, 20)), x, order=1)
    assert report.ok and report.sections[0].outcome.coordinates == 6
    assert not any("to output" in c.where for c in report.sections[0].outcome.comparisons)


def test_a_function_that_is_zero_is_right_up_to_rounding() -> None:
    """log Σ soft-max is 0 everywhere: what is left of value and gradient is rounding, and no contradiction."""
    for seed in range(20):
        x = np.random.default_rng(seed).standard_normal(3)
        report = check_gradients(lambda x: ops.logsumexp(ops.log_softmax(x)), x, seed=seed)
        assert report.ok, str(report)


def test_a_result_cut_off_from_all_inputs_is_wrong() -> None:
    """Nothing was recorded: the gradient 0 is compared with the differences, and is wrong."""
    report = check_gradients(lambda x: Tensor(x.data * 2.0), RNG.standard_normal(3), order=1)
    assert not report.ok and "detached operand" in str(report)


def test_a_branch_on_values_is_a_kink() -> None:
    """A function that takes another branch decides about other things there, or about more, or returns another shape, or
    refuses the point."""

    def other_decisions(x: Tensor) -> Tensor:
        return ops.relu(x).sum() if x.data[0] > 0 else ops.relu(ops.concatenate([x, x])).sum()

    def more_decisions(x: Tensor) -> Tensor:
        return ops.relu(x).sum() if x.data[0] > 0 else ops.relu(ops.relu(x)).sum()

    def refusal(x: Tensor) -> Tensor:
        if x.data[0] <= 0:
            raise ValueError("x must be positive")
        return ops.exp(x)

    found = {f: check_gradients(f, np.array([1e-7, 1.0, 2.0]), order=1).kinks for f in (other_decisions, more_decisions, refusal)}
    assert any("(of another shape)" in kink for kink in found[other_decisions])
    assert any("takes another path" in kink for kink in found[more_decisions])
    assert any("raises ValueError" in kink for kink in found[refusal])


def test_the_pattern_of_a_function_lists_its_decisions() -> None:
    """Place and decisions of every op with kinks, of one result or several."""
    x = Tensor(np.array([1.0, -1.0]), requires_grad=True)
    assert [(place, made.tolist()) for place, made in pattern(ops.relu, x)] == [("Relu", [True, False])]
    assert len(pattern(lambda x: (ops.relu(x), ops.relu(-x)), x)) == 2
    assert pattern(ops.exp, x) == []


def test_equal_arrays_differ_by_shape_too() -> None:
    """A comparison of arrays of two shapes fails; one of empty arrays compares nothing."""
    outcome = Outcome()
    outcome.equal("y", np.ones(2), np.ones(3), 1.0)
    assert not outcome.ok and "shape (2,) against (3,)" in outcome.wrong[0].where
    outcome = Outcome()
    outcome.equal("y", np.ones(0), np.ones(0), 1.0)
    assert outcome.comparisons == [] and not outcome.ok
