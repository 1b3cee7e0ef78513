"""`check_model`: a miniature of a VGG, end to end, against finite differences."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np

from .. import models, ops
from ..autograd import mode
from ..autograd.core import grad
from ..autograd.tensor import Tensor
from ..backend.random import stream
from .kinks import Pattern, pattern
from .report import GradientReport, Section
from .stencil import Arrays, Problem, compare

__all__ = ["check_model"]

_CHANNELS = 4  # of the first block, where the paper has 64


def check_model(name: str, *, seed: int = 0, coordinates: int = 400, directions: int = 8, batch: int = 3) -> GradientReport:
    """Check backward of the model `name` in miniature: a sixteenth of its channels, images of 32×32, float64, in training.

    The loss is the cross-entropy of a random batch. Compared are `coordinates` random elements of the parameters and
    the images and `directions` random directions of unit length, with the overlay's kernels and without. Samples that
    cross a kink are reported, replaced and counted. Running statistics and dropout masks stay fixed.
    """
    model = models.build(name, num_classes=5, in_channels=3, image_size=32, width=_CHANNELS / 64, head="paper", seed=seed)
    model.to(dtype="float64")
    rng = stream(seed, "check model", name)
    images, targets = rng.standard_normal((batch, 3, 32, 32)), rng.integers(0, 5, batch)
    parameters = list(model.named_parameters())

    def loss(at: Arrays) -> tuple[list[Tensor], Tensor]:
        for (_, parameter), value in zip(parameters, at, strict=False):
            parameter.data = value
        x = Tensor(at[-1], requires_grad=True)
        with mode.step(0), mode.frozen_state():
            return [*(parameter for _, parameter in parameters), x], ops.cross_entropy(model(x), targets)

    def value(at: Arrays) -> tuple[float, Pattern]:
        y = loss(at)[1]
        return y.item(), pattern(y)

    def gradient(at: Arrays) -> Arrays:
        tensors, y = loss(at)
        return grad(y, tensors)

    arrays = [np.asarray(parameter.data) for _, parameter in parameters]
    problem = Problem([*(path for path, _ in parameters), "images"], [*arrays, images], value, gradient)
    sections = []
    for kernels in (True, False):
        context: Any = nullcontext() if kernels else mode.reference()
        with context:
            sections.append(Section(1, kernels, compare(problem, stream(seed, "samples", name), coordinates, directions)))
    return GradientReport(f"{name} in miniature", tuple(sections))
