"""What is remembered: `Tensor`, an array that can be differentiated, and `Node`, one recorded call of an op.

The graph is made of nodes, not of tensors. A node points to the nodes of its operands, never to its own
tensor nor to its consumers, and it keeps only the arrays that rules name. So there are no reference cycles:
when the last tensor of a graph dies, all of it is freed at once.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from typing import Any, ClassVar

from ..backend.arrays import Array, as_array, beside, is_float, owner, to_numpy
from ..backend.device import Device
from ..errors import GraphError
from . import mode

__all__ = ["Node", "Saved", "Tensor"]

_numbers = itertools.count()


class Tensor:
    """An array that can be differentiated.

    `data` is a NumPy or CuPy array (numbers and lists become float32), `grad` the gradient that
    `backward` accumulated (an array, or None), `name` appears in error messages. Arithmetic and the
    methods bound in `ops.operators` (sum, reshape, …) apply.
    """

    __slots__ = ("__weakref__", "_data", "grad", "name", "node", "version")
    __array_ufunc__ = None  # `ndarray + Tensor` is left to Tensor.__radd__
    _data: Array
    backward: ClassVar[Callable[..., None]]  # bound in core.py, where the sweep is

    def __init__(self, data: Any, requires_grad: bool = False, dtype: Any = None, name: str = "") -> None:
        self._data = as_array(data._data if isinstance(data, Tensor) else data, dtype)
        self.grad: Array | None = None
        self.name = name
        self.node: Node | None = None
        self.version = [0]  # counts writes; tensors that look at the same memory share the list
        if requires_grad:
            self.requires_grad = True

    @classmethod
    def of(cls, data: Array, node: Node | None = None, version: list[int] | None = None) -> Tensor:
        """A tensor around `data` at `node` of the graph, sharing the write counter `version`."""
        made = Tensor(data)
        made.node = node
        made.version = made.version if version is None else version
        return made

    @property
    def data(self) -> Array:
        """The array. Assigning to it, `t.data -= step` included, counts as a write, which a later backward notices."""
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        self._data = as_array(value)
        self.version[0] += 1

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to this tensor. It may be set on tensors that no op made, if they are floats."""
        return self.node is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if self.node is not None and self.node.op is not None:
            raise GraphError(f"{self.node.op!r} made this tensor: its requires_grad follows the inputs'. Use detach() to cut it off.")
        if value and not is_float(self.dtype):
            raise GraphError(
                f"only floats can require a gradient, and this tensor is {self.dtype}. Convert it: Tensor(x, dtype='float32')."
            )
        self.node = (self.node or Node(None, self)) if value else None

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        return self._data.shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> Any:
        """The array's dtype."""
        return self._data.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(self._data.size)

    def detach(self) -> Tensor:
        """The same array outside the graph: a constant."""
        return Tensor.of(self._data, version=self.version)

    def retain_grad(self) -> None:
        """Ask backward() to leave the gradient of this intermediate tensor in `.grad`, too."""
        self._recorded("retain_grad").retain = True

    def register_hook(self, hook: Callable[[Any], Any]) -> Callable[[], None]:
        """Call `hook(g)` with this tensor's gradient in every sweep; what it returns, unless None, replaces g.

        Returns a function that removes the hook.
        """
        hooks = self._recorded("register_hook").hooks
        hooks.append(hook)
        return lambda: hooks.remove(hook)

    def _recorded(self, verb: str) -> Node:
        if self.node is None:
            raise GraphError(f"{verb}() needs a tensor with requires_grad=True, or one made from such.")
        return self.node

    def item(self) -> Any:
        """The only element, as a Python number. A device is waited for."""
        return self._data.item()

    def numpy(self) -> Any:
        """The values as a NumPy array (on the CPU the array itself, not a copy)."""
        return to_numpy(self._data)

    def to(self, device: str | Device | None = None, dtype: Any = None) -> Tensor:
        """A leaf with the same values on another device or of another dtype, with the same requires_grad and name."""
        if self.node is not None and self.node.op is not None:
            raise GraphError("to() moves parameters and inputs. Move the inputs before computing, or call detach() first.")
        data = self._data if device is None else Device(device).asarray(self._data)
        return Tensor(data, self.requires_grad, dtype, self.name)

    def __setitem__(self, key: Any, value: Any) -> None:
        if mode.state.recording and self.node is not None and self.node.op is not None:
            raise GraphError(
                f"{self.node.op!r} made this tensor, and a graph cannot record writes into it. "
                "Build the result with where() or concatenate(), or write inside no_grad()."
            )
        if mode.state.recording and isinstance(value, Tensor) and value.node is not None:
            raise GraphError("a written value gets no gradient. Use where() or concatenate(), or write value.detach().")
        self._data[key] = beside(self._data, value._data if isinstance(value, Tensor) else value)
        self.version[0] += 1

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("a Tensor is no NumPy array: use the functions of minivgg.ops, or tensor.numpy() for its values.")

    def __reduce__(self) -> Any:
        """Copies and pickles are leaves of their own: values, requires_grad, name and grad go along, hooks and graphs do not."""
        if self.node is not None and self.node.op is not None:
            raise GraphError(f"{self.node.op!r} made this tensor, and a graph cannot be copied. Copy t.detach().")
        return type(self), (self._data, self.requires_grad, None, self.name), (None, {"grad": self.grad})

    def __len__(self) -> int:
        return len(self._data)

    def __bool__(self) -> bool:
        if self.size != 1:
            raise TypeError(f"the truth of a tensor of shape {self.shape} is ambiguous: compare its values, tensor.numpy().")
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.size == 1 and spec else str(self)

    def __repr__(self) -> str:
        name = f", name={self.name!r}" if self.name else ""
        made = "" if self.node is None else ", requires_grad=True" if self.node.op is None else f", made by {self.node.op!r}"
        return f"Tensor({self._data!r}{name}{made})"


