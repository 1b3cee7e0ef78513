"""From a configuration to the parts of a run: images, loaders, model, optimiser, schedule."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import data, models, optim
from ..backend.device import Device
from ..backend.pool import allowed
from ..backend.precision import check
from ..errors import DataError
from .config import TrainConfig
from .preprocessing import preprocessing
from .scaling import LossScale

__all__ = ["Job", "build_job", "build_model", "build_optimizer", "build_schedule", "evaluation_loader"]


@dataclass
class Job:
    """All parts of a run. `images` identifies the training data: image count, shape (H, W, C), of which H and W are None where sizes
    differ, SHA-256. `scaling` is for fp16 only."""

    config: TrainConfig
    device: Device
    model: Any
    optimizer: optim.SGD
    schedule: optim.Schedule
    transform: data.Transform
    train: data.Loader
    val: data.Loader
    test: data.Loader | None
    classes: tuple[str, ...]
    images: dict[str, Any]
    scaling: LossScale | None = None

    @property
    def steps(self) -> int:
        """Updates in the whole run."""
        return self.config.epochs * len(self.train)


def build_job(config: TrainConfig) -> Job:
    """Load the images and build everything that the configuration names.

    The job's configuration has the device that was really chosen, and an absolute path of the data. Raises
    ConfigError, DataError, ShapeError or DeviceError for what does not fit.
    """
    device = Device(config.device)
    check(config.precision, device)
    allowed(device, config.gpu_memory)
    source = str(Path(config.data).absolute()) if config.data else ""
    config = dataclasses.replace(config, device=str(device), data=source)
    whole, val, test = data.parts(source or None, grey=config.grey, on_bad=config.on_bad, workers=config.workers)
    _require_learnable(whole, test, source or whole.name)
    fit, held = (whole, val) if val is not None else data.split(whole, config.val_split, config.seed)
    transform = preprocessing(config, fit)
    loader = data.Loader(fit, config.batch_size, transform, seed=config.seed, workers=config.workers)
    model = build_model(config, len(whole.classes), whole.shape[2]).to(device=str(device))
    return Job(
        config=config,
        device=device,
        model=model,
        optimizer=build_optimizer(config, model),
        schedule=build_schedule(config, config.epochs * len(loader)),
        transform=transform,
        train=loader,
        val=evaluation_loader(held, config.micro_batch, transform, config.workers),
        test=None if test is None else evaluation_loader(test, config.micro_batch, transform, config.workers),
        classes=whole.classes,
        images={"count": len(whole), "shape": list(whole.shape), "sha256": whole.fingerprint()},
        scaling=LossScale(device) if config.precision == "fp16" else None,
    )


def _require_learnable(train: data.LabelledImages, test: data.LabelledImages | None, place: str) -> None:
    """Raise DataError for fewer than two classes among the training labels, or test labels that training never shows."""
    seen = {*train.labels.tolist()}
    if len(seen) < 2:
        raise DataError(f"{place}: all {len(train):,} labels are {train.classes[train.labels[0]]}: there is nothing to tell apart.")
    unseen = sorted({*test.labels.tolist()} - seen) if test is not None else []
    if unseen:
        raise DataError(f"{place}: class {train.classes[unseen[0]]} is among the test labels, but no training image has it.")


def evaluation_loader(dataset: data.LabelledImages, batch_size: int, transform: data.Transform, workers: int) -> data.Loader:
    """Every image once, in order, without augmentation."""
    return data.Loader(dataset, batch_size, transform, shuffle=False, training=False, workers=workers)


def build_model(config: TrainConfig, classes: int, channels: int) -> Any:
    """The network of a configuration, for so many classes and image channels."""
    return models.build(
        config.model,
        num_classes=classes,
        in_channels=channels,
        image_size=config.image_size,
        width=config.width,
        head=config.head,
        init=config.init,
        seed=config.seed,
        recompute=config.recompute,
    )


def build_optimizer(config: TrainConfig, model: Any) -> optim.SGD:
    """SGD over the model's parameters; one-dimensional ones without decay if `decay_all` is off."""
    named = list(model.named_parameters())
    params: Any = named if config.decay_all else optim.without_decay(named, config.weight_decay)
    return optim.SGD(params, config.lr, config.momentum, config.weight_decay, config.nesterov, config.form)


def build_schedule(config: TrainConfig, steps: int) -> optim.Schedule:
    """The learning rate's schedule over `steps` updates."""
    warmup = int((config.warmup or 0.0) * steps)
    if config.schedule == "one-cycle":
        return optim.OneCycle(config.lr, steps, warmup)
    if config.schedule == "cosine":
        return optim.Cosine(config.lr, steps, warmup)
    if config.schedule == "plateau":
        return optim.Plateau(config.lr, config.patience, config.factor, config.drops, warmup)
    if config.schedule == "step":
        return optim.Step(config.lr, math.ceil(steps / (config.drops + 1)), config.factor, warmup)
    return optim.Constant(config.lr, warmup)
