"""The paper's plan: which runs, in which order, each from whose weights.

    1  net A (vgg11), from N(0, 0.01²)                            at the first scale, S = 256, rate `lr`
    2  the deeper net: conv1_1, conv2_1, conv3_1, conv3_2 and     at the first scale, rate `lr`: nothing is slowed down
       the fully connected layers from net A, the rest random
    3  the deeper net, all of it from stage 2                     at S = 384, rate `fine_lr`
    4  the deeper net, all of it from stage 3                     at S drawn from [256, 512] for each image and use, rate `fine_lr`

vgg11 and vgg11_lrn are shallow themselves: their plan has no second net. With `init_from` the plan begins at the deeper net, and that run
stands for net A. See Simonyan & Zisserman, arXiv:1409.1556, §3.1.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from .. import models
from ..errors import ConfigError
from .config import TrainConfig

__all__ = ["Stage", "plan_table", "stages"]


@dataclass(frozen=True)
class Stage:
    """One run of a plan: the name of its folder, its own configuration, and in words where its first weights come from."""

    name: str
    config: TrainConfig
    source: str


def stages(config: TrainConfig, folder: Path) -> list[Stage]:
    """The stages of the plan that `config`, with `scales`, stands for, in the plan's folder.

    Raises ConfigError for a scale smaller than the crop, or an unknown model.
    """
    shallow, scales = models.shallow(config.model), config.scales.split(",")
    _require_room(config, scales)
    runs = [(net, scales[0], config.lr) for net in ([config.model] if config.init_from else dict.fromkeys((shallow, config.model)))]
    runs += [(config.model, scale, config.fine_lr) for scale in scales[1:]]
    found: list[Stage] = []
    for number, (net, scale, rate) in enumerate(runs, 1):
        start = str(folder / found[-1].name) if found else config.init_from
        own = dataclasses.replace(config, model=net, scale=scale, scales="", lr=rate, init_from=start, out=str(folder))
        found.append(Stage(f"{number}_{net}_{scale}", own, _source(config, found, net)))
    return found


def plan_table(plan: list[Stage]) -> str:
    """A table of the stages: network, S, rate, epochs, first weights."""
    lines = [f"{'stage':<24}{'network':<14}{'S':<10}{'rate':<9}{'epochs':<8}first weights"]
    for stage in plan:
        own = stage.config
        most = f"≤ {own.epochs}" if own.schedule == "plateau" else f"{own.epochs}"
        lines.append(f"{stage.name:<24}{own.model:<14}{own.scale:<10}{own.lr:<9g}{most:<8}{stage.source}")
    return "\n".join(lines)


def _source(config: TrainConfig, before: list[Stage], net: str) -> str:
    if not before:
        return config.init_from or f"random ({config.init})"
    if before[-1].config.model == net:
        return before[-1].name
    return f"{', '.join(models.STAGED)} from {before[-1].name}, the rest random ({config.init})"


def _require_room(config: TrainConfig, scales: list[str]) -> None:
    least, size = min(int(scale.partition("-")[0]) for scale in scales), config.image_size
    if least < size:
        raise ConfigError(
            f"the scale {least} makes images whose shortest side is {least} pixels, but a crop needs {size}×{size}. "
            f"Raise --scales to {size} or more, or lower --image-size to {least}."
        )
