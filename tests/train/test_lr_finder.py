"""The learning-rate finder finds rates, tells them, and leaves the job as it was; so does a dry run."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minivgg.backend.arrays import to_numpy
from minivgg.errors import ConfigError, NumericalError
from minivgg.train import Job, RateCurve, TrainConfig, build_job, dry_run, find_lr, lr_finder, plot_rates, unchanged
from minivgg.train.guard import Guard
from minivgg.train.progress import Progress
from minivgg.train.scaling import LossScale
from minivgg.train.update import update


def digest(job: Job) -> str:
    """Of all that steps change: arrays with their bytes, rates, schedule, loss scale, gradients, modes, dropout's counters."""
    sha = hashlib.sha256()
    for state in (job.model.state_dict(), job.optimizer.state_dict()):
        for name, array in state.items():
            sha.update(repr((name, array.dtype, array.shape, array.strides)).encode() + to_numpy(array).tobytes())
    scaling = None if job.scaling is None else job.scaling.state()
    sha.update(repr(([g["lr"] for g in job.optimizer.groups], job.schedule.state(), scaling)).encode())
    sha.update(repr([(n, m.training, vars(m).get("calls")) for n, m in job.model.named_modules()]).encode())
    sha.update(repr([None if p.grad is None else to_numpy(p.grad).tobytes() for p in job.model.parameters()]).encode())
    return sha.hexdigest()


def trained(job: Job, steps: int, progress: Progress | None = None) -> Job:
    """The job, after so many steps more."""
    guard, progress = Guard(job), progress or Progress()
    job.model.train()
    for batch, _ in zip(job.train.epoch(0, progress.position), range(steps), strict=False):
        progress.add(*update(job, guard, batch, progress), len(batch.labels))
    return job


def test_a_search_leaves_no_trace(config: Callable[..., TrainConfig]) -> None:
    """After two steps every byte is as before the search, and two steps later the bits are those of a run without one."""
    with_search, without = (trained(build_job(config()), 2) for _ in range(2))
    before = digest(with_search)
    curve = find_lr(with_search, 12)
    assert len(curve.rates) >= 10 and digest(with_search) == before == digest(without)
    for job in (with_search, without):
        trained(job, 2, Progress(position=2, step=2))
    assert digest(with_search) == digest(without) != before


@pytest.mark.parametrize("stop", [KeyboardInterrupt, MemoryError, ValueError])
def test_nor_does_one_that_is_stopped(config: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch, stop: type) -> None:
    """Ctrl-C, memory that runs out, or an error in the fourth step: every byte is put back."""
    job = build_job(config())
    before, honest = digest(job), lr_finder.gradients

    def gradients(job: Any, batch: Any, step: int) -> Any:
        if step == 3:
            raise stop
        return honest(job, batch, step)

    monkeypatch.setattr(lr_finder, "gradients", gradients)
    with pytest.raises(stop):
        find_lr(job)
    assert digest(job) == before


def test_a_dry_run_leaves_a_given_job_alone(config: Callable[..., TrainConfig]) -> None:
    """`dry_run(job)` tells of the job's own weights and changes nothing, modes and gradients included."""
    job = trained(build_job(config()), 1)
    job.model.eval()
    before = digest(job)
    first = dry_run(build_job(config()))
    assert dry_run(job).splitlines()[-2][:24] != first.splitlines()[-2][:24]
    assert digest(job) == before


def test_counters_and_statistics_are_put_back(config: Callable[..., TrainConfig]) -> None:
    """What a block writes into weights, statistics, velocities, rates, the schedule and the loss scale by any means is undone."""
    job = build_job(config(schedule="plateau"))
    job.scaling = LossScale(job.device, start=8.0)  # a card's, in fp16
    before = digest(job)
    with unchanged(job):
        for array in (*job.model.state_dict().values(), *job.optimizer.state_dict().values()):
            array[...] = 7
        job.optimizer.lr = 0.5
        job.schedule.update(0.5)
        job.scaling.update(np.array(False))
        job.model.classifier[2].calls = 9
    assert digest(job) == before


