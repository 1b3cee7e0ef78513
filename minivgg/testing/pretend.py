"""A pretend GPU: arrays that behave as strictly as a real device's, on the CPU.

CuPy forgives much that costs dearly or breaks elsewhere. `Array` refuses what must not happen between the doors:
NumPy functions on device arrays, implicit conversion to the host, host arrays mixed in. It counts what makes the host
wait (`float(x)`, `bool(x)`, `x.item()`, `x.get()`), and `empty` is filled with NaN, so that results which read
uninitialised memory show. Values are NumPy's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..autograd.tensor import Tensor
from ..backend.arrays import is_float, register

__all__ = ["Array", "Module", "card", "pretend", "synchronisations", "watchers", "xp"]

synchronisations = 0
watchers: list[Callable[[np.ndarray[Any, Any]], None]] = []  # are told of the values of each new array


class Card(threading.local):
    """The number of the card on which this thread's work is done."""

    index = 0


card = Card()

_PLAIN = (bool, int, float, complex, str, bytes, type(None), slice, type(Ellipsis), np.generic, np.dtype, type)


def pretend(array: Any) -> Array:
    """Move a NumPy array to the pretend GPU (a copy, with the same strides)."""
    return Array(np.array(array, order="K", copy=True))


class Array:
    """An array on the pretend GPU."""

    __array_ufunc__ = None
    __array_priority__ = 1000

    def __init__(self, values: np.ndarray[Any, Any]) -> None:
        self._values, self._card = values, card.index
        for watch in watchers:
            watch(values)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("implicit conversion of a device array to a NumPy array: use xp's functions, or .get() at the door.")

    def __array_function__(self, function: Callable[..., Any], *args: Any) -> Any:
        raise TypeError(f"np.{function.__name__} was called on a device array: use array_module(x).{function.__name__}.")

    def get(self) -> np.ndarray[Any, Any]:
        """Copy to the host, which waits for the device."""
        _wait()
        return self._values.copy()

    def set(self, values: np.ndarray[Any, Any], stream: Any = None) -> None:
        """Copy from the host: when the stream comes to it, or at once."""
        target = self._values
        if not (isinstance(values, np.ndarray) and values.shape == target.shape and values.dtype == target.dtype):
            raise TypeError(f"set() needs a NumPy array of shape {target.shape} and dtype {target.dtype}, but got {values!r:.60}.")
        if not (target.flags.c_contiguous and values.flags.c_contiguous):
            raise RuntimeError("set() copies bytes: both arrays must be contiguous.")
        if stream is None:
            target[...] = values
        else:
            stream.later(lambda: np.copyto(target, values), target)

    @property
    def device(self) -> Any:
        """The card it lives on."""
        return SimpleNamespace(id=self._card)

    @property
    def data(self) -> Any:
        """Where it lies, as CuPy says it: `array.data.ptr`."""
        return SimpleNamespace(ptr=self._values.ctypes.data)

    @property
    def base(self) -> Any:
        """What owns the memory."""
        return self._values

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the array interface and buffers: back doors to the host
            raise AttributeError(name)
        if name == "argmax" and self._values.dtype.name == "bfloat16":
            raise TypeError("CuPy 14.2 has no argmax of bfloat16: convert it to float32 first.")
        value = getattr(self._values, name)
        return _function(value) if callable(value) else _wrap(value)

    def item(self) -> Any:
        """The only element as a Python number; the host waits."""
        _wait()
        return self._values.item()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())

    def __index__(self) -> int:
        raise TypeError("a device array cannot be an index: it would have to be copied to the host.")

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> Any:
        return _wrap(self._values[_key(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        self._values[_key(key)] = _unwrap(value)

    def __repr__(self) -> str:
        return f"pretend.{self._values!r}"


def _binary(name: str) -> Callable[[Array, Any], Any]:
    def method(self: Array, other: Any) -> Any:
        if isinstance(other, Tensor):  # which has the reflected operator
            return NotImplemented
        result = getattr(self._values, name)(_unwrap(other))
        return self if result is self._values else _wrap(result)

    return method


for _name in [
    "add",
    "radd",
    "iadd",
    "sub",
    "rsub",
    "isub",
    "mul",
    "rmul",
    "imul",
    "truediv",
    "rtruediv",
    "itruediv",
    "pow",
    "rpow",
    "matmul",
    "rmatmul",
    "floordiv",
    "mod",
    "lt",
    "le",
    "gt",
    "ge",
    "eq",
    "ne",
    "and",
    "or",
    "xor",
    "iand",
    "ior",
]:
    setattr(Array, f"__{_name}__", _binary(f"__{_name}__"))
for _name in ("neg", "invert", "abs"):
    setattr(Array, f"__{_name}__", (lambda name: lambda self: _wrap(getattr(self._values, name)()))(f"__{_name}__"))
Array.__hash__ = object.__hash__  # type: ignore[method-assign]


def _wait() -> None:
    global synchronisations
    synchronisations += 1


def _unwrap(value: Any) -> Any:
    if isinstance(value, Array):
        if value._card != card.index:
            raise RuntimeError(f"an array of card {value._card} was used while card {card.index} is the current one: with device.use().")
        return value._values
    if isinstance(value, (list, tuple)):
        return type(value)(_unwrap(v) for v in value)
    if not isinstance(value, _PLAIN):
        raise TypeError(f"a host {type(value).__name__} was mixed with device arrays: move it with xp.asarray first.")
    return value


def _key(key: Any) -> Any:
    """Index arrays may live on the host, as CuPy allows: they are uploaded."""
    return tuple(_key(k) for k in key) if isinstance(key, tuple) else key if isinstance(key, np.ndarray) else _unwrap(key)


def _wrap(value: Any) -> Any:
    """Results that would be NumPy arrays or scalars live on the device, 0-d included; shapes and dtypes stay as they are."""
    if isinstance(value, (np.ndarray, np.generic)):
        return Array(np.asarray(value))
    return [_wrap(v) for v in value] if isinstance(value, list) else value


class _Function:
    """A function of NumPy's, or a method of an array, for device arrays only."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = self._function(*map(_unwrap, args), **{name: _unwrap(value) for name, value in kwargs.items()})
        return kwargs["out"] if kwargs.get("out") is not None else _wrap(result)

    def at(self, target: Array, key: Any, values: Any) -> None:
        """Unbuffered in-place application, `np.add.at`."""
        self._function.at(_unwrap(target), _key(key), _unwrap(values))  # type: ignore[attr-defined]


def _function(function: Callable[..., Any]) -> _Function:
    return _Function(function)


class Module:
    """NumPy's names, working on device arrays: what `array_module` answers for them."""

    __name__ = "pretend"

    def __init__(self, namespace: Any = np) -> None:
        self._namespace = namespace

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._namespace, name)
        if isinstance(value, (type, *_PLAIN)):
            return value
        return _Function(value) if callable(value) else Module(value)

    def asarray(self, value: Any, dtype: Any = None) -> Array:
        """The door: a host array, a number or a device array as a device array."""
        return Array(np.asarray(value._values if isinstance(value, Array) else value, dtype))

    def empty(self, shape: Any, dtype: Any = np.float64) -> Array:
        """Uninitialised memory: NaN, or a value that is hardly right."""
        values = np.empty(shape, dtype)
        values[...] = np.nan if is_float(values.dtype) else 85
        return Array(values)


xp = Module()
register(Array, xp)
