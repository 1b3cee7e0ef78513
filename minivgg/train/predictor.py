"""A trained model and all it needs to be used: classes and preprocessing come from the checkpoint, not from the caller."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import data, ops
from ..autograd import mode
from ..autograd.core import Tensor
from ..backend.arrays import to_numpy
from ..backend.device import Device
from ..backend.layout import as_nchw
from ..backend.precision import as_images, check
from ..backend.precision import precision as in_precision
from ..errors import CheckpointError, DataError, NumericalError
from ..pretrained import Network, read
from .build import evaluation_loader
from .config import TrainConfig
from .evaluate import Evaluation, evaluate
from .plan_folder import trained

__all__ = ["Predictor"]


@dataclass(frozen=True)
class Predictor:
    """`Predictor.load(run)`, then `predict(paths)` or `evaluate(dataset)`. `shape` is (H, W, C) of the images it was trained on; H and W
    are None where they had sizes of their own."""

    model: Any
    classes: tuple[str, ...]
    transform: data.Transform
    shape: tuple[int | None, int | None, int]
    config: TrainConfig
    device: Device
    images: Any  # what identifies the training images: count, shape, SHA-256
    precision: str = "fp32"  # in which the model computes
    path: str = ""  # of the file, for messages

    @classmethod
    def load(cls, run: str | Path, *, best: bool = False, device: str = "auto", precision: str | None = None) -> Predictor:
        """The model of a run folder (its last checkpoint, or its best), of a plan's last finished stage, or of a file: a checkpoint, or
        weights of any format that `pretrained.read` knows.

        precision: by default the run's own on a card, and fp32 on a CPU. Raises CheckpointError if the file is missing, damaged,
        or not of a run; ConfigError if the device cannot compute in that precision.
        """
        path = trained(run).checkpoint(best) if Path(run).is_dir() else Path(run)
        network = read(path)
        images = network.state.get("images") or {"count": 0, "shape": [None, None, network.options["in_channels"]], "sha256": ""}
        try:
            config = _config(network, path)
            height, width, channels = images["shape"]
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{path}: its state does not describe a model ({type(error).__name__}: {error}).") from None
        place = Device(device)
        chosen = check(precision or ("fp32" if place.kind == "cpu" else config.precision), place)
        try:
            model = network.build().to(device=str(place))
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from None
        return cls(model, network.classes, network.transform, (height, width, channels), config, place, images, chosen, str(path))

    def predict(self, paths: str | Path | Iterable[str | Path]) -> list[Any]:
        """For each image file (or the one) the classes' probabilities, float64 (classes,). DataError for a file that is no image,
        NumericalError for scores that are NaN or Inf."""
        self.require_classes()
        listed = [paths] if isinstance(paths, str | Path) else paths
        return [ops.softmax(_finite(self.scores(self.prepared(path)), path), axis=1)[0] for path in listed]

    def prepared(self, path: str | Path) -> Any:
        """An image file as the network sees it: float32 (1, H, W, C). Raises DataError for a file that is no image."""
        height, width, channels = self.shape
        if height is None or width is None:
            image = data.decode(path, channels, self.transform.least)
        else:
            image = data.read_image(path, channels, (height, width))
        try:
            return self.transform(image[None], data.Draws(0, 0, np.zeros(1, np.int64), training=False))
        except DataError as error:
            raise DataError(f"{path}: {error}") from None

    def scores(self, images: Any, network: Callable[[Tensor], Any] | None = None) -> Any:
        """images float32 (B, H, W, C), preprocessed → the model's logits, float64 (B, classes), on the host; or what another `network`
        on the same device says of them, a function of the images (B, C, H, W)."""
        with self.device.use(), mode.no_grad(), in_precision(self.precision):
            x = as_nchw(np.ascontiguousarray(images, np.float32))
            return to_numpy((network or self.model)(Tensor(as_images(self.device, x))).data).astype(np.float64)

    def require_same_images(self, dataset: data.LabelledImages) -> None:
        """Raise DataError unless `dataset` holds the very images that the model was trained with, split included."""
        if dataset.fingerprint() != self.images["sha256"]:
            raise DataError(
                f"{dataset.name} has changed since the run: its validation images may now be among those that were trained on. "
                "Give back the images, or name others: evaluate RUN DATA."
            )

    def require_classes(self) -> None:
        """Raise CheckpointError for a network without a classifier."""
        if not self.classes:
            raise CheckpointError(
                f"{self.path or 'the network'}: has no classifier with a score of each class, only features or a map of scores. "
                "Train a classifier on a VGG's features: minivgg train DATA --weights FILE."
            )

    def require_channels(self, dataset: data.LabelledImages) -> None:
        """Raise DataError unless `dataset` has the channels that the model was trained on."""
        if dataset.shape[2] != self.shape[2]:
            raise DataError(f"{dataset.name} has {dataset.shape[2]} channel(s), but the model was trained on {self.shape[2]}.")

    def require_fit(self, dataset: data.LabelledImages) -> None:
        """Raise DataError unless `dataset` has the channels and the classes, in their order, that the model was trained on."""
        self.require_classes()
        self.require_channels(dataset)
        if dataset.classes != self.classes:
            lacks = [name for name in self.classes if name not in dataset.classes]
            strange = [name for name in dataset.classes if name not in self.classes]
            parts = [f"it lacks {_some(lacks)}"] * bool(lacks) + [f"the model does not know {_some(strange)}"] * bool(strange)
            raise DataError(
                f"{dataset.name} has the {len(dataset.classes)} classes {_some(dataset.classes)}, but the model was trained on the "
                f"{len(self.classes)} classes {_some(self.classes)}: {'; '.join(parts) or 'their order differs'}. "
                "Name or arrange the classes as those of the model, or train on these images."
            )

    def evaluate(self, dataset: data.LabelledImages) -> Evaluation:
        """Loss and accuracy on a dataset of the same image size and classes. Raises DataError if they differ."""
        self.require_fit(dataset)
        with in_precision(self.precision):
            return evaluate(self.model, evaluation_loader(dataset, self.config.micro_batch, self.transform, 1), self.device)


def _config(network: Network, path: Path) -> TrainConfig:
    """The configuration of a run's checkpoint; of another file's network one with its model, head, sizes and colours, and with the split
    of the run that it is from."""
    if "config" in network.state:
        return TrainConfig.of(network.state["config"], source=str(path))
    sizes = {key: value for key, value in network.options.items() if key in {"image_size", "width", "head"}}
    sizes |= {**network.state.get("split", {}), "grey": network.options["in_channels"] == 1}
    return TrainConfig.of({"model": network.model or "chain", **sizes}, source=str(path))


def _finite(scores: Any, path: str | Path) -> Any:
    """The scores, if they are numbers."""
    if not np.isfinite(scores).all():
        raise NumericalError(f"{path}: the network's scores are NaN or Inf, so they say nothing of it. Use other weights.")
    return scores


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
