"""What the names in a file of torch.save mean here: a short table, and plain data for each.

A pickle calls what it names: `GLOBAL 'torch._utils _rebuild_tensor_v2'`, arguments, `REDUCE`. Here a name is looked up in `NAMES` and
nowhere else, nothing is imported, and what stands for a call is a function of this file, which checks its arguments and gives a
`StorageRef`, a `TensorRef` or a plain value. A name that is not in the table is refused, before any array is read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import CheckpointError

__all__ = ["NAMES", "Name", "StorageRef", "TensorRef", "name", "shown", "storage"]


@dataclass(frozen=True, slots=True)
class StorageRef:
    """Numbers in a row, somewhere in the file: `count` of them from number `first` on, of the `size` that are kept under `key`."""

    key: str
    dtype: str
    size: int
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class TensorRef:
    """A tensor: element (i, j, …) is number offset + i·stride[0] + j·stride[1] + … of its storage, counted in elements of `dtype`."""

    storage: StorageRef
    dtype: str
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Name:
    """A name of the table: `make` stands for its call, `dtype` is that of a storage class or of a torch.dtype."""

    text: str
    make: Callable[[tuple[Any, ...]], Any] | None = None
    dtype: str = ""


def name(module: str, attribute: str) -> Name:
    """The name's entry. Raises CheckpointError if it is not in the table."""
    text = f"{module}.{attribute}"
    if text not in NAMES:
        raise CheckpointError(
            f"names {shown(text)}, which no file of tensors needs; it could run code, so the file is refused. "
            "Save the tensors alone: torch.save(model.state_dict(), FILE)."
        )
    return NAMES[text]


def storage(identity: Any) -> StorageRef:
    """Of a persistent identity: ("storage", class, key, device, size), in old files with None or (view's key, first, count) behind.

    Raises CheckpointError if it is none.
    """
    if not (isinstance(identity, tuple) and len(identity) in {5, 6} and identity[0] == "storage" and isinstance(identity[2], str)):
        raise CheckpointError("has a persistent object that is no storage of a tensor. The file is damaged.")
    _, kind, key, _, size = identity[:5]
    view = identity[5] if len(identity) == 6 and identity[5] is not None else (key, 0, size)
    if not (isinstance(kind, Name) and kind.dtype and isinstance(view, tuple) and len(view) == 3 and _counts((size, *view[1:]))):
        raise CheckpointError(f"has a storage {shown(key)} without class or size. The file is damaged.")
    if view[1] + view[2] > size:
        raise CheckpointError(f"has a view of storage {shown(key)} that ends at {view[1] + view[2]:,} of {size:,}. The file is damaged.")
    return StorageRef(key, kind.dtype, size, view[1], view[2])


def shown(text: str) -> str:
    """A text of the file as it stands in a message: on one line, and not too long."""
    return text if text.isprintable() and len(text) <= 120 else ascii(text[:120])


def _counts(values: Any) -> bool:
    return isinstance(values, tuple) and len(values) <= 32 and all(type(value) is int and 0 <= value < 1 << 60 for value in values)


def _tensor(arguments: tuple[Any, ...], dtype: str = "") -> TensorRef:
    """storage, offset, shape, stride; behind them requires_grad, hooks (not used), in some a dtype, and metadata, which must be empty."""
    if len(arguments) < 4 or not isinstance(arguments[0], StorageRef):
        raise CheckpointError("has a tensor without a storage. The file is damaged.")
    held, offset, shape, stride = arguments[:4]
    if not (_counts((offset,)) and _counts(shape) and _counts(stride) and len(shape) == len(stride)):
        raise CheckpointError("has a tensor whose offset, shape or stride are no counts. The file is damaged.")
    if any(arguments[6:]):
        raise CheckpointError("has a tensor with metadata (a conjugate or negative view), which is not supported. Save tensor.clone().")
    return TensorRef(held, dtype or held.dtype, offset, shape, stride)


def _tensor_of_type(arguments: tuple[Any, ...]) -> TensorRef:
    """The form with a dtype: its storage may be of bytes."""
    kind = arguments[6] if len(arguments) > 6 else None
    if not (isinstance(kind, Name) and kind.dtype):
        raise CheckpointError("has a tensor without a dtype. The file is damaged.")
    return _tensor((*arguments[:6], *arguments[7:]), kind.dtype)


def _parameter(arguments: tuple[Any, ...]) -> TensorRef:
    """A parameter is its tensor; requires_grad and hooks are not used."""
    if not (arguments and isinstance(arguments[0], TensorRef)):
        raise CheckpointError("has a parameter without a tensor. The file is damaged.")
    return arguments[0]


def _table(arguments: tuple[Any, ...]) -> dict[str, Any]:
    """An empty one, or as Python 2 wrote it: of a list of [name, value], which is used up, lest one list make many tables."""
    pairs = arguments[0] if arguments else []
    if not (isinstance(pairs, list) and all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs)):
        raise CheckpointError("has an OrderedDict of something other than pairs. The file is damaged.")
    table = {key: value for key, value in pairs if type(key) is str}
    pairs.clear()
    return table


def _ignored(arguments: tuple[Any, ...]) -> None:
    """A value that has nothing to do with arrays."""


def _size(arguments: tuple[Any, ...]) -> Any:
    return arguments[0] if arguments else ()


_STORAGES = {
    "Double": "float64", "Float": "float32", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64", "Int": "int32",
    "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool",
}  # fmt: skip
_DTYPES = (*_STORAGES.values(), "uint16", "uint32", "uint64")

NAMES = {
    entry.text: entry
    for entry in (
        Name("collections.OrderedDict", _table),
        Name("torch._utils._rebuild_tensor", _tensor),
        Name("torch._utils._rebuild_tensor_v2", _tensor),
        Name("torch._utils._rebuild_tensor_v3", _tensor_of_type),
        Name("torch._utils._rebuild_parameter", _parameter),
        Name("torch._utils._rebuild_parameter_with_state", _parameter),
        Name("torch.nn.parameter.Parameter", _parameter),
        Name("torch.Size", _size),
        Name("torch.device", _ignored),
        Name("torch.storage.UntypedStorage", dtype="uint8"),
        *(Name(f"torch.{kind}Storage", dtype=dtype) for kind, dtype in _STORAGES.items()),
        *(Name(f"torch.{dtype}", dtype=dtype) for dtype in _DTYPES),
    )
}