class Saved:
    """An array that a rule will read: with the node it belongs to, and the write count when it was saved.

    For an op's own result the node is left out: a node that held itself would be a cycle.
    """

    __slots__ = ("array", "count", "name", "node", "version")

    def __init__(self, x: Any, own: bool = False) -> None:
        is_tensor = isinstance(x, Tensor)
        self.array = x._data if is_tensor else x
        self.node = x.node if is_tensor and not own else None
        self.version = x.version if is_tensor else [0]
        self.count = self.version[0]
        self.name = x.name if is_tensor else ""
        if mode.state.locked is not None:
            mode.lock(owner(self.array))
            mode.lock(self.array)

    def read(self, record: bool, own: Node | None = None) -> Any:
        """The array, or while a graph is recorded the tensor at its place in the graph: `own` for an op's result."""
        if self.version[0] != self.count:
            raise GraphError(
                f"{self.name or 'an operand'} {getattr(self.array, 'shape', '')} was overwritten after the forward pass that used it "
                f"({self.version[0] - self.count} write(s)). Call backward() before updating, or work on a copy."
            )
        node = own or self.node
        return Tensor.of(self.array, node, self.version) if record and node is not None else self.array


class Node:
    """One call of an op (or a leaf, op None): its operands' nodes and what its rules will read."""

    __slots__ = (
        "__weakref__", "dtype", "freed", "hooks", "layer", "name", "number", "op", "parents", "retain", "saved", "shape", "shapes",
        "statistics", "tensor",
    )  # fmt: skip

    def __init__(self, op: Any, result: Tensor) -> None:
        self.op = op
        self.number = next(_numbers)  # consumers are made after their operands: the sweep's order
        self.parents: tuple[Node | None, ...] = ()  # one per operand; None: a constant
        self.shapes: tuple[Any, ...] = ()  # of the operands; None for an operand that is None
        self.saved: dict[str, Any] = {}
        self.shape, self.dtype = result.shape, result.dtype
        self.hooks: list[Callable[[Any], Any]] = []
        self.retain = self.freed = False
        self.layer, self.name = mode.where(), result.name
        self.tensor = weakref.ref(result)
        self.statistics: Any = None

    def free(self) -> None:
        """Drop everything that a sweep would need."""
        self.saved, self.parents, self.freed = {}, (), True
        fields = getattr(self.op, "__dataclass_fields__", vars(self.op))
        for state in [name for name in vars(self.op) if name not in fields]:
            delattr(self.op, state)  # what this call saved: winners, statistics
