"""`trajectories`: what happens to an optimiser in its life, as data; and the same as a state machine of Hypothesis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ...autograd.tensor import Tensor
from ...optim import SGD
from .plain_sgd import PlainSGD
from .samples import uniform
from .source import source
from .values import draw_shape, seeds

__all__ = ["Run", "SGDMachine", "Trajectory", "trajectories"]

Array = Any  # numpy.ndarray
RATES = (0.1, 0.01, 1.0, 0.003)
BOUND = 1e-12  # float64: some tens of roundings of numbers of size one


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Parameters by name, SGD's `options`, the second group's (None: one group for all), and `actions` in order.

    An action is ("step", {name: gradient or None}), ("lr", rate), ("reload", None): save, and load into a new SGD,
    ("zero_grad", None): a step without any gradient, or ("form", "torch" or "paper"): reload into the other form.
    """

    parameters: dict[str, Array]
    options: dict[str, Any]
    second: dict[str, float] | None
    actions: tuple[tuple[str, Any], ...]

    def run(self) -> Run:
        """The optimiser and its oracle at the end. Raises AssertionError where they part."""
        run = Run(self.parameters, self.options, self.second)
        for action, value in self.actions:
            run.act(action, value)
            run.agree()
        return run

    def code(self) -> str:
        """A module that runs the trajectory."""
        arguments = ", ".join(map(source, (self.parameters, self.options, self.second)))
        actions = "\n".join(f"run.act({action!r}, {source(value)})\nrun.agree()" for action, value in self.actions)
        return f"import numpy as np\nfrom minivgg.testing.strategies import Run\n\nrun = Run({arguments})\n{actions}\n"

    def __repr__(self) -> str:
        """The code, to be pasted."""
        return self.code()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Hypothesis prints a failing trajectory so, too."""
        printer.text(self.code())


class Run:
    """A life: an SGD and a PlainSGD side by side, from copies of the same parameters."""

    def __init__(self, parameters: dict[str, Array], options: dict[str, Any], second: dict[str, float] | None = None) -> None:
        self.tensors = {name: Tensor(np.array(value), requires_grad=True) for name, value in parameters.items()}
        self.options, self.second = dict(options), second
        self.optimiser = self._optimiser()
        rates, decays = ({name: group[key] for group in self.optimiser.groups for name, _ in group["params"]} for key in _GROUP)
        flat = {name: value.ravel().tolist() for name, value in parameters.items()}
        self.oracle = PlainSGD(flat, rates, decays, options["momentum"], options["nesterov"], options["form"])

    def _optimiser(self) -> SGD:
        pairs = list(self.tensors.items())
        if self.second is None or len(pairs) < 2:
            return SGD(pairs, **self.options)
        groups: list[dict[str, Any]] = [{"params": pairs[:1]}, {"params": pairs[1:], **self.second}]
        return SGD(groups, **self.options)

    def act(self, action: str, value: Any = None) -> None:
        """Do to both what `action` says; see Trajectory."""
        if action == "step":
            for name, tensor in self.tensors.items():
                tensor.grad = None if value[name] is None else np.array(value[name])
            self.optimiser.step()
            self.oracle.step({name: None if g is None else np.ravel(g).tolist() for name, g in value.items()})
        elif action == "lr":
            self.oracle.scale_rates(value / self.optimiser.lr)
            self.optimiser.lr = value
        elif action == "zero_grad":
            self.optimiser.zero_grad()
            self.optimiser.step()
        else:
            self._reload(self.optimiser.form if value is None else value)

    def _reload(self, form: str) -> None:
        """Into a new SGD, whose rates are put back: the state holds velocities only."""
        state = {name: np.array(velocity) for name, velocity in self.optimiser.state_dict().items()}
        rate = self.optimiser.lr
        self.options["form"] = self.oracle.form = form
        self.optimiser = self._optimiser()
        self.optimiser.load_state_dict(state)
        self.optimiser.lr = rate

    def agree(self) -> None:
        """Raise AssertionError unless parameters and velocities are the oracle's."""
        for name, tensor in self.tensors.items():
            _require_equal(f"parameter {name}", tensor.data, self.oracle.weights[name])
        for name, velocity in self.optimiser.state_dict().items():
            _require_equal(name, velocity, self.oracle.velocity[name.removeprefix("momentum.")])


_GROUP = ("lr", "weight_decay")


