"""`Module`: parameters, buffers and submodules under names, and what can be done to all of them at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from ..autograd import mode
from ..autograd.tensor import Tensor
from ..backend.arrays import Array, as_array, float_dtype, to_numpy
from ..backend.device import Device
from ..errors import CheckpointError

__all__ = ["Buffer", "Module", "Parameter"]


class Parameter(Tensor):
    """A tensor that is trained: assigned to a module's attribute, it becomes one of its parameters."""

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True, dtype: Any = None, name: str = "") -> None:
        super().__init__(data, requires_grad, dtype, name)


class Buffer(Tensor):
    """A tensor that belongs to a module's state but is not trained, such as a running mean."""

    __slots__ = ()


class Module:
    """Base of all layers and models. A subclass assigns Parameters, Buffers and Modules to attributes and defines
    `forward`. Names are attribute paths, `features.0.weight`, in the order of assignment, as in torch.
    """

    summary: ClassVar[Callable[..., Any]]  # bound in summary.py: a module knows nothing of tables
    training = True
    frozen = False  # by `freeze`: it stays in evaluation
    name = ""  # under which the parent holds this module

    def forward(self, x: Any) -> Any:
        """Compute the module's output; subclasses define it."""
        raise TypeError(f"{type(self).__name__} defines no forward(self, x).")

    def __call__(self, *inputs: Any) -> Any:
        """Run `forward` under this module's name, then the forward hooks."""
        with mode.scope(self.name):
            y = self.forward(*inputs)
            for hook in self.__dict__.get("_hooks", ()):
                replacement = hook(self, inputs, y)
                y = y if replacement is None else replacement
        return y

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Module):
            value.__dict__.setdefault("name", name)
        object.__setattr__(self, name, value)

    def register_forward_hook(self, hook: Callable[[Module, tuple[Any, ...], Any], Any]) -> Callable[[], None]:
        """Call `hook(module, inputs, output)` after each forward; what it returns, unless None, replaces the output.

        Returns a function that removes the hook.
        """
        hooks = self.__dict__.setdefault("_hooks", [])
        hooks.append(hook)
        return lambda: hooks.remove(hook)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) of the direct submodules."""
        return ((name, value) for name, value in vars(self).items() if isinstance(value, Module))

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """(path, module) of this module and all below it, parents first."""
        yield prefix, self
        for name, child in self.named_children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def _named_tensors(self, kind: type[Tensor] | tuple[type[Tensor], ...]) -> Iterator[tuple[str, Tensor]]:
        seen: set[int] = set()
        for path, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, kind) and id(value) not in seen:
                    seen.add(id(value))
                    yield f"{path}.{name}" if path else name, value

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """(path, parameter) in the order of assignment; a shared one once."""
        return self._named_tensors(Parameter)

    def parameters(self) -> list[Tensor]:
        """The parameters, without their names."""
        return [parameter for _, parameter in self.named_parameters()]

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """(path, buffer) in the order of assignment."""
        return self._named_tensors(Buffer)

    def state_dict(self) -> dict[str, Array]:
        """Path → array of all parameters and buffers: the arrays themselves, not copies."""
        return {name: tensor.data for name, tensor in self._named_tensors((Parameter, Buffer))}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> tuple[list[str], list[str]]:
        """Copy arrays (or tensors) from `state` into the parameters and buffers of the same path, converting the dtype.

        Everything is checked first: on CheckpointError nothing has changed. With strict=False missing and left-over
        names are allowed. Returns both lists.
        """
        own = dict(self._named_tensors((Parameter, Buffer)))
        arrays = {name: value.data if isinstance(value, Tensor) else as_array(value) for name, value in state.items()}
        missing, left_over = [n for n in own if n not in arrays], [n for n in arrays if n not in own]
        wrong = [f"{n} is {arrays[n].shape}, expected {own[n].shape}" for n in own if n in arrays and arrays[n].shape != own[n].shape]
        wrong += [f"{n} is {arrays[n].dtype}, expected {own[n].dtype}" for n in own if n in arrays and not _converts(arrays[n], own[n])]
        faults = [f"wrong: {'; '.join(wrong[:5])}"] if wrong else []
        if strict and missing:
            faults.append(f"{len(missing)} missing: {', '.join(missing[:5])}")
        if strict and left_over:
            faults.append(f"{len(left_over)} left over: {', '.join(left_over[:5])}")
        if faults:
            raise CheckpointError(
                f"the weights do not fit this {type(self).__name__} ({'; '.join(faults)}). Nothing was changed. "
                "Build the model with the same configuration, or pass strict=False to load what fits by name."
            )
        for name in own.keys() - set(missing):
            target = own[name]
            device = Device.of(target.data)
            with device.use():
                target.data[...] = device.asarray(to_numpy(arrays[name]))
            target.data = target.data  # counts as a write
        return missing, left_over

    def train(self, training: bool = True) -> Module:
        """Switch this module and all below to training: batch statistics, dropout; frozen ones stay in evaluation. Returns self."""
        for _, module in self.named_modules():
            module.training = training and not module.frozen
        return self

    def eval(self) -> Module:
        """Switch this module and all below to evaluation: running statistics, no dropout. Returns self."""
        return self.train(False)

    def to(self, device: str | Device | None = None, dtype: Any = None) -> Module:
        """Move all parameters and buffers, in place, to a device and/or a floating-point dtype. Returns self."""
        if dtype is not None:
            dtype = float_dtype(dtype)
        for _, tensor in self._named_tensors((Parameter, Buffer)):
            data = tensor.data if device is None else Device(device).asarray(tensor.data)
            if dtype is not None and data.dtype.kind == "f":
                with Device.of(data).use():
                    data = data.astype(dtype, copy=False)
            tensor.data = data
            tensor.grad = None
            if tensor.requires_grad:  # a new leaf: the old one remembers the old dtype
                tensor.requires_grad = False
                tensor.requires_grad = True
        return self

    def freeze(self, frozen: bool = True) -> Module:
        """Keep this module and all below as they are: no gradients, and evaluation also in `train()`, so that batch norm uses its running
        statistics and leaves them, and nothing is dropped. With False the parameters are trained again, and `train()` holds. Returns self.
        """
        for _, module in self.named_modules():
            module.frozen = frozen
            module.training = module.training and not frozen
        return self.requires_grad_(not frozen)

    def requires_grad_(self, value: bool) -> Module:
        """Train (True) all parameters from here down, or not (False); batch norm and dropout go on as they do. Returns self."""
        for parameter in self.parameters():
            parameter.requires_grad = value
        return self

    def zero_grad(self) -> None:
        """Set every parameter's `.grad` to None."""
        for parameter in self.parameters():
            parameter.grad = None

    def describe(self) -> str:
        """The arguments that `repr` shows."""
        return ""

    def multiply_adds(self, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> int:
        """Multiply-adds of this module alone, without those below it, for one call with these shapes."""
        return 0

    def __repr__(self) -> str:
        children = [f"  ({name}): " + repr(child).replace("\n", "\n  ") for name, child in self.named_children()]
        return f"{type(self).__name__}({self.describe()}" + ("\n" + "\n".join(children) + "\n" if children else "") + ")"


def _converts(array: Array, target: Tensor) -> bool:
    """Whether the values can be kept in target's dtype: numbers, and whole ones for a counter."""
    if array.dtype.kind not in "fiu":
        return False
    return target.dtype.kind == "f" or array.dtype.kind != "f" or not bool((array % 1 != 0).any())