def test_the_curve_says_where_it_falls_and_where_it_is_lowest() -> None:
    """By hand: losses 3 3 2 0 1 at 1e-5 … 1e-1 fall fastest at 1e-3, by (0 − 3)/2 a power of ten, and are lowest at 1e-2."""
    curve = RateCurve((1e-5, 1e-4, 1e-3, 1e-2, 1e-1), (3.0, 3.0, 2.0, 0.0, 1.0), "end")
    assert (curve.steepest, curve.lowest, curve.suggested) == (1e-3, 1e-2, pytest.approx(1e-3))
    text = str(curve)
    assert "suggested: --lr 0.001 " in text and "5 steps; end" in text
    assert text.splitlines()[1].endswith("3.0000  " + "#" * 40)


def test_steepest_is_a_central_difference() -> None:
    """Over two steps 5 4.5 2 1 0.9 falls by 3 around the second, by 3.5 around the third; 5 4 2 1.9 1.8 by 3 and 2.1; where it falls
    behind the lowest point does not count."""
    rates = tuple(10.0 ** np.arange(-5, 0))
    assert RateCurve(rates, (5.0, 4.5, 2.0, 1.0, 0.9), "").steepest == rates[2]
    assert RateCurve(rates, (5.0, 4.0, 2.0, 1.9, 1.8), "").steepest == rates[1]
    assert RateCurve(rates, (5.0, 4.0, 30.0, 9.0, 8.0), "").steepest == rates[0]


def test_losses_are_smoothed_without_bias(config: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses L give the means Σ 0.9^{k−i} L_i / Σ 0.9^{k−i}; the search ends when one is above four times the lowest."""
    losses = [1.0] * 11 + [10.0] * 19
    monkeypatch.setattr(lr_finder, "gradients", lambda job, batch, step: (losses[step], 0))
    monkeypatch.setattr(lr_finder, "_step", lambda job, rate: True)
    curve = find_lr(build_job(config()), 30)
    means = [float(np.average(losses[: k + 1], weights=0.9 ** np.arange(k, -1, -1.0))) for k in range(30)]
    assert curve.losses == pytest.approx(means[: len(curve.losses)])
    assert curve.losses[-1] <= 4 < means[len(curve.losses)]
    assert "over four times the lowest" in curve.ended


def test_a_loss_that_is_not_finite_from_the_start_is_an_error(config: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    """NaN is tolerated at the end of a search, not before there is something to say; the job is unchanged."""
    job = build_job(config())
    before = digest(job)
    monkeypatch.setattr(lr_finder, "gradients", lambda job, batch, step: (float("nan"), 0))
    with pytest.raises(NumericalError, match=r"ended after 0 of 30 steps .*the loss is nan.*--dry-run"):
        find_lr(job, 30)
    assert digest(job) == before


@pytest.mark.parametrize("options", [{"steps": 9}, {"low": 0.0}, {"low": 1.0, "high": 0.1}, {"high": float("inf")}])
def test_impossible_searches_are_refused(config: Callable[..., TrainConfig], options: dict[str, Any]) -> None:
    """Rates that do not grow, or too few steps: ConfigError with the numbers."""
    with pytest.raises(ConfigError, match="needs 0 < low < high and at least 10 steps"):
        find_lr(build_job(config()), **options)


def test_the_picture(tmp_path: Path) -> None:
    """A PNG is written in one step; a name of another kind, or in no folder, is refused."""
    assert importlib.util.find_spec("matplotlib"), "the tests need matplotlib"
    curve = RateCurve((1e-3, 1e-2, 1e-1), (2.0, 1.0, 3.0), "")
    plot_rates(curve, tmp_path / "lr.PNG")
    assert (tmp_path / "lr.PNG").read_bytes().startswith(b"\x89PNG")
    for name, message in (("lr.gif", "must be one of .pdf, .png, .svg"), ("no/lr.png", "there is no folder")):
        with pytest.raises(ConfigError, match=message):
            plot_rates(curve, tmp_path / name)
