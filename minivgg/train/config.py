"""`TrainConfig`: every choice of a training run in one place, with its meaning, its range and its default.

The defaults are the default job: `minivgg train` on the embedded images, the recipe "small". They stand here and nowhere else; the
command's flags, their help texts and `config.toml` are made from this table. `recipes.py` has those of the recipe "paper".
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigError, nearest
from . import rules
from .recipes import recipe_defaults

__all__ = ["NOT_IN_CHECKPOINTS", "TrainConfig"]

# Where a run happens, how often it saves, what it keeps in memory: no influence on its bits, and no place in its checkpoints.
NOT_IN_CHECKPOINTS = frozenset(
    {"data", "init_from", "weights", "on_bad", "out", "device", "gpu_memory", "workers", "checkpoint_every", "recompute"}
)

Range = tuple[str, Callable[[Any], bool]]
_ANY: Range = ("", lambda v: True)
_POSITIVE: Range = ("> 0", lambda v: v > 0)
_NOT_NEGATIVE: Range = ("≥ 0", lambda v: v >= 0)
_AT_LEAST_ONE: Range = ("≥ 1", lambda v: v >= 1)


def _within(least: float, most: float) -> Range:
    return f"in [{least:,}, {most:,}]", lambda v: least <= v <= most


def _one_of(*names: str) -> Range:
    return " or ".join(f'"{name}"' for name in names), lambda v: v in names


_SCALE: Range = ('such as "256" or "256-512", the smaller first', rules.is_scale)
_SCALES: Range = ('such as "256" or "256,384,256-512"', rules.is_scales)
_CLASSES: Range = ('"auto" or a number as text, such as "10"', rules.is_classes)
_NAMES: Range = ('names of layers with commas between them, such as "features" or "block1,block2,conv3_1"', rules.is_names)
_HEAD_RATE: Range = ('a factor such as "10x" or a rate such as "0.01", above 0', rules.is_head_rate)
_NORMALISE: Range = ('"std" or "mean" or means and deviations in 0..1, such as "0.485,0.456,0.406/0.229,0.224,0.225"', rules.is_normalise)


def _below_one(v: float) -> bool:
    return 0 <= v < 1


def _is_precision(v: Any, device: str = "") -> bool:
    """True, or ConfigError. Imported here: a command's help should not wait for NumPy."""
    from ..backend.device import Device
    from ..backend.precision import check

    return bool(check(v, Device(device) if device else None))


def _key(default: Any, meaning: str, valid: Range = _ANY) -> Any:
    return dataclasses.field(default=default, metadata={"help": meaning, "valid": valid})


