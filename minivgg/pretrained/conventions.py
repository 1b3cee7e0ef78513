"""Under which names, and how turned, other programs keep the arrays of a VGG: one row of a table for each convention.

Every row goes through the paper's names of layers (`models.blocks`: conv1_1 … fc8), so that it holds for all networks at once.

convention   conv1_1                     batch norm behind it                fc6, fc7, fc8                     weights kept as
torchvision  features.0.weight           features.1.weight, …                classifier.0, 3, 6                (K, C, R, S), (out, in)
timm         features.0.weight           features.1.weight, …                pre_logits.fc1, fc2, head.fc      the same; fc6, fc7 as filters
Keras        block1_conv1/kernel         block1_conv1_bn/gamma, …            fc1, fc2, predictions             (R, S, C, K), (in, out)
Caffe        conv1_1.weight              conv1_1/bn, conv1_1/scale           fc6, fc7, fc8                     (K, C, R, S), (out, in)
TensorFlow   conv1_1_W                   -                                   fc6_W, …                          (R, S, C, K), (in, out)

torchvision's names are this package's own; with head="linear" the one layer behind the features is `classifier`. Keras and TensorFlow
flatten the last map place by place, the others channel by channel, so that fc6's inputs are in another order (`turning`).
Caffe's weights, and Keras', which were made of them, expect blue first; TensorFlow's vgg16_weights.npz is fed red first by its maker's
program, less the same mean. Caffe's pooling rounds up.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field

from .. import models
from .turning import Storage

__all__ = ["CONVENTIONS", "Convention", "Place"]

_PLAIN = {"weight": "weight", "bias": "bias"}
_NORM = {name: name for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")}


@dataclass(frozen=True)
class Place:
    """Where one of a file's arrays belongs: its name here, features.0.weight, and the layer's in the paper, conv1_1."""

    ours: str
    layer: str


@dataclass(frozen=True, eq=False)  # compared by identity, so that its places can be kept
class Convention:
    """One row of the table.

    convolution  the name of a convolution, with {block} and {number}; "" for the positions of torchvision
    heads        the fully connected layers by the head that they make: "paper" of three, "linear" of one
    parts        a convolution's or fully connected layer's arrays: their ending in the file → here
    norms        the same for each module that a batch norm is made of, by the ending of that module's name
    joint        what stands between a module's name and an array's
    """

    name: str
    convolution: str
    heads: Mapping[str, tuple[str, ...]]
    parts: Mapping[str, str] = field(default_factory=lambda: _PLAIN)
    norms: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    joint: str = "."
    storage: Storage = field(default_factory=Storage)
    preparation: str = "torchvision"
    bgr: bool = False
    ceil_mode: bool = False

    @functools.cache  # noqa: B019  there is a handful of them
    def places(self, model: str, head: str) -> dict[str, Place]:
        """For each array of that network, by its name in the file, its place here. head "" leaves the classifier out."""
        found: dict[str, Place] = {}
        heads = dict(zip(("fc6", "fc7", "fc8") if head == "paper" else ("fc8",), self.heads.get(head, ()), strict=False))
        for layer, modules in models.blocks(model, head or "paper").items():
            theirs = heads.get(layer, "") if layer.startswith("fc") else self._convolution(layer, modules[0])
            if not theirs:
                continue
            found.update({f"{theirs}{self.joint}{part}": Place(f"{modules[0]}.{ours}", layer) for part, ours in self.parts.items()})
            for module in modules[1:]:
                norms = self.norms if self.convolution else {"": _NORM}
                for ending, parts in norms.items():
                    place = f"{theirs}{ending}" if self.convolution else module
                    found.update({f"{place}{self.joint}{part}": Place(f"{module}.{ours}", layer) for part, ours in parts.items()})
        return found

    def of_features(self, name: str) -> bool:
        """Whether a name looks like one of a layer before the classifier."""
        return name.startswith(self.convolution.partition("{")[0] or "features.")

    def _convolution(self, layer: str, module: str) -> str:
        block, _, number = layer.removeprefix("conv").partition("_")
        return self.convolution.format(block=block, number=number) or module


CONVENTIONS = (
    Convention("torchvision", "", {"paper": ("classifier.0", "classifier.3", "classifier.6"), "linear": ("classifier",)}),
    Convention("timm", "", {"paper": ("pre_logits.fc1", "pre_logits.fc2", "head.fc"), "linear": ("head.fc",)}),
    Convention(
        "Keras",
        "block{block}_conv{number}",
        {"paper": ("fc1", "fc2", "predictions"), "linear": ("predictions",)},
        {"kernel": "weight", "bias": "bias"},
        {"_bn": {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}},
        "/",
        Storage(filters_last=True, cells_first=True, eps=1e-3),
        "caffe",
        bgr=True,
    ),
    Convention(
        "Caffe",
        "conv{block}_{number}",
        {"paper": ("fc6", "fc7", "fc8"), "linear": ("fc8",)},
        norms={"/bn": {"running_mean": "running_mean", "running_var": "running_var"}, "/scale": _PLAIN},
        preparation="caffe",
        bgr=True,
        ceil_mode=True,
    ),
    Convention(
        "TensorFlow",
        "conv{block}_{number}",
        {"paper": ("fc6", "fc7", "fc8"), "linear": ("fc8",)},
        {"W": "weight", "b": "bias"},
        joint="_",
        storage=Storage(filters_last=True, cells_first=True),
        preparation="caffe",
    ),
)
