"""Training in half precision, on either card: near float32, without waiting, and with overflows that do no harm."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minivgg as mv
from minivgg import nn, ops
from minivgg.backend.arrays import to_numpy
from minivgg.backend.precision import as_images
from minivgg.errors import ConfigError, NumericalError
from minivgg.testing import pretend
from minivgg.train import Observer, Predictor, TrainConfig, build_job, dry_run, load_checkpoint, train
from minivgg.train.build import Job
from minivgg.train.loop import Trainer
from minivgg.train.metrics import Metrics
from minivgg.train.progress import Progress
from minivgg.train.run_folder import RunFolder
from minivgg.train.scaling import LossScale

from . import stripes
from .conftest import Card


@pytest.fixture(autouse=True)
def algorithm(card: Card) -> Iterator[None]:
    """On the pretend card columns, by one product: tensor cores are slow there, and have tests of their own."""
    with nullcontext() if card.real else mv.conv_algorithm("im2col"):
        yield


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., TrainConfig]:
    """One epoch of three steps of ten images. Keywords change it."""
    data = stripes.write(tmp_path, 36)

    def make(**changes: Any) -> TrainConfig:
        base = {"data": str(data), "out": str(tmp_path / "runs"), "width": 1 / 16, "epochs": 1, "batch_size": 10, "val_split": 0.15}
        rates = {"lr": 0.01, "schedule": "constant", "momentum": 0.0, "nesterov": False}
        return TrainConfig(**{**base, **rates, "workers": 0, "device": "cuda", "checkpoint_every": 1, **changes})

    return make


@contextmanager
def training(job: Job) -> Any:
    """A trainer without a folder, ready for single steps."""
    folder = RunFolder("nowhere")
    job.model.train()
    with mv.precision(job.config.precision), np.errstate(over="ignore", invalid="ignore"):
        yield Trainer(job, folder, Metrics(folder.path), Progress(), Observer())


def weights(job: Job) -> dict[str, Any]:
    """A copy of all parameters, on the host, in float64."""
    return {name: to_numpy(p.data).astype(np.float64) for name, p in job.model.named_parameters()}


def distance(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Between two sets of parameters, all taken as one vector."""
    return float(np.sqrt(sum(((one[name] - other[name]) ** 2).sum() for name in one)))


def three_steps(job: Job) -> tuple[list[float], dict[str, Any]]:
    """The loss of each step, and the parameters behind them."""
    sums = [0.0]
    with training(job) as trainer:
        for batch in job.train.epoch(0):
            trainer._step(batch)
            sums.append(float(trainer.progress.loss_sum))
    return list(np.diff(sums) / 10), weights(job)


@pytest.mark.parametrize("model", ["vgg11", "vgg11_bn"])
def test_three_steps_are_near_those_in_float32(card: Card, config: Callable[..., TrainConfig], model: str) -> None:
    """Losses within 1 % in fp16 and 10 % in bf16, and the parameters within 30 % and 70 % of the way that float32 went (most of which is
    units whose sign at zero rounding decides: eight layers of four to thirty-two channels). Parameters stay float32."""
    first = weights(build_job(config(model=model)))
    losses, ends = three_steps(build_job(config(model=model)))
    for precision, near, part in (("fp16", 0.01, 0.3), ("bf16", 0.1, 0.7)):
        job = build_job(config(model=model, precision=precision))
        if job.scaling is not None:
            job.scaling = LossScale(job.device, start=2.0**10)
        found, there = three_steps(job)
        assert found == pytest.approx(losses, rel=near) and found != losses
        assert distance(there, ends) < part * distance(first, ends)
        assert {p.dtype.name for p in job.model.parameters()} == {"float32"}
        assert job.scaling is None or job.scaling.state() == {"scale": 1024.0, "good": 3, "skipped": 0}


@pytest.mark.parametrize("precision", ["tf32", "fp16", "bf16"])
def test_a_step_waits_for_nothing(card: Card, config: Callable[..., TrainConfig], precision: str) -> None:
    """Scale, counters and flags stay on the card. Also with gradients clipped, which are seen unscaled."""
    if card.real:
        pytest.skip("a real card does not count who waits for it")
    job = build_job(config(precision=precision, clip=1.0))
    with training(job) as trainer:
        batches = list(job.train.epoch(0))
        before = pretend.synchronisations
        for batch in batches:
            trainer._step(batch)
        assert pretend.synchronisations == before


