"""A drawing of a VGG in text: one line per block, a bar as long as its image is wide."""

from __future__ import annotations

from .. import nn
from .vgg import VGG

__all__ = ["drawing"]

_BAR = 28  # characters for the full image


def drawing(model: VGG) -> str:
    """The network from the image to the classes, a line for each block; sizes for images of model.image_size."""
    size, lines, parts = model.image_size, [], list[str]()
    channels = model.in_channels
    lines.append(_line("image", 1.0, f"{channels}×{size}×{size}", ""))
    block, width = 1, size
    for layer in model.features:
        if isinstance(layer, nn.MaxPool2d):
            lines.append(_line(f"block {block}", width / size, f"{channels}×{width}×{width}", " → ".join(parts)))
            block, width, parts = block + 1, width // 2, []
        else:
            parts.append(_label(layer))
            channels = layer.out_channels if isinstance(layer, nn.Conv2d) else channels
    cells = model.avgpool.output_size[0]
    lines.append(
        _line(
            "pooled",
            cells / size,
            f"{channels}×{cells}×{cells}",
            "2×2 max pooling ends each block" + ("" if cells > 1 else ", then the mean over the image"),
        )
    )
    head = [model.classifier] if isinstance(model.classifier, nn.Linear) else [m for m in model.classifier if isinstance(m, nn.Linear)]  # type: ignore[attr-defined]
    for i, layer in enumerate(head):
        lines.append(
            _line(
                f"fc {i + 6 if len(head) == 3 else i + 1}",
                0.0,
                str(layer.out_features),
                "linear" if i == len(head) - 1 else "linear → ReLU → dropout",
            )
        )
    return "\n".join([f"{model.title}: configuration {model.column}", *lines])


def _label(layer: nn.Module) -> str:
    if isinstance(layer, nn.Conv2d):
        return f"conv{layer.kernel_size[0]}-{layer.out_channels}"
    return {"BatchNorm2d": "BN", "LocalResponseNorm": "LRN"}.get(type(layer).__name__, type(layer).__name__)


def _line(name: str, share: float, shape: str, content: str) -> str:
    bar = "█" * max(round(_BAR * share), 1) if share else "·"
    return f"{name:8} {bar:{_BAR}}  {shape:>12}  {content}".rstrip()