def _require_equal(name: str, found: Array, expected: list[float]) -> None:
    wanted = np.array(expected).reshape(found.shape)
    if not np.allclose(found, wanted, rtol=BOUND, atol=BOUND):
        raise AssertionError(f"{name} is {found.tolist()}, but the formulas give {wanted.tolist()}.")


def _draw_options(draw: st.DrawFn) -> dict[str, Any]:
    momentum = draw(st.sampled_from((0.9, 0.0, 0.5)))
    return {
        "lr": draw(st.sampled_from(RATES)),
        "momentum": momentum,
        "weight_decay": draw(st.sampled_from((0.0, 5e-4, 0.1))),
        "nesterov": bool(momentum) and draw(st.booleans()),
        "form": draw(st.sampled_from(("torch", "paper"))),
    }


def _draw_start(draw: st.DrawFn) -> tuple[dict[str, Array], dict[str, Any], dict[str, float] | None]:
    seed = draw(seeds())
    names = ("a", "b", "c")[: draw(st.integers(1, 3))]
    parameters = {name: uniform(seed, name, draw_shape(draw, 0, 2, max_side=3)) for name in names}
    second = {"lr": draw(st.sampled_from(RATES)), "weight_decay": draw(st.sampled_from((0.0, 0.01)))} if draw(st.booleans()) else None
    return parameters, _draw_options(draw), second


def _gradients(parameters: dict[str, Array], seed: int, skipped: int) -> dict[str, Array | None]:
    """Gradients of three decimals; bit i of `skipped` says that parameter i has none."""
    return {
        name: None if skipped >> i & 1 else uniform(seed, f"gradient {name}", np.shape(x)) for i, (name, x) in enumerate(parameters.items())
    }


_STARTS = st.composite(_draw_start)()
_SKIPPED = st.integers(0, 7)


@st.composite
def _actions(draw: st.DrawFn, parameters: dict[str, Array]) -> tuple[str, Any]:
    action = draw(st.sampled_from(("step", "step", "step", "lr", "reload", "zero_grad", "form")))
    if action == "step":
        return action, _gradients(parameters, draw(seeds()), draw(_SKIPPED))
    return action, {"lr": draw(st.sampled_from(RATES)), "form": draw(st.sampled_from(("torch", "paper")))}.get(action)


@st.composite
def trajectories(draw: st.DrawFn, *, max_actions: int = 12) -> Trajectory:
    """Trajectories of SGD: initial parameters, options, and up to `max_actions` actions. `trajectory.run()` checks one."""
    parameters, options, second = draw(_STARTS)
    actions = draw(st.lists(_actions(parameters), max_size=max_actions))
    return Trajectory(parameters, options, second, tuple(actions))


class SGDMachine(RuleBasedStateMachine):
    """SGD against the formulas in plain floats, after every rule. Its `TestCase` is a test for pytest or unittest."""

    def __init__(self) -> None:
        super().__init__()
        self.run: Run | None = None

    @initialize(start=_STARTS)
    def begin(self, start: tuple[dict[str, Array], dict[str, Any], dict[str, float] | None]) -> None:
        """Draw parameters and options."""
        self.run = Run(*start)

    def _act(self, action: str, value: Any = None) -> None:
        assert self.run is not None
        self.run.act(action, value)

    @rule(seed=seeds(), skipped=_SKIPPED)
    def step(self, seed: int, skipped: int) -> None:
        """Step with gradients, of which some may be absent."""
        assert self.run is not None
        self._act("step", _gradients({name: tensor.data for name, tensor in self.run.tensors.items()}, seed, skipped))

    @rule(rate=st.sampled_from(RATES))
    def change_rate(self, rate: float) -> None:
        """Set the learning rate."""
        self._act("lr", rate)

    @rule()
    def reload(self) -> None:
        """Save the state and load it into a new SGD."""
        self._act("reload")

    @rule()
    def step_without_gradients(self) -> None:
        """Forget the gradients and step: nothing moves."""
        self._act("zero_grad")

    @rule(form=st.sampled_from(("torch", "paper")))
    def change_form(self, form: str) -> None:
        """Load the state into an SGD of the other form."""
        self._act("form", form)

    @invariant()
    def parameters_and_velocities_follow_the_formulas(self) -> None:
        """Compare with the oracle."""
        assert self.run is not None  # the initial rule has run
        self.run.agree()
