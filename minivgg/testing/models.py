"""`check_model`: a miniature of a VGG, end to end, against finite differences."""

from __future__ import annotations

from typing import Any

from .. import models, nn, ops
from ..autograd import mode
from ..backend.random import stream
from ..errors import ConfigError
from .gradients import check_gradients
from .report import GradientReport

__all__ = ["check_model"]

_CHANNELS = 4  # of the first block, where the paper has 64


def check_model(name: str, *, order: int = 1, seed: int = 0, coordinates: int = 400, directions: int = 8, batch: int = 3) -> GradientReport:
    """Check backward of the model `name` in miniature: a sixteenth of its channels, images of 32×32, float64, in training.

    The loss is the cross-entropy of a random batch. Compared are `coordinates` random elements of the parameters and
    the images, all elements in blocks, and `directions` directions of unit length, with the overlay's kernels and without.
    Samples that cross a kink are reported, replaced and counted. Running statistics and dropout masks stay fixed.
    """
    if batch < 1:
        raise ConfigError(f"batch must be at least one image, but is {batch}.")
    model = models.build(name, num_classes=5, in_channels=3, image_size=32, width=_CHANNELS / 64, head="paper", seed=seed)
    model.to(dtype="float64")
    rng = stream(seed, "check model", name)
    images, targets = rng.standard_normal((batch, 3, 32, 32)), rng.integers(0, 5, batch)
    paths = [path for path, _ in model.named_parameters()]

    def loss(*tensors: Any) -> Any:
        with mode.step(0):
            logits = nn.functional_call(model, dict(zip(paths, tensors, strict=False)), tensors[-1])
        return ops.cross_entropy(logits, targets)

    arrays = [*(parameter.data for parameter in model.parameters()), images]
    loss.__name__ = f"{name} in miniature"
    return check_gradients(loss, *arrays, order=order, seed=seed, coordinates=coordinates, directions=directions, names=[*paths, "images"])
