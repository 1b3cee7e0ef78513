"""The update of all parameters in one launch, against the formula's code on the CPU, to the bit."""

from __future__ import annotations

import numpy as np
import pytest

import minivgg as mv
from minivgg import nn
from minivgg.autograd.core import Tensor
from minivgg.backend.layout import as_kcrs
from minivgg.optim import SGD
from minivgg.testing import pretend

from .pretend_cupy.raw_module import LAUNCHES

SHAPES = {"bias": (1,), "filters": (5, 4, 3, 3), "matrix": (61, 97), "scalar": (), "frozen": (2, 3)}  # the matrix has two tiles
OPTIONS = [
    {},
    {"form": "paper"},
    {"nesterov": True, "weight_decay": 0.0},
    {"form": "paper", "nesterov": True},
    {"momentum": 0.0},
    {"form": "paper", "momentum": 0.0, "weight_decay": 0.0},
]


def drawn(seed, dtype="float32"):
    """An array for each name; filters stored (R, S, C, K)."""
    rng = np.random.default_rng(seed)
    arrays = {name: np.asarray(rng.standard_normal(shape).astype(dtype)) for name, shape in SHAPES.items()}
    arrays["filters"] = as_kcrs(np.ascontiguousarray(arrays["filters"].transpose(2, 3, 1, 0)))
    return arrays


class Run:
    """The same training on the CPU and on the card: `step` makes one and compares all weights and velocities."""

    def __init__(self, dtype="float32", **options):
        self.devices = mv.Device("cpu"), mv.Device("cuda")
        self.weights = [
            {name: Tensor(device.asarray(array.copy(order="K")), requires_grad=True) for name, array in drawn(0, dtype).items()}
            for device in self.devices
        ]
        self.sgds = [SGD(list(w.items()), lr=0.1, **options) for w in self.weights]
        self.steps = 0

    def step(self, guard=None, scale=None, launches=1):
        """One step with new gradients, all but that of "frozen"; on the card so many launches and no wait."""
        self.steps += 1
        for device, weights in zip(self.devices, self.weights, strict=True):
            for name, g in drawn(self.steps).items():
                weights[name].grad = None if name == "frozen" else device.asarray(g, weights[name].dtype)
        self.sgds[0].step(*(None if x is None else np.asarray(x) for x in (guard, scale)))
        flags = [None if x is None else self.devices[1].asarray(np.asarray(x)) for x in (guard, scale)]
        LAUNCHES.clear()
        pretend.synchronisations = 0
        self.sgds[1].step(*flags)
        assert ["sgd"] * launches == LAUNCHES
        assert pretend.synchronisations == 0
        self.compare()

    def compare(self):
        """Equal bits everywhere."""
        for name, w in self.weights[0].items():
            assert np.array_equal(w.data, self.weights[1][name].numpy()), name
        velocities = [sgd.state_dict() for sgd in self.sgds]
        for name, v in velocities[0].items():
            assert np.array_equal(v, velocities[1][name].get()), name


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_three_steps_have_the_cpus_bits(card, options, dtype):
    """Both forms, with and without momentum, Nesterov and decay: one launch a step for arrays of all sizes and storage orders."""
    run = Run(dtype, **options)
    before = run.weights[1]["matrix"].numpy()
    for _ in range(3):
        run.step()
    assert not np.array_equal(before, run.weights[1]["matrix"].numpy())


@pytest.mark.parametrize("guard", [True, False])
@pytest.mark.parametrize("form", ["torch", "paper"])
def test_a_guard_on_the_card_decides(card, guard, form):
    """Where it is False neither weights nor velocities change, even for gradients that are NaN; where it is True all do."""
    run = Run(form=form, nesterov=True)
    run.step()
    before = {name: w.numpy() for name, w in run.weights[1].items()}
    run.step(guard=guard)
    assert np.array_equal(before["matrix"], run.weights[1]["matrix"].numpy()) == (not guard)
    run.weights[1]["matrix"].grad = card.asarray(np.full(SHAPES["matrix"], np.nan, "float32"))
    run.sgds[1].step(card.asarray(np.array(False)))
    run.compare()


@pytest.mark.parametrize("scale", [1024.0, 3.0])
def test_gradients_are_divided_by_the_scale(card, scale):
    """With a scale s on the card the step is that of gradients divided by s."""
    run = Run()
    run.step(scale=np.float32(scale))
    plain = Tensor(drawn(0)["matrix"], requires_grad=True)
    plain.grad = drawn(1)["matrix"] / np.float32(scale)
    SGD([("matrix", plain)], lr=0.1).step()
    assert np.array_equal(plain.data, run.weights[1]["matrix"].numpy())


def test_reference_runs_the_plain_code(card):
    """Inside `reference()` nothing is launched, and the bits are the same."""
    run = Run()
    run.step()
    with mv.reference():
        run.step(launches=0)
    run.step()


def test_many_parameters_take_a_launch_for_120(card):
    """121 arrays are two launches, and all are updated."""
    weights = [Tensor(card.asarray(np.full(3, k, "float32")), requires_grad=True) for k in range(121)]
    for w in weights:
        w.grad = card.asarray(np.ones(3, "float32"))
    sgd = SGD([(str(k), w) for k, w in enumerate(weights)], lr=0.5, momentum=0.0, weight_decay=0.0)
    LAUNCHES.clear()
    sgd.step()
    assert LAUNCHES == ["sgd", "sgd"]
    assert all(np.array_equal(w.numpy(), np.full(3, k - 0.5, "float32")) for k, w in enumerate(weights))


