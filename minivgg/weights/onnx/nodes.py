"""Layers as nodes of an ONNX graph: which operator a layer is, with which attributes, and what shape it leaves. No package is needed.

Each node has one output, which the next one takes. Constants keep the names that the arrays have in the network: features.0.weight.

layer              operator, as of opset 17
conv2d             Conv: kernel_shape, strides, pads (top, left, bottom, right), dilations, group
linear             Gemm with transB: y = x wᵀ + b, weight (out, in)
batch_norm         BatchNormalization with the running statistics: (x − mean) / √(var + epsilon) · weight + bias
affine             Mul, Add by constants (C, 1, 1), or (C,) behind a flatten
relu               Relu
max_pool           MaxPool: kernel_shape, strides, pads, ceil_mode
adaptive_avg_pool  to 1×1 GlobalAveragePool; none if the map has that size; AveragePool if its size is a multiple of it
lrn                LRN: x / (bias + alpha/size · Σ x²)^beta, so alpha is here α·size, or the α that is divided by `size` as it is
flatten            Flatten; for channels_last Transpose to (N, H, W, C) before
dropout            none: in evaluation it changes nothing
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ...backend.arrays import Array
from ...errors import ConfigError, ShapeError
from ...nn import Layer
from ...ops.windows import Geometry, geometry

__all__ = ["IMAGES", "Node", "Nodes", "Shape", "chain"]

IMAGES = "images"

Shape = tuple[int | None, ...]  # of one image: (C, H, W) or (features,); None: known only when the network runs

_LARGE = 1 << 20  # stands for a size that is not known


@dataclass(frozen=True)
class Node:
    """One operator: `inputs` are names of values or constants, `attributes` numbers, or tuples of whole numbers."""

    operator: str
    name: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Nodes:
    """Nodes in order, the constants that they name, and the shape of what the last one gives."""

    arrays: Mapping[str, Array]
    shape: Shape
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)

    @property
    def value(self) -> str:
        """The name of what the last node gives."""
        return self.nodes[-1].output if self.nodes else IMAGES

    def put(self, operator: str, name: str, *constants: str, **attributes: Any) -> None:
        """Append a node that takes the last value and constants."""
        self.nodes.append(Node(operator, name, (self.value, *constants), f"{name}.output", attributes))

    def constant(self, name: str, array: Array) -> str:
        """Keep a constant, and return its name."""
        self.constants[name] = array
        return name

    def array(self, layer: Layer, part: str) -> Array:
        """The layer's weight, bias, … Raises ConfigError if there is none."""
        name = _key(layer, part)
        if name not in self.arrays:
            raise ConfigError(f'layer {_title(layer)} ({layer.kind}) needs the array "{name}", which is not among the {len(self.arrays)}.')
        return self.arrays[name]

    def parts(self, layer: Layer, *parts: str) -> list[str]:
        """Keep the layer's arrays of those names; a bias only if there is one."""
        there = [part for part in parts if part != "bias" or _key(layer, part) in self.arrays]
        return [self.constant(_key(layer, part), self.array(layer, part)) for part in there]

    def name_output(self, name: str) -> None:
        """Give the last value that name."""
        self.nodes[-1] = replace(self.nodes[-1], output=name)


def chain(layers: Iterable[Layer], arrays: Mapping[str, Array], shape: Shape, mean: Array | None = None, std: Array | None = None) -> Nodes:
    """The nodes of `layers` for images of `shape` (C, H, W), H or W None for any. Before them, with `mean` and `std` (C,), come
    (images − mean) / std.

    Raises ConfigError, with the layer's name, for sizes that do not fit, or a layer that ONNX does not have in that form.
    """
    made = Nodes(arrays, shape)
    if mean is not None and std is not None:
        made.put("Sub", "preparation.subtract", made.constant("preparation.mean", mean.reshape((-1, 1, 1))))
        made.put("Div", "preparation.divide", made.constant("preparation.std", std.reshape((-1, 1, 1))))
    for layer in layers:
        if layer.kind not in _LAYERS:
            raise ConfigError(f'layer {_title(layer)} is of the kind "{layer.kind}", which is not written. Known: {", ".join(_LAYERS)}.')
        _LAYERS[layer.kind](made, layer)
    return made


