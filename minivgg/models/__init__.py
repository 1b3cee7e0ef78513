"""The VGG networks: `models.vgg16_bn(num_classes=10, …)`, or `models.build("vgg16_bn", …)` by name."""

from ..nn.summary import summary
from .blocks import STAGED, blocks, shallow
from .dense import Dense, dense, undense
from .drawing import drawing
from .layers import layers
from .vgg import COLUMNS, MODELS, NAMES, VGG, build

vgg11, vgg11_bn, vgg11_lrn = MODELS["vgg11"], MODELS["vgg11_bn"], MODELS["vgg11_lrn"]
vgg13, vgg13_bn = MODELS["vgg13"], MODELS["vgg13_bn"]
vgg16_1x1, vgg16_1x1_bn = MODELS["vgg16_1x1"], MODELS["vgg16_1x1_bn"]
vgg16, vgg16_bn = MODELS["vgg16"], MODELS["vgg16_bn"]
vgg19, vgg19_bn = MODELS["vgg19"], MODELS["vgg19_bn"]

__all__ = [
    "COLUMNS",
    "MODELS",
    "NAMES",
    "STAGED",
    "VGG",
    "Dense",
    "blocks",
    "build",
    "dense",
    "drawing",
    "layers",
    "shallow",
    "summary",
    "undense",
    "vgg11",
    "vgg11_bn",
    "vgg11_lrn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_1x1",
    "vgg16_1x1_bn",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
]
