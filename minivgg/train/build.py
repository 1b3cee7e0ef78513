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
from .freezing import freeze
from .preprocessing import preprocessing
from .pretrained_weights import take_pretrained
from .rules import head_factor
from .scaling import LossScale
from .schedule import build_schedule
from .sources import Sources, sources

__all__ = ["Job", "build_job", "build_model", "build_optimizer", "build_schedule", "evaluation_loader"]


@dataclass
class Job:
    """All parts of a run. `images` identifies the training data: image count, shape (H, W, C), of which H and W are None where sizes
    differ, SHA-256. `scaling` is for fp16 only. `taken` says which first weights came from another network, `new` names the layers
    (paths of modules) for which it had none."""

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
    new: tuple[str, ...] = ()

    @property
    def steps(self) -> int:
        """Updates in the whole run."""
        return self.config.epochs * len(self.train)


def build_job(config: TrainConfig, begun: bool = False, images: Sources | None = None) -> Job:
    """Load the images and build everything that the configuration names.

    The job's configuration has the device that was really chosen, and absolute paths. begun: the run has a checkpoint, so that
    config.init_from and config.weights are not read again. images: what `sources` found for this configuration; by default it is asked.
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
    _require_classes(config, whole)
    transform = preprocessing(config, fit)
    loader = data.Loader(fit, config.batch_size, transform, seed=config.seed, workers=config.workers)
    model = build_model(config, len(whole.classes), whole.shape[2])
    taken, new = ("", ()) if begun else _first_weights(config, model, whole.classes)
    model = model.to(device=str(device))
    return Job(
        config=config,
        device=device,
        model=model,
        optimizer=build_optimizer(config, model, new),
        schedule=build_schedule(config, config.epochs * len(loader)),
        transform=transform,
        train=loader,
        val=evaluation_loader(held, config.micro_batch, transform, config.workers),
        test=None if test is None else evaluation_loader(test, config.micro_batch, transform, config.workers),
        classes=whole.classes,
        images={"count": len(whole), "shape": list(whole.shape), "sha256": whole.fingerprint()},
        scaling=LossScale(device) if config.precision == "fp16" else None,
        taken=taken,
        new=new,
    )


def _require_classes(config: TrainConfig, images: data.LabelledImages) -> None:
    """Raise ConfigError unless the images have as many classes as config.num_classes says."""
    if config.num_classes != "auto" and int(config.num_classes) != len(images.classes):
        raise ConfigError(
            f"num_classes = {config.num_classes}, but {config.data or images.name} has {len(images.classes)} classes: "
            f"{', '.join(images.classes[:5])}{', …' if len(images.classes) > 5 else ''}. Leave num_classes out, or name other images."
        )


def _first_weights(config: TrainConfig, model: Any, classes: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Put in the weights that the configuration names, if it does. What they were, and which layers are new."""
    if config.weights:
        return take_pretrained(model, config, classes)
    return take_weights(model, config) if config.init_from else "", ()


def evaluation_loader(dataset: data.LabelledImages, batch_size: int, transform: data.Transform, workers: int) -> data.Loader:
    """Every image once, in order, without augmentation."""
    return data.Loader(dataset, batch_size, transform, shuffle=False, training=False, workers=workers)


def build_model(config: TrainConfig, classes: int, channels: int) -> Any:
    """The network of a configuration, for so many classes and image channels, its `freeze` frozen."""
    model = models.build(
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
        ceil_mode=config.ceil_mode,
    )
    freeze(model, config)
    return model


def build_optimizer(config: TrainConfig, model: Any, new: tuple[str, ...] = ()) -> optim.SGD:
    """SGD over the parameters that are not frozen; one-dimensional ones without decay if `decay_all` is off.

    With `head_lr` the last layer and those in `new` have a rate of their own. Its ratio to the others' stays what it is: the first
    group's rate, even if nothing else is in it, is the schedule's, and the groups follow it.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    factor = head_factor(config.head_lr, config.lr)
    last = [name.rpartition(".")[0] for name, _ in model.named_parameters()][-1]
    head = {last, *new} if factor != 1.0 else set()
    groups: list[dict[str, Any]] = [{"params": [], "lr": config.lr}] if head else []
    for rate, chosen in ((config.lr, False), (config.lr * factor, True)):
        pairs = [(name, p) for name, p in named if (name.rpartition(".")[0] in head) is chosen]
        split = [{"params": pairs}] if config.decay_all else optim.without_decay(pairs, config.weight_decay)
        groups += [{**group, "lr": rate} for group in split if group["params"]]
    return optim.SGD(groups, config.lr, config.momentum, config.weight_decay, config.nesterov, config.form)
