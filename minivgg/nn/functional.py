"""A module as a function of its parameters: for checks, and for derivatives by parameters that are computed themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..autograd.tensor import Tensor
from ..errors import ConfigError, ShapeError, nearest
from .module import Module

__all__ = ["functional_call"]


def functional_call(module: Module, tensors: Mapping[str, Tensor], *inputs: Any) -> Any:
    """module(*inputs), with `tensors` (path → Tensor) in the places of its parameters and buffers of those paths.

    The module is as it was afterwards, whatever happens. Gradients flow to the tensors that were passed. Raises
    ConfigError for a path that the module does not have, ShapeError for another shape. See torch.func.functional_call.
    """
    modules = list(module.named_modules())
    own = {
        (f"{path}.{name}" if path else name): value for path, m in modules for name, value in vars(m).items() if isinstance(value, Tensor)
    }
    for path, tensor in tensors.items():
        if path not in own:
            raise ConfigError(f'{type(module).__name__} has no parameter "{path}": {nearest(path, own)}')
        if tensor.shape != own[path].shape:
            raise ShapeError(f"{path} has shape {own[path].shape}, but the tensor for it has {tensor.shape}.")
    stands_in = {id(own[path]): tensor for path, tensor in tensors.items()}  # for a shared parameter wherever it is
    places = [(m, name, value) for _, m in modules for name, value in vars(m).items() if id(value) in stands_in]
    try:
        for owner, name, value in places:
            setattr(owner, name, stands_in[id(value)])
        return module(*inputs)
    finally:
        for owner, name, value in places:
            setattr(owner, name, value)