@dataclass(frozen=True)
class TrainConfig:
    """The configuration of a run. Raises ConfigError, with the key's name, for a value of a wrong type or out of range."""

    data: str = _key("", "folder of images or of idx files, or an .npz file; empty: the embedded Fashion-MNIST images")
    grey: bool = _key(False, "read the images of a folder with one channel, not three")
    on_bad: str = _key("fail", "an image file that cannot be read: stop, or leave it out from the start", _one_of("fail", "skip"))
    recipe: str = _key("small", "where defaults come from: the small data of today, or the paper's procedure", _one_of("small", "paper"))
    init_from: str = _key("", "run folder or checkpoint whose first convolutions and fully connected layers are the first weights")
    weights: str = _key("", "file of weights, or run folder, to begin with; network, sizes and colours are then the file's by default")
    num_classes: str = _key("auto", "how many classes the images must have; auto: as many as they have", _CLASSES)
    freeze: str = _key("", "layers that stay as they are: features, block1, conv1_1, fc6, or paths of modules, with commas", _NAMES)
    model: str = _key("vgg11_bn", "the network's name")
    width: float = _key(0.25, "factor on the number of filters of every layer", _within(1e-3, 10_000))
    head: str = _key("linear", "classifier: one linear layer behind global pooling, or the paper's three", _one_of("linear", "paper"))
    init: str = _key("he", "initialisation of the weights", _one_of("he", "paper", "glorot"))
    init_std: float = _key(0.01, "deviation of init = paper at full width and size; smaller networks keep its gain", _POSITIVE)
    image_size: int = _key(32, "height and width that images are padded or cropped to, in pixels", _within(32, 4096))
    ceil_mode: bool = _key(False, "pool as Caffe does, to 113 pixels of 225, where the rest pools to 112")
    epochs: int = _key(10, "how many times every training image is seen", _within(1, 10**6))
    batch_size: int = _key(32, "images in one step", _within(1, 10**6))
    accumulate: int = _key(1, "micro-batches in which a step is computed, for less memory; batch norm sees one at a time", _AT_LEAST_ONE)
    recompute: bool = _key(False, "keep only the blocks' inputs for the backward pass and compute the rest again, for less memory")
    lr: float = _key(0.1, "learning rate, the highest of the schedule; by default 0.01 with weights without batch norm", _POSITIVE)
    head_lr: str = _key("1x", "rate of the last layer and of layers that weights left new: a factor on lr, or a rate", _HEAD_RATE)
    momentum: float = _key(0.9, "share of the velocity that survives a step", ("in [0, 1)", _below_one))
    nesterov: bool = _key(True, "look ahead along the momentum")
    form: str = _key("torch", "where the rate enters the velocity", _one_of("torch", "paper"))
    weight_decay: float = _key(5e-4, "L2 penalty on the weights", _NOT_NEGATIVE)
    decay_all: bool = _key(True, "apply weight decay to biases and batch norm, too")
    schedule: str = _key("one-cycle", "how the rate changes", _one_of("constant", "cosine", "one-cycle", "plateau", "step"))
    warmup: float | None = _key(
        None, "share of all steps with a rising rate; default: 0.25 for one-cycle, otherwise 0", ("in [0, 1)", _below_one)
    )
    factor: float = _key(0.1, "plateau and step: what the rate is multiplied by at a drop", ("in (0, 1)", lambda v: 0 < v < 1))
    drops: int = _key(3, "plateau and step: how many drops at most", _NOT_NEGATIVE)
    patience: int = _key(3, "plateau: epochs without a better validation accuracy before a drop", _AT_LEAST_ONE)
    label_smoothing: float = _key(0.1, "share of each target spread over all classes", ("in [0, 1)", _below_one))
    clip: float = _key(0.0, "bound on the gradients' joint L2 norm; 0: none", _NOT_NEGATIVE)
    mirror: bool = _key(True, "mirror each training image with probability ½")
    scale: str = _key(
        "", "shortest side that images are rescaled to: 256, or 256-512 drawn anew for each use; empty: folders to image_size", _SCALE
    )
    scales: str = _key("", "train in stages, the paper's plan, at these scales, such as 256,384,256-512; empty: one run", _SCALES)
    fine_lr: float = _key(1e-3, "learning rate of the stages after the first scale", _POSITIVE)
    random_resized: bool = _key(False, "crop a random part of each training image and rescale it, in place of a crop of fixed size")
    colour_shift: float = _key(0.0, "deviation of the random shift along the training colours' axes; the paper's is 0.1", _within(0, 10))
    normalise: str = _key(
        "std",
        "std: divide by the channels' deviations; mean: subtract the mean of 0..255, as the paper; or numbers M,M,M/S,S,S in 0..1",
        _NORMALISE,
    )
    cutout: int = _key(0, "side of a square of each training image that is blanked, in pixels; 0: none", _within(0, 4096))
    mixup: float = _key(0.0, "α of the Beta(α, α) share in which pairs of training images are mixed; 0: none", _within(0, 1000))
    shift: int = _key(1, "shift each training image by up to so many pixels", _within(0, 1024))
    val_split: float = _key(0.1, "share of the training images kept for validation", ("in (0, 1)", lambda v: 0 < v < 1))
    seed: int = _key(0, "decides every random draw", _NOT_NEGATIVE)
    device: str = _key("auto", "cpu, cuda, cuda:1, … or auto: a usable GPU, otherwise the CPU")
    precision: str = _key(
        "fp32", "how a card computes: fp32, tf32, fp16 with loss scaling, or bf16; weights stay float32", ("", _is_precision)
    )
    gpu_memory: str = _key("", "the most that arrays may take of a card's memory, such as 20GB or 50%; empty: all there is")
    workers: int = _key(1, "threads, or processes for images in files, that prepare batches; 0: none", _NOT_NEGATIVE)
    checkpoint_every: int = _key(50, "steps between checkpoints within an epoch; 0: only at the end of each epoch", _NOT_NEGATIVE)
    out: str = _key("runs", "folder in which the run's folder is made")

    def __post_init__(self) -> None:
        if self.warmup is None:
            object.__setattr__(self, "warmup", 0.25 if self.schedule == "one-cycle" else 0.0)
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, _checked(field, getattr(self, field.name)))
        if self.device == "cpu":
            _is_precision(self.precision, self.device)
        if self.scale and self.scales:
            raise ConfigError(
                f'scale is for one run and scales for a plan of several, but they are "{self.scale}" and "{self.scales}". Give one.'
            )
        for key, other in (("weights", "init_from"), ("weights", "scales"), ("freeze", "scales")):
            mine, its = getattr(self, key), getattr(self, other)
            if mine and its:
                remedy = f"Name one scale: --scale {its.split(',')[0]}." if other == "scales" else "Leave one of them out."
                raise ConfigError(f'{key} and {other} exclude each other, but they are "{mine}" and "{its}". {remedy}')
        if self.nesterov and not self.momentum:
            raise ConfigError("nesterov = true needs momentum > 0, but momentum is 0. Set nesterov = false (--no-nesterov).")

    @classmethod
    def of(cls, *layers: Mapping[str, Any], source: str = "the configuration") -> TrainConfig:
        """The defaults, those of the recipe that a mapping names, and then each mapping in turn: first a configuration file's, then the
        flags'.

        Only so is a recipe applied: TrainConfig(recipe="paper") has the other keys' own defaults. `configured` also asks the file of
        `weights`.

        Raises ConfigError, naming `source` and the nearest valid key, for a key that is unknown.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        merged: dict[str, Any] = {}
        for layer in layers:
            for key in layer:
                if key not in names:
                    raise ConfigError(f'{source} has no key "{key}": {nearest(str(key), names)}')
            merged.update(layer)
        return cls(**{**recipe_defaults(merged), **merged})

    @property
    def micro_batch(self) -> int:
        """The most images that are in the network at once, in training and in evaluation."""
        return math.ceil(self.batch_size / self.accumulate)

    def describe_batch(self) -> str:
        """Such as "32", or "32 in 4 micro-batches"."""
        return f"{self.batch_size}" + (f" in {self.accumulate} micro-batches" if self.accumulate > 1 else "")

    def with_absolute_paths(self) -> TrainConfig:
        """The same, with paths of the data and of the first weights that hold in any working directory."""
        data, init_from = (str(Path(path).absolute()) if path else "" for path in (self.data, self.init_from))
        weights = str(Path(self.weights).absolute()) if self.weights and Path(self.weights).exists() else self.weights
        return dataclasses.replace(self, data=data, init_from=init_from, weights=weights)

    def mapping(self) -> dict[str, Any]:
        """All keys and values, in the order above."""
        return dataclasses.asdict(self)

    def essence(self) -> dict[str, Any]:
        """The keys and values that decide a run's bits, given its images: what a checkpoint holds."""
        return {key: value for key, value in self.mapping().items() if key not in NOT_IN_CHECKPOINTS}


def _checked(field: dataclasses.Field[Any], value: Any) -> Any:
    """`value` in the key's own type; an integer will do where a float is wanted."""
    kind = str(field.type).split(" ")[0]
    wanted = {"bool": "true or false", "int": "an integer", "float": "a finite number", "str": "a text"}[kind]
    bound, holds = field.metadata["valid"]
    right = {
        "bool": isinstance(value, bool),
        "int": isinstance(value, int) and not isinstance(value, bool),
        "float": isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value),
        "str": isinstance(value, str),
    }[kind]
    if not right or not holds(value):
        expected = bound if kind == "str" else f"{wanted} {bound}".strip()
        raise ConfigError(f"{field.name} must be {expected or wanted}, but is {value!r}.")
    if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):  # bytes of a path that are no UTF-8
        raise ConfigError(f"{field.name} must be a text in UTF-8, to be kept with the run, but is {value!r}. Rename the file or folder.")
    return float(value) if kind == "float" else value