def test_an_overflow_is_skipped_and_the_scale_halves(card: Card, config: Callable[..., TrainConfig]) -> None:
    """From 2²⁴ the first steps overflow: nothing moves, not even a velocity, until the scale fits; then it does."""
    job = build_job(config(precision="fp16", momentum=0.9))
    job.scaling = LossScale(job.device, start=2.0**24)
    first = weights(job)
    with training(job) as trainer:
        for number, batch in enumerate(job.train.epoch(0), 1):
            trainer._step(batch)
            assert job.scaling.state() == {"scale": 2.0 ** (24 - number), "good": 0, "skipped": number}
        assert distance(first, weights(job)) == 0 and not any(to_numpy(v).any() for v in job.optimizer.state_dict().values())
        job.scaling.load_state({"scale": 1024.0, "good": 0, "skipped": 3})
        trainer._step(batch)
    assert job.scaling.state() == {"scale": 1024.0, "good": 1, "skipped": 3} and distance(first, weights(job)) > 0


def test_good_steps_double_the_scale_and_clipping_sees_none(card: Card, config: Callable[..., TrainConfig]) -> None:
    """Two good steps double it, the interval being two. Clipped to 10⁻³ with rate 1, the first step is that long whatever the scale."""
    for start in (2.0**6, 2.0**10):
        job = build_job(config(precision="fp16", clip=1e-3, lr=1.0, weight_decay=0.0))
        job.scaling = LossScale(job.device, start, interval=2)
        first, lengths = weights(job), []
        with training(job) as trainer:
            for batch in list(job.train.epoch(0))[:2]:
                trainer._step(batch)
                lengths.append(distance(first, weights(job)))
        assert job.scaling.state() == {"scale": 2 * start, "good": 0, "skipped": 0}
        assert lengths[0] == pytest.approx(1e-3, rel=1e-3)


def test_a_step_that_half_precision_would_lose_is_kept(card: Card) -> None:
    """A weight of 1 moves by 10⁻⁴ ten times: float16 has nothing between 1 and 1 − 2⁻¹¹, float32 keeps 0.999."""
    layer = nn.Linear(1, 1, bias=False).to(device="cuda")
    layer.weight.data[...] = 1.0
    sgd = mv.optim.SGD(layer.named_parameters(), lr=1e-4, momentum=0.0, weight_decay=0.0)
    with mv.precision("fp16"):
        for _ in range(10):
            sgd.zero_grad()
            y = layer(mv.Tensor(as_images(card.device, np.ones((1, 1), np.float32))))
            y.sum().backward()
            assert y.dtype == np.float16 and layer.weight.grad.dtype == np.float32
            sgd.step()
    assert layer.weight.item() == pytest.approx(0.999, abs=1e-6)


def test_overflow_of_activations_is_an_error_with_a_name(card: Card, config: Callable[..., TrainConfig]) -> None:
    """A filter of 10⁴ makes activations past 65,504: no scale helps. Nothing moves, and the layer and the remedy are named."""
    job = build_job(config(precision="fp16", model="vgg11"))
    job.model.features[0].weight.data *= 1e5
    first = weights(job)
    with training(job) as trainer, pytest.raises(NumericalError, match=r"step 0: .*of layer features.*--precision bf16"):
        for batch in job.train.epoch(0):
            trainer._step(batch)
        trainer._guard.look(0)
    assert distance(first, weights(job)) == 0


class Steep(mv.Op, listed=False):
    """y = x with a wrong gradient that is past float16's end."""

    def forward(self, x: Any) -> Any:
        return x

    def grad_x(self, gy: Any) -> Any:
        return gy * 1e5 * 1e5


def test_overflow_that_no_scale_cures_is_an_error(card: Card, config: Callable[..., TrainConfig]) -> None:
    """A gradient that is Inf whatever the scale halves it until it falls below 1: then the step is named, with the op that made it."""
    job = build_job(config(precision="fp16", model="vgg11"))
    job.scaling = LossScale(job.device, start=2.0)
    job.model.classifier.register_forward_hook(lambda module, inputs, y: Steep()(y))
    with training(job) as trainer, pytest.raises(NumericalError, match=r"step 1: while differentiating .*Steep.*of layer classifier"):
        for batch in job.train.epoch(0):
            trainer._step(batch)
        trainer._guard.look(0)


class StoppedError(Exception):
    """Raised by `Stop`."""


