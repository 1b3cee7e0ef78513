"""`Network`: a network as a value, not yet built: what it is, its arrays, its classes, and how images are prepared for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .. import data, models, nn
from ..backend.arrays import Array
from ..errors import CheckpointError, MinivggError
from .report import Report
from .shapes import Sizes, shapes_of

__all__ = ["Network"]


@dataclass(frozen=True)
class Network:
    """What a file says of a network.

    model      a name of `models.MODELS`, or "" for a chain of layers that is none of them
    options    of a VGG: num_classes, in_channels, image_size, width, head, ceil_mode; of a chain: num_classes, in_channels, image_size
    arrays     by the names of the model's state_dict(); of a VGG without a classifier (`whole` is False) those of its features only
    classes    names in the order of the scores; () if the network has no classifier
    transform  from pixels, uint8 (B, H, W, C), RGB or grey, to what the network sees, float32
    layers     of a chain, in order
    origin     whose names and conventions the file had: minivgg, torchvision, timm, Keras, Caffe, ONNX
    notes      what was done to the arrays to make them fit, a sentence each
    state      of a run's checkpoint: all of its state, the configuration under "config"
    report     what became of each of the file's arrays
    """

    model: str
    options: Mapping[str, Any]
    arrays: Mapping[str, Array]
    classes: tuple[str, ...]
    transform: data.Transform
    layers: tuple[nn.Layer, ...] = ()
    origin: str = "minivgg"
    whole: bool = True
    notes: tuple[str, ...] = ()
    state: Mapping[str, Any] = field(default_factory=dict)
    report: Report = field(default_factory=Report)

    @property
    def image_size(self) -> int:
        """Height and width of the images that it was made for, in pixels."""
        return int(self.options["image_size"])

    @property
    def normalise(self) -> data.Normalise | None:
        """What is subtracted from the colours, and what they are divided by, if anything."""
        steps = self.transform.steps if isinstance(self.transform, data.Compose) else (self.transform,)
        return next((step for step in steps if isinstance(step, data.Normalise)), None)

    def describe(self) -> str:
        """One line: what it is, of how many classes, for which images, and how they are prepared."""
        name = self.model or f"a chain of {len(self.layers)} layers"
        width = f" ×{self.options['width']:g}" if self.options.get("width", 1) != 1 else ""
        head = f"{len(self.classes)} classes, {self.options.get('head', 'own')} head" if self.whole else "features alone"
        size = f"{self.options['in_channels']}×{self.image_size}×{self.image_size}"
        normalise = self.normalise
        levels = (_levels(normalise.mean), _levels(normalise.std)) if normalise else ("0", "1")
        return f"{name}{width}, {head}, images {size}, pixels 0..255 less ({levels[0]}) by ({levels[1]}); origin: {self.origin}"

    def build(self) -> nn.Module:
        """The model, in evaluation mode, float32. One without a classifier gets head="linear" with a single class and weights of 0.

        Raises CheckpointError if the arrays do not make such a network.
        """
        try:
            if self.model:
                options = dict(self.options) if self.whole else {**self.options, "head": "linear", "num_classes": 1}
                self._require_shapes(options)
                model: nn.Module = models.build(self.model, init=nn.init.zeros, **options)
            else:
                model = nn.build_chain(self.layers, {name: array.shape for name, array in self.arrays.items()})
            missing, _ = model.load_state_dict(self.arrays, strict=self.whole)
        except (MinivggError, KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
            raise CheckpointError(f"the arrays do not make a network: {error}") from None
        lacks = [name for name in missing if not name.startswith("classifier")]
        if lacks:
            raise CheckpointError(f"the arrays do not make a network: {len(lacks)} missing: {', '.join(lacks[:5])}")
        return model.eval()

    def _require_shapes(self, options: Mapping[str, Any]) -> None:
        """Raise CheckpointError unless the arrays have the shapes of such a network, before anything of its size is made."""
        head, size = options.get("head", "paper"), options.get("image_size", 224)
        sizes = Sizes(options.get("width", 1.0), options.get("in_channels", 3), options.get("num_classes", 1000), size // 32)
        for name, shape in shapes_of(self.model, head if self.whole else "", sizes).items():
            found = self.arrays[name].shape if name in self.arrays else "missing"
            if found != shape:
                raise CheckpointError(f"{name} should be {shape}, but is {found}")


def _levels(values: tuple[float, ...]) -> str:
    return ", ".join(f"{255 * value:.4g}" for value in values)
