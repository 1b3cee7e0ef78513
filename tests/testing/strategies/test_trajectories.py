"""Lives of an optimiser: SGD follows its formulas, a wrong one is noticed, and what is printed runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis.stateful import run_state_machine_as_test

from minivgg.autograd.core import Tensor
from minivgg.optim import SGD
from minivgg.testing.strategies import Run, SGDMachine, Trajectory, trajectories
from minivgg.testing.strategies.plain_sgd import PlainSGD


@settings(max_examples=150)
@given(trajectories())
def test_drawn_trajectories_follow_the_formulas(trajectory: Trajectory) -> None:
    """Parameters and velocities agree with the plain floats after every action."""
    trajectory.run()


def test_the_state_machine_holds() -> None:
    """Rules in any order, with the comparison after each."""
    run_state_machine_as_test(SGDMachine, settings=settings(max_examples=40, stateful_step_count=20))


@pytest.mark.parametrize(
    ("form", "nesterov", "weight", "velocity"),
    [("torch", False, 0.71, 1.9), ("torch", True, 0.539, 1.9), ("paper", False, 0.71, -0.19), ("paper", True, 0.539, -0.19)],
)
def test_the_oracle_does_two_steps_as_worked_by_hand(form: str, nesterov: bool, weight: float, velocity: float) -> None:
    """w = 1, g = 1, η = 0.1, μ = 0.9: v is 1 and 1.9 (torch) or −0.1 and −0.19 (paper); w falls by 0.1 and 0.19, or with
    Nesterov by 0.19 and 0.271."""
    oracle = PlainSGD({"w": [1.0]}, {"w": 0.1}, {"w": 0.0}, 0.9, nesterov, form)
    oracle.step({"w": [1.0]})
    oracle.step({"w": [1.0]})
    assert oracle.weights["w"][0] == pytest.approx(weight, abs=1e-15)
    assert oracle.velocity["w"][0] == pytest.approx(velocity, abs=1e-15)


def test_the_oracle_decays_weights_and_skips_what_has_no_gradient() -> None:
    """w = 2, λ = 0.5, g = 1, η = 0.1: w becomes 2 − 0.1·(1 + 0.5·2) = 1.8; the parameter without a gradient stays."""
    oracle = PlainSGD({"w": [2.0], "u": [3.0]}, {"w": 0.1, "u": 0.1}, {"w": 0.5, "u": 0.5}, 0.0, False, "torch")
    oracle.step({"w": [1.0], "u": None})
    assert oracle.weights == {"w": [1.8], "u": [3.0]}


def test_a_wrong_optimiser_fails_and_shrinks_to_two_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the velocity were forgotten the shortest trajectory to show it has two steps of one number."""
    monkeypatch.setattr(SGD, "_state", lambda self, name, p: np.zeros_like(p.data))

    def fails(trajectory: Trajectory) -> bool:
        run = Run(trajectory.parameters, trajectory.options, trajectory.second)
        for action, value in trajectory.actions:
            run.act(action, value)
        return any(not np.allclose(t.data.ravel(), run.oracle.weights[name]) for name, t in run.tensors.items())

    found = find(trajectories(), fails, settings=settings(max_examples=2000))
    assert [action for action, _ in found.actions] == ["step", "step"]
    with pytest.raises(AssertionError, match="the formulas give"):
        found.run()


@pytest.mark.parametrize("action", ["step", "lr", "reload", "zero_grad", "form"])
def test_every_action_occurs(action: str) -> None:
    """Each is found, alone after shrinking."""
    assert len(find(trajectories(), lambda t: action in [name for name, _ in t.actions]).actions) == 1


def test_groups_with_rates_of_their_own_occur() -> None:
    """Two groups with different rates, whose ratio a change of the rate keeps."""
    found = find(trajectories(), lambda t: t.second is not None and t.second["lr"] != t.options["lr"] and len(t.parameters) > 1)
    run = Run(found.parameters, found.options, found.second)
    ratio = run.oracle.rates["b"] / run.oracle.rates["a"]
    run.act("lr", 0.5)
    assert run.optimiser.groups[1]["lr"] == pytest.approx(0.5 * ratio)


@settings(max_examples=30)
@given(trajectories())
def test_code_runs_the_trajectory(trajectory: Trajectory) -> None:
    """What is printed ends with the same parameters."""
    names: dict[str, Any] = {}
    exec(trajectory.code(), names)
    expected: dict[str, Tensor] = trajectory.run().tensors
    assert all(np.array_equal(names["run"].tensors[name].data, tensor.data) for name, tensor in expected.items())
    assert repr(trajectory) == trajectory.code()
