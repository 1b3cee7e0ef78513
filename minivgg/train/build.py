"""From a configuration to the parts of a run: images, loaders, model, optimiser, schedule."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from .. import data, models, optim
from ..backend.device import Device
from ..backend.pool import allowed
from ..backend.precision import check
from ..errors import ConfigError
from .config import TrainConfig
from .first_weights import take_weights
from .preprocessing import preprocessing
from .scaling import LossScale
from .schedule import build_schedule
from .sources import Sources, sources

__all__ = ["Job", "build_job", "build_model", "build_optimizer", "build_schedule", "evaluation_loader"]


@dataclass
class Job:
    """All parts of a run. `images` identifies the training data: image count, shape (H, W, C), of which H and W are None where sizes
    differ, SHA-256. `scaling` is for fp16 only. `taken` says which first weights came from another network."""

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
    taken: str = ""

    @property
    def steps(self) -> int:
        """Updates in the whole run."""
        return self.config.epochs * len(self.train)


def build_job(config: TrainConfig, begun: bool = False, images: Sources | None = None) -> Job:
    """Load the images and build everything that the configuration names.

    The job's configuration has the device that was really chosen, and absolute paths. begun: the run has a checkpoint, so that
    config.init_from is not read again. images: what `sources` found for this configuration; by default it is asked.
    Raises ConfigError, DataError, ShapeError, DeviceError or CheckpointError for what does not fit.
    """
    if config.scales:
        first = config.scales.split(",")[0]
        raise ConfigError(f'scales = "{config.scales}" is a plan of several runs, where one is wanted. Name its scale: --scale {first}.')
    device = Device(config.device)
    check(config.precision, device)
    allowed(device, config.gpu_memory)
    config = dataclasses.replace(config.with_absolute_paths(), device=str(device))
    whole, fit, held, test = images or sources(config)
    transform = preprocessing(config, fit)
    loader = data.Loader(fit, config.batch_size, transform, seed=config.seed, workers=config.workers)
    model = build_model(config, len(whole.classes), whole.shape[2])
    taken = take_weights(model, config) if config.init_from and not begun else ""
    model = model.to(device=str(device))
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
        taken=taken,
    )


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
        init_std=config.init_std,
        seed=config.seed,
        recompute=config.recompute,
    )


def build_optimizer(config: TrainConfig, model: Any) -> optim.SGD:
    """SGD over the model's parameters; one-dimensional ones without decay if `decay_all` is off."""
    named = list(model.named_parameters())
    params: Any = named if config.decay_all else optim.without_decay(named, config.weight_decay)
    return optim.SGD(params, config.lr, config.momentum, config.weight_decay, config.nesterov, config.form)