def replaced(run):
    """Another array for one parameter."""
    for device, weights in zip(run.devices, run.weights, strict=True):
        weights["matrix"].data = device.asarray(np.ones(SHAPES["matrix"], "float32"))


def written(run):
    """Values written into two."""
    for device, weights in zip(run.devices, run.weights, strict=True):
        weights["filters"].data[...] = device.asarray(np.ones(SHAPES["filters"], "float32"))
        weights["bias"].data *= 2.0


def state_loaded(run):
    """Velocities from a checkpoint, in C order."""
    state = {"momentum." + name: array for name, array in drawn(99).items()}
    for sgd in run.sgds:
        sgd.load_state_dict({name: np.ascontiguousarray(array).reshape(array.shape) for name, array in state.items()})


def widened(run):
    """All parameters in float64."""
    for weights in run.weights:
        for w in weights.values():
            w.data = w.data.astype("float64")


def away_and_back(run):
    """A step on the CPU, and back to the card."""
    for name, w in run.weights[1].items():
        w.data = run.devices[0].asarray(w.data)
        w.grad = run.devices[0].asarray(drawn(50)[name])
        run.weights[0][name].grad = drawn(50)[name]
    for sgd in run.sgds:
        sgd.step()
    for w in run.weights[1].values():
        w.data = run.devices[1].asarray(w.data)


@pytest.mark.parametrize("change", [replaced, written, state_loaded, widened, away_and_back], ids=lambda f: f.__name__)
def test_parameters_may_change_between_steps(card, change):
    """Replaced, written into, with loaded velocities, of another dtype, on the CPU for a step: the next step is one launch and right."""
    run = Run()
    run.step()
    change(run)
    run.step()
    run.step()


def test_the_users_arrays_are_updated_where_they_lie(card):
    """No parameter is moved: an array that the user holds, a model's state dictionary say, sees every step."""
    run = Run()
    held = {name: w.data for name, w in run.weights[1].items()}
    run.step()
    assert all(w.data is held[name] for name, w in run.weights[1].items())


def test_what_the_kernel_does_not_take_is_updated_all_the_same(card):
    """Parameters with gaps, of half precision, with a gradient of another dtype, without elements, and two that are one array."""
    gaps = np.arange(24, dtype="float32").reshape(4, 6)

    def train(move):
        base, shared = move(gaps.copy()), move(np.ones(5, "float32"))
        arrays = [
            (base[:, ::2], gaps[:, ::2]),
            (move(np.ones((3, 2), "float16")), np.full((3, 2), 0.25, "float16")),
            (move(np.ones(4, "float32")), np.full(4, 0.1, "float64")),
            (move(np.ones((0, 3), "float32")), np.ones((0, 3), "float32")),
            (shared, np.ones(5, "float32")),
            (shared, np.full(5, 2.0, "float32")),
        ]
        weights = [Tensor(w, requires_grad=True) for w, _ in arrays]
        sgd = SGD([(str(k), w) for k, w in enumerate(weights)], lr=0.1)
        for _ in range(2):
            for w, (_, g) in zip(weights, arrays, strict=True):
                w.grad = move(g.copy())
            sgd.step()
        return [w.numpy() for w in weights]

    LAUNCHES.clear()
    on_card = train(card.asarray)
    assert LAUNCHES == ["sgd", "sgd"]
    for a, b in zip(on_card, train(lambda array: array), strict=True):
        assert np.array_equal(a, b)


def test_a_gradient_of_another_order_is_matched(card):
    """A C-ordered gradient of filters that are stored (R, S, C, K) meets the right elements."""
    run = Run()
    gradient = np.ascontiguousarray(drawn(7)["filters"])
    for device, weights in zip(run.devices, run.weights, strict=True):
        for w in weights.values():
            w.grad = None
        weights["filters"].grad = device.asarray(gradient)
    for sgd in run.sgds:
        sgd.step()
    run.compare()


def test_a_model_trains_on_the_card_as_on_the_cpu(card):
    """Weights loaded into the model, moved to the CPU and back between steps: load_state_dict and zero_grad work as ever."""
    models = [nn.Conv2d(2, 3, 3), nn.Conv2d(2, 3, 3).to("cuda")]
    sgds = [SGD(list(m.named_parameters()), lr=0.1) for m in models]
    state = {name: np.asarray(np.random.default_rng(3).standard_normal(p.shape), "float32") for name, p in models[0].named_parameters()}

    def step():
        for model, sgd in zip(models, sgds, strict=True):
            sgd.zero_grad()
            for _, p in model.named_parameters():
                p.grad = mv.Device.of(p.data).asarray(np.ones(p.shape, "float32"))
            sgd.step()
        for (name, a), (_, b) in zip(*(m.named_parameters() for m in models), strict=True):
            assert np.array_equal(a.numpy(), b.numpy()), name

    step()
    for model in models:
        model.load_state_dict(state)
    step()
    models[1].to("cpu").to("cuda")
    LAUNCHES.clear()
    step()
    assert LAUNCHES == ["sgd"]
