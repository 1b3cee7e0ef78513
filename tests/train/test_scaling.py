"""The loss scale, and the guard that tells an overflow from an error, by hand-worked numbers on NumPy arrays."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from minivgg import optim
from minivgg.autograd.core import Tensor
from minivgg.backend.device import Device
from minivgg.errors import CheckpointError, ConfigError
from minivgg.train import TrainConfig, build_job, config_toml, find_run
from minivgg.train.guard import Guard
from minivgg.train.progress import Progress
from minivgg.train.scaling import LossScale, unscale
from minivgg.train.snapshot import restore, snapshot

CPU = Device("cpu")
GOOD, BAD = np.asarray(True), np.asarray(False)


def moved(scale, *steps):
    """(scale, good, skipped) after each of the steps."""
    found = []
    for finite in steps:
        scale.update(finite)
        found.append(tuple(scale.state().values()))
    return found


def test_an_overflow_halves_and_good_steps_double():
    """From 8, doubling after three good steps: worked by hand. An overflow begins the count anew."""
    steps = moved(LossScale(CPU, 8.0, interval=3), GOOD, GOOD, BAD, GOOD, GOOD, GOOD, GOOD)
    assert steps == [(8, 1, 0), (8, 2, 0), (4, 0, 1), (4, 1, 1), (4, 2, 1), (8, 0, 1), (8, 1, 1)]


def test_the_constants_are_those_of_the_literature():
    """2¹⁶ at the start, 2,000 steps to a doubling, and never more than 2²⁴."""
    scale = LossScale(CPU)
    assert scale.state() == {"scale": 65536.0, "good": 0, "skipped": 0} and scale.interval == 2000
    assert moved(LossScale(CPU, 2.0**24, interval=1), GOOD)[0][0] == 2**24


def test_the_state_is_plain_numbers_and_comes_back():
    """Scale, counter and skipped updates go through a checkpoint; anything else is refused with what it was."""
    one, other = LossScale(CPU, 8.0, interval=3), LossScale(CPU)
    moved(one, GOOD, BAD, GOOD)
    other.load_state(one.state())
    assert other.state() == one.state() == {"scale": 4.0, "good": 1, "skipped": 1}
    scales = ("x", "8", np.nan, np.inf, 0.0, -8.0, 1e300, None, True)
    broken = [*({"scale": scale, "good": 1, "skipped": 0} for scale in scales), {"scale": 4.0, "good": 10**30, "skipped": 0}]
    for state in ({"scale": 4.0, "good": 1}, None, "text", [1, 2, 3], {"scale": 4.0, "good": 1.5, "skipped": 0}, *broken):
        with pytest.raises(CheckpointError, match="a loss scale's state needs the numbers"):
            other.load_state(state)
    assert other.state() == one.state()


def test_unscaled_gradients_are_exact():
    """A power of two costs no bit; a gradient that is not there is left out, and what was there is not written into."""
    g = np.random.default_rng(0).standard_normal(5).astype(np.float32)
    p, q, before = Tensor(g), Tensor(g), g * 1024
    p.grad = before
    unscale([("p", p), ("q", q)], np.asarray(1024, np.float32))
    assert p.grad.dtype == np.float32 and p.grad.tolist() == g.tolist() and q.grad is None and before.tolist() == (g * 1024).tolist()


def judge(guard, step, loss, gradient):
    """What the guard says of a step with one parameter."""
    ((_, p),) = guard.job.optimizer.parameters()
    p.grad = np.full(1, gradient, np.float32)
    return bool(guard.judge(step, step, np.asarray(loss, np.float32)))


def guard(scaling):
    """A guard over one parameter."""
    p = Tensor(np.zeros(1, np.float32), requires_grad=True)
    return Guard(SimpleNamespace(device=CPU, scaling=scaling, optimizer=optim.SGD([("p", p)])))


def test_an_overflow_is_left_out_and_the_next_step_counts():
    """With a scale, Inf among the gradients stops one update; without, it stops all that follow."""
    steps = [(1.0, 1.0), (1.0, np.inf), (1.0, 1.0)]
    for scaling, expected in ((LossScale(CPU, 8.0), [True, False, True]), (None, [True, False, False])):
        guarded = guard(scaling)
        assert [judge(guarded, k, *step) for k, step in enumerate(steps)] == expected


def test_a_loss_that_is_no_number_is_no_overflow():
    """The loss is not scaled: if it is NaN no scale will help, and nothing is applied any more, nor when the scale would fall below 1."""
    for bad, scale in (((np.nan, np.nan), 8.0), ((1.0, np.inf), 1.0)):
        guarded = guard(LossScale(CPU, scale))
        assert [judge(guarded, 0, *bad), judge(guarded, 1, 1.0, 1.0)] == [False, False]


@pytest.mark.parametrize("precision", ["tf32", "fp16", "bf16"])
def test_the_cpu_refuses_what_it_cannot_do(precision, config, monkeypatch):
    """When the configuration is made, if it says cpu; when the run is built, if "auto" comes out as the CPU."""
    with pytest.raises(ConfigError, match=f'precision="{precision}" needs a card.*--precision fp32'):
        config(precision=precision)
    monkeypatch.setattr("minivgg.backend.device._why_no_gpu", lambda: "there is none.")
    with pytest.raises(ConfigError, match="needs a card"):
        build_job(config(precision=precision, device="auto"))


def test_an_unknown_precision_names_the_nearest():
    """As for the name of a model."""
    with pytest.raises(ConfigError, match="did you mean bf16"):
        TrainConfig(precision="bf61")


def test_scaling_is_for_fp16_only(config):
    """A run in fp32 has no scale, and its checkpoints no word of one."""
    job = build_job(config())
    assert job.scaling is None and "scaling" not in snapshot(job, Progress()).state


def test_what_is_older_than_precisions_was_in_fp32(config, tmp_path):
    """A config.toml and a checkpoint without the key go on in fp32."""
    path = tmp_path / "config.toml"
    path.write_text(config_toml(config()).replace('precision = "fp32"\n', ""))
    assert "precision" not in path.read_text() and find_run(tmp_path).config().precision == "fp32"
    job = build_job(config())
    checkpoint = snapshot(job, Progress(step=3))
    del checkpoint.state["config"]["precision"]
    assert restore(job, checkpoint, path).step == 3
