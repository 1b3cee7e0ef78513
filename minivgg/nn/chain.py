"""A network as a list of layers, each a plain value: what a file says of a network, and what is written of one.

`chain_of` takes a module apart into `Layer`s, `build_chain` makes a module of them. Between the two stand the file formats: a reader
of ONNX graphs gives layers and arrays, a writer takes them, and neither knows this package's classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import ConfigError, nearest
from .affine import Affine
from .init import zeros
from .layers import AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Dropout, Flatten, Linear, LocalResponseNorm, MaxPool2d, ReLU
from .module import Module
from .sequential import Sequential

__all__ = ["Layer", "build_chain", "chain_of"]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """One layer: its kind, its name, under which its arrays are kept (name.weight, name.bias, …), and its options, plain JSON-able values.

    kind               options, as the arguments of                   arrays
    conv2d             Conv2d: stride, padding, dilation, groups      weight (K, C/groups, R, S), bias (K,) or none
    linear             Linear: none                                   weight (out, in), bias (out,) or none
    batch_norm         BatchNorm2d: eps                               weight, bias, running_mean, running_var (C,)
    affine             Affine: none                                   weight, bias (C,)
    relu               ReLU: none
    max_pool           MaxPool2d: kernel_size, stride, padding, ceil_mode
    adaptive_avg_pool  AdaptiveAvgPool2d: output_size
    lrn                LocalResponseNorm: size, alpha, beta, k, alpha_over_n
    flatten            Flatten: channels_last
    dropout            Dropout: p
    """

    kind: str
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A dictionary for JSON."""
        return {"kind": self.kind, "name": self.name, **self.options}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Layer:
        """The layer that `to_json` gave. Raises KeyError for a missing kind or name."""
        rest = {key: value for key, value in values.items() if key not in {"kind", "name"}}
        return cls(values["kind"], values["name"], rest)


def _convolution(weight: Shape, bias: bool, options: Mapping[str, Any]) -> Module:
    groups = options.get("groups", 1)
    return Conv2d(weight[1] * groups, weight[0], weight[2:], bias=bias, init=zeros, **options)  # type: ignore[arg-type]


def _linear(weight: Shape, bias: bool, options: Mapping[str, Any]) -> Module:
    return Linear(weight[1], weight[0], bias, init=zeros, **options)


# kind → (class, the attributes that are its options, how it is made of its weight's shape, whether it has a bias, and options)
_KINDS: dict[str, tuple[type[Module], tuple[str, ...], Callable[[Shape, bool, Mapping[str, Any]], Module]]] = {
    "conv2d": (Conv2d, ("stride", "padding", "dilation", "groups"), _convolution),
    "linear": (Linear, (), _linear),
    "batch_norm": (BatchNorm2d, ("eps",), lambda weight, _, options: BatchNorm2d(weight[0], **options)),
    "affine": (Affine, (), lambda weight, _, options: Affine(weight[0], **options)),
    "relu": (ReLU, (), lambda *_: ReLU()),
    "max_pool": (MaxPool2d, ("kernel_size", "stride", "padding", "ceil_mode"), lambda _, __, options: MaxPool2d(**options)),
    "adaptive_avg_pool": (AdaptiveAvgPool2d, ("output_size",), lambda _, __, options: AdaptiveAvgPool2d(**options)),
    "lrn": (LocalResponseNorm, (), lambda _, __, options: LocalResponseNorm(**options)),
    "flatten": (Flatten, ("channels_last",), lambda _, __, options: Flatten(**options)),
    "dropout": (Dropout, ("p",), lambda _, __, options: Dropout(**options)),
}


def chain_of(module: Module, name: str = "") -> list[Layer]:
    """The layers of a Sequential, in order, those of Sequentials within it included; or the one layer that `module` is.

    Raises ConfigError for a module of another kind.
    """
    if isinstance(module, Sequential):
        return [layer for key, child in module.named_children() for layer in chain_of(child, f"{name}.{key}" if name else key)]
    for kind, (cls, attributes, _) in _KINDS.items():
        if type(module) is cls:
            options = {key: _plain(getattr(module, key)) for key in attributes}
            return [Layer(kind, name, {**options, **(module.options if isinstance(module, LocalResponseNorm) else {})})]
    known = ", ".join(cls.__name__ for cls, *_ in _KINDS.values())
    raise ConfigError(f"{name or 'the network'} is a {type(module).__name__}, which is no layer of a chain. There can be: {known}.")


def build_chain(layers: Iterable[Layer], shapes: Mapping[str, Shape]) -> Sequential:
    """A Sequential of the layers, under their names, which have no dots. `shapes`: of all arrays, by name; the arrays themselves are put
    in by `load_state_dict`.

    Raises ConfigError for an unknown kind, impossible options, or a name that occurs twice or means something else to a module (forward);
    KeyError for a missing array, TypeError for an unknown option.
    """
    chain = Sequential()
    for layer in layers:
        if layer.kind not in _KINDS:
            raise ConfigError(f'layer {layer.name} is of the unknown kind "{layer.kind}": {nearest(layer.kind, _KINDS)}')
        if not isinstance(layer.name, str) or not layer.name or "." in layer.name or hasattr(chain, layer.name):
            raise ConfigError(f"a layer has the name {layer.name!r}, which is empty, has a dot, occurs twice, or belongs to every module.")
        weighted = layer.kind in {"conv2d", "linear", "batch_norm", "affine"}
        weight = shapes[f"{layer.name}.weight"] if weighted else ()
        options = {key: tuple(value) if isinstance(value, list) else value for key, value in layer.options.items()}
        setattr(chain, layer.name, _KINDS[layer.kind][2](weight, f"{layer.name}.bias" in shapes, options))
    for name, parameter in chain.named_parameters():
        parameter.name = name
    return chain


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