class Stop(Observer):
    """Stops dead after a step."""

    def __init__(self, step: int) -> None:
        self.at = step

    def step(self, trainer: Trainer) -> None:
        if trainer.progress.step == self.at:
            raise StoppedError


def test_resuming_is_exact_in_fp16(card: Card, config: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped dead in the second epoch: scale, counter and skipped updates come from the checkpoint, and both runs end with the same
    file. From 2¹⁷ on two of the six steps overflow here, or with other rounding one or three. metrics.jsonl shows them."""
    monkeypatch.setattr(LossScale.__init__, "__defaults__", (2.0**17, 2000))
    options = {"precision": "fp16", "epochs": 2, "momentum": 0.9, "model": "vgg11", "lr": 1e-3}
    whole = train(config(**options))
    with pytest.raises(StoppedError):
        train(config(out=str(tmp_path / "b"), **options), observer=Stop(4))
    resumed = train(config(out=str(tmp_path / "b"), **options), resume="auto")
    files = [(r.folder / "checkpoints" / "last.safetensors").read_bytes() for r in (whole, resumed)]
    assert files[0] == files[1]
    scaling = load_checkpoint(whole.folder / "checkpoints" / "last.safetensors").state["scaling"]
    assert 0 < scaling["skipped"] < 6 and scaling["scale"] == 2.0 ** (17 - scaling["skipped"])
    last = json.loads((whole.folder / "metrics.jsonl").read_text().splitlines()[-1])
    assert (last["loss_scale"], last["skipped"]) == (scaling["scale"], scaling["skipped"])


def test_another_precision_is_another_run(card: Card, config: Callable[..., TrainConfig]) -> None:
    """A run does not go on in another precision."""
    folder = RunFolder.create(config(precision="bf16"), ("a", "b", "c"))
    folder.unlock()
    with pytest.raises(ConfigError, match="was begun with precision = 'bf16'"):
        train(config(precision="fp16"), resume=folder.path)


def test_a_trained_model_is_used_in_its_precision(card: Card, config: Callable[..., TrainConfig], tmp_path: Path) -> None:
    """On the card in the run's, unless another is asked for; on the CPU in fp32, where asking for another is refused."""
    run, image = train(config(precision="bf16")).folder, tmp_path / "a.png"
    seen: list[str] = []
    for asked, device, expected in [(None, "cuda", "bfloat16"), ("fp32", "cuda", "float32"), (None, "cpu", "float32")]:
        predictor = Predictor.load(run, device=device, precision=asked)
        predictor.model.classifier.register_forward_hook(lambda module, inputs, y: seen.append(y.dtype.name))
        (probabilities,) = predictor.predict([image])
        assert seen == [expected] and probabilities.dtype == np.float64 and probabilities.sum() == pytest.approx(1)
        seen.clear()
    with pytest.raises(ConfigError, match='precision="bf16" needs a card'):
        Predictor.load(run, device="cpu", precision="bf16")


def test_a_dry_run_looks_for_the_scale_and_shows_plain_gradients(card: Card, config: Callable[..., TrainConfig]) -> None:
    """An overflow at the first scale is no error, as in training; the norm shown is that of gradients without a scale, within 5 % of
    float32's."""
    text = {precision: dry_run(config(precision=precision, model="vgg11")) for precision in ("fp32", "fp16")}
    norms = {name: float(t.split("gradient norm ")[1].split(",")[0]) for name, t in text.items()}
    assert "on cuda:0 in fp16" in text["fp16"] and norms["fp16"] == pytest.approx(norms["fp32"], rel=0.05)


@pytest.mark.parametrize("half", ["fp16", "bf16"])
def test_recomputed_blocks_have_the_same_bits(card: Card, half: str) -> None:
    """Recomputation keeps blocks' inputs in half precision, and gives the gradients, in float32, that it gives without."""
    found = []
    for recompute in (False, True):
        model = mv.models.vgg11_bn(num_classes=3, image_size=32, width=1 / 16, head="linear", recompute=recompute).to(device="cuda")
        with mv.precision(half):
            x = as_images(card.device, np.random.default_rng(0).standard_normal((2, 3, 32, 32)).astype(np.float32))
            ops.cross_entropy(model(mv.Tensor(x)), card.device.asarray(np.array([0, 2]))).backward()
        found.append([to_numpy(p.grad) for p in model.parameters()])
    assert {g.dtype.name for g in found[1]} == {"float32"}
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))