def _title(layer: Layer) -> str:
    return layer.name or layer.kind


def _key(layer: Layer, part: str) -> str:
    return f"{layer.name}.{part}" if layer.name else part


def _map(made: Nodes, layer: Layer, channels: int | None = None) -> tuple[int | None, int | None]:
    """Height and width of the map that `layer` is given, which must have so many channels."""
    if len(made.shape) != 3 or channels not in {None, made.shape[0]}:
        wanted = "a map" if channels is None else f"a map of {channels} channels"
        raise ConfigError(f"layer {_title(layer)} ({layer.kind}) takes {wanted}, but is given {_shown(made.shape)}.")
    return made.shape[1], made.shape[2]


def _shown(shape: Shape) -> str:
    return "×".join("?" if size is None else str(size) for size in shape) + (" features" if len(shape) == 1 else "")


def _slide(made: Nodes, layer: Layer, windows: Geometry, channels: int | None) -> None:
    """Set the shape behind windows that slide over a map."""
    height, width = made.shape[1:]
    try:
        rows, columns = windows.output(height or _LARGE, width or _LARGE)
    except ShapeError as error:
        raise ConfigError(f"layer {_title(layer)} ({layer.kind}): {error}") from None
    made.shape = (channels, height and rows, width and columns)


def _windows(windows: Geometry) -> dict[str, Any]:
    return {"kernel_shape": windows.kernel, "strides": windows.stride, "pads": windows.padding * 2}


def _conv2d(made: Nodes, layer: Layer) -> None:
    filters, inputs, *kernel = made.array(layer, "weight").shape
    groups = layer.options.get("groups", 1)
    _map(made, layer, inputs * groups)
    windows = geometry(tuple(kernel), *(layer.options.get(key, least) for key, least in (("stride", 1), ("padding", 0), ("dilation", 1))))
    _slide(made, layer, windows, filters)
    constants = made.parts(layer, "weight", "bias")
    made.put("Conv", layer.name or "conv2d", *constants, **_windows(windows), dilations=windows.dilation, group=groups)


def _linear(made: Nodes, layer: Layer) -> None:
    outputs, inputs = made.array(layer, "weight").shape
    if made.shape != (inputs,):
        raise ConfigError(
            f"layer {_title(layer)} takes {inputs} features, but is given {_shown(made.shape)}. "
            "Choose the image size that the network was made for (--image-size)."
        )
    made.shape = (outputs,)
    made.put("Gemm", layer.name or "linear", *made.parts(layer, "weight", "bias"), transB=1)


def _channels(made: Nodes, layer: Layer) -> int:
    (channels,) = made.array(layer, "weight").shape
    if made.shape[0] != channels:
        raise ConfigError(f"layer {_title(layer)} ({layer.kind}) has {channels} channels, but is given {_shown(made.shape)}.")
    return int(channels)


def _batch_norm(made: Nodes, layer: Layer) -> None:
    _channels(made, layer)
    constants = made.parts(layer, "weight", "bias", "running_mean", "running_var")
    made.put("BatchNormalization", layer.name or "batch_norm", *constants, epsilon=float(layer.options.get("eps", 1e-5)))


def _affine(made: Nodes, layer: Layer) -> None:
    shape = (_channels(made, layer),) + (1,) * (len(made.shape) - 1)
    for operator, part in (("Mul", "weight"), ("Add", "bias")):
        array = made.array(layer, part).reshape(shape)
        made.put(operator, f"{_title(layer)}.{operator.lower()}", made.constant(_key(layer, part), array))


def _relu(made: Nodes, layer: Layer) -> None:
    made.put("Relu", layer.name or "relu")


