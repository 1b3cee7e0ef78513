"""A VGG of ours, and the same one built from torch's layers by its own table: same names, same weights, same dropout masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from minivgg import models, ops
from minivgg.autograd import mode
from minivgg.autograd.core import Tensor
from minivgg.backend.random import stream

Pair = tuple[Any, Any]  # ours, torch's

# filters of the 3×3 convolutions, "M" max pooling, "L" local response normalisation, negative numbers 1×1 convolutions
LAYERS = {
    "vgg11": [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
    "vgg11_lrn": [64, "L", "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
    "vgg13": [64, 64, "M", 128, 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
    "vgg16_1x1": [64, 64, "M", 128, 128, "M", 256, 256, -256, "M", 512, 512, -512, "M", 512, 512, -512, "M"],
    "vgg16": [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"],
    "vgg19": [64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M", 512, 512, 512, 512, "M", 512, 512, 512, 512, "M"],
}
CLASSES = 5


def torch_vgg(name: str, cells: int, head: str, shrink: int) -> Any:
    """features, avgpool and classifier of torch layers, with channels divided by `shrink`; names are torchvision's."""
    import torch

    class GivenMask(torch.nn.Module):
        """Dropout with p = ½ by a mask from outside; without one, as in evaluation, nothing."""

        mask: Any = None

        def forward(self, x: Any) -> Any:
            return x if self.mask is None else x * torch.tensor(self.mask) / 0.5

    features: list[Any] = []
    channels = 3
    for entry in LAYERS[name.removesuffix("_bn")]:
        if entry == "M":
            features.append(torch.nn.MaxPool2d(2, 2))
        elif entry == "L":  # torch divides α by the size, 5: this is the paper's 1e-4
            features.append(torch.nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0))
        else:
            kernel, filters = (3, entry // shrink) if entry > 0 else (1, -entry // shrink)
            features.append(torch.nn.Conv2d(channels, filters, kernel, padding=kernel // 2))
            features += [torch.nn.BatchNorm2d(filters)] if name.endswith("_bn") else []
            features.append(torch.nn.ReLU())
            channels = filters
    hidden = 4096 // shrink
    full = [
        torch.nn.Linear(channels * cells**2, hidden),
        torch.nn.ReLU(),
        GivenMask(),
        torch.nn.Linear(hidden, hidden),
        torch.nn.ReLU(),
        GivenMask(),
        torch.nn.Linear(hidden, CLASSES),
    ]

    class TorchVGG(torch.nn.Module):
        """torchvision's structure."""

        def __init__(self) -> None:
            super().__init__()
            self.features = torch.nn.Sequential(*features)
            self.avgpool = torch.nn.AdaptiveAvgPool2d(cells if head == "paper" else 1)
            self.classifier = torch.nn.Sequential(*full) if head == "paper" else torch.nn.Linear(channels, CLASSES)

        def forward(self, x: Any) -> Any:
            return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))

    return TorchVGG().to(torch.float64)


@pytest.fixture
def twins(rng: np.random.Generator) -> Callable[..., Pair]:
    """`twins(name)`: (ours, torch's) in float64 with a sixteenth of the channels and the same random weights and statistics."""
    import torch

    def build(name: str, image_size: int = 32, head: str = "paper") -> Pair:
        theirs = torch_vgg(name, image_size // 32, head, 16)
        state = {}
        for key, value in theirs.state_dict().items():
            normal = rng.standard_normal(tuple(value.shape))
            if value.ndim > 1:
                state[key] = normal * np.sqrt(2.0 / np.prod(value.shape[1:]))
            elif value.ndim == 0:
                state[key] = np.asarray(3)  # a counter
            else:
                state[key] = np.exp(0.3 * normal) if key.endswith(("var", "weight")) else 0.1 * normal
        theirs.load_state_dict({key: torch.tensor(value) for key, value in state.items()})
        ours = models.build(name, num_classes=CLASSES, image_size=image_size, width=1 / 16, head=head).to(dtype="float64")
        ours.load_state_dict(state)
        return ours, theirs

    return build


@pytest.fixture
def losses() -> Callable[..., Pair]:
    """`losses(ours, theirs, x, targets, step)`: both cross-entropies, with the dropout masks of that step where there is dropout."""
    import torch

    def compute(ours: Any, theirs: Any, x: Any, targets: np.ndarray, step: int = 0) -> Pair:
        a, b = x if isinstance(x, tuple) else (Tensor(x), torch.tensor(x))
        for name, module in theirs.named_modules():
            if hasattr(module, "mask"):
                shape = (b.shape[0], 4096 // 16)
                module.mask = stream(0, "dropout", name, "step", step, 0).random(shape, "float32") >= 0.5 if theirs.training else None
        with mode.step(step):
            loss = ops.cross_entropy(ours(a), targets)
        return loss, torch.nn.functional.cross_entropy(theirs(b), torch.tensor(targets))

    return compute


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """torch's sums in one fixed order."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