def _max_pool(made: Nodes, layer: Layer) -> None:
    _map(made, layer)
    options = layer.options
    size = options.get("kernel_size", 2)
    stride = options.get("stride")
    windows = geometry(size, size if stride is None else stride, options.get("padding", 0), 1, bool(options.get("ceil_mode", False)))
    before = made.shape
    _slide(made, layer, windows, before[0])
    if windows.ceil_mode and not all(_same_ceiling(windows, axis, before[axis + 1], made.shape[axis + 1]) for axis in (0, 1)):
        raise ConfigError(
            f"layer {_title(layer)} (max_pool) with ceil_mode leaves out windows that begin behind the image, which ONNX counts. "
            "Choose another image size (--image-size), or a stride that, with the padding, is no larger than the window."
        )
    made.put("MaxPool", layer.name or "max_pool", **_windows(windows), ceil_mode=int(windows.ceil_mode))


def _same_ceiling(windows: Geometry, axis: int, size: int | None, count: int | None) -> bool:
    """Whether ONNX's ⌈(size + 2·padding − kernel) / stride⌉ + 1 windows are those counted here, which begin before the image's end.

    The last of ONNX's begins at most at size + 2·padding − kernel + stride − 1, which is before size + padding if
    padding + stride ≤ kernel: then for all sizes.
    """
    kernel, stride, padding = windows.kernel[axis], windows.stride[axis], windows.padding[axis]
    if padding + stride <= kernel:
        return True
    return size is not None and count == -(-(size + 2 * padding - kernel) // stride) + 1


def _adaptive_avg_pool(made: Nodes, layer: Layer) -> None:
    size = layer.options["output_size"]
    cells = (size, size) if isinstance(size, int) else tuple(size)
    height, width = _map(made, layer)
    channels = made.shape[0]
    name = layer.name or "adaptive_avg_pool"
    if cells == (1, 1):
        made.put("GlobalAveragePool", name)
    elif height is None or width is None or height % cells[0] or width % cells[1]:
        raise ConfigError(
            f"layer {name} makes {_shown(cells)} cells of a map of {_shown((height, width))}, which ONNX can only do if the map's size is "
            "fixed and a multiple of that. Choose the image size that the network was made for (--image-size), or the fully "
            "convolutional form, which takes images of any size (--dense)."
        )
    elif cells != (height, width):
        part = (height // cells[0], width // cells[1])
        made.put("AveragePool", name, **_windows(Geometry(part, part)))
    made.shape = (channels, *cells)


def _lrn(made: Nodes, layer: Layer) -> None:
    options = {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 2.0, "alpha_over_n": False, **layer.options}
    _map(made, layer)
    size = int(options["size"])
    if size % 2 == 0:
        raise ConfigError(f"layer {_title(layer)} (lrn) sums over {size} channels, but ONNX's windows have a middle: it must be odd.")
    alpha = options["alpha"] * (1 if options["alpha_over_n"] else size)
    made.put("LRN", layer.name or "lrn", size=size, alpha=float(alpha), beta=float(options["beta"]), bias=float(options["k"]))


def _flatten(made: Nodes, layer: Layer) -> None:
    sizes = [size for size in made.shape if size is not None]
    if len(sizes) < len(made.shape):
        raise ConfigError(
            f"layer {_title(layer)} makes features of a map of {_shown(made.shape)}: their number must be known. "
            "Choose an image size (--image-size)."
        )
    name = layer.name or "flatten"
    if layer.options.get("channels_last") and len(made.shape) == 3:
        made.put("Transpose", f"{name}.transpose", perm=(0, 2, 3, 1))
    made.put("Flatten", name, axis=1)
    made.shape = (math.prod(sizes),)


def _dropout(made: Nodes, layer: Layer) -> None:
    del made, layer


_LAYERS: dict[str, Callable[[Nodes, Layer], None]] = {
    "conv2d": _conv2d,
    "linear": _linear,
    "batch_norm": _batch_norm,
    "affine": _affine,
    "relu": _relu,
    "max_pool": _max_pool,
    "adaptive_avg_pool": _adaptive_avg_pool,
    "lrn": _lrn,
    "flatten": _flatten,
    "dropout": _dropout,
}
