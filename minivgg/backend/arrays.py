"""Which array library an array belongs to, and the short list of places where two libraries differ.

`xp = array_module(x, w)` is the whole of the backend for an op: NumPy for NumPy arrays, CuPy for CuPy
arrays, found by one look into a table of types. CuPy is recognised without being imported: its arrays
can exist only if somebody imported it already.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np

from ..errors import ConfigError, DeviceError

__all__ = [
    "Array",
    "any_without_waiting",
    "array_module",
    "as_array",
    "beside",
    "float_dtype",
    "is_float",
    "libraries",
    "owner",
    "register",
    "scatter_add",
    "to_numpy",
    "wide",
    "winners",
]

Array = Any  # numpy.ndarray, cupy.ndarray, or another registered array type

_modules: dict[type, ModuleType | Any] = {np.ndarray: np}
_neutral = (bool, int, float, type(None), np.generic, np.random.Generator)


def register(array_type: type, module: Any) -> None:
    """Make `array_module` answer `module` for arrays of `array_type` (the tests' pretend GPU uses this)."""
    _modules[array_type] = module


def libraries() -> list[Any]:
    """The array libraries that were met so far."""
    return list({id(module): module for module in _modules.values()}.values())


def array_module(*arrays: Any) -> Any:
    """The library that all `arrays` belong to; Python numbers and None belong to any.

    Raises DeviceError when two libraries meet.
    """
    found: Any = None
    for array in arrays:
        module = _modules.get(type(array)) or _look_up(array)
        if module is None or module is found:
            continue
        if found is not None:
            places = ", ".join(_describe(a) for a in arrays)
            raise DeviceError(
                f"all operands must live on one device, but they are {places}. "
                'Move them first: tensor.to("cuda"), model.to("cuda"), or .to("cpu").'
            )
        found = module
    return np if found is None else found


def _look_up(array: Any) -> Any:
    if isinstance(array, _neutral):
        return None
    for base in type(array).__mro__:
        if base in _modules:
            return _modules[base]
        if base.__module__.split(".")[0] == "cupy" and base.__name__ == "ndarray":
            register(base, sys.modules["cupy"])
            return _modules[base]
    raise DeviceError(f"expected a NumPy or CuPy array or a Tensor, but got {type(array).__name__}: {array!r:.60}.")


def _describe(array: Any) -> str:
    module = _modules.get(type(array))
    return f"{module.__name__} {array.shape}" if module is not None else type(array).__name__


def as_array(data: Any, dtype: Any = None) -> Array:
    """`data` as an array of its own library, not copied if it is one already.

    Python numbers and lists become NumPy arrays; floats among them float32, the engine's default.
    """
    if isinstance(data, np.generic):
        data = np.asarray(data)
    if dtype is not None:
        dtype = _dtype(dtype)
    if type(data) in _modules or not isinstance(data, (bool, int, float, list, tuple)):
        if array_module(data) is np and not isinstance(data, np.ndarray):
            raise DeviceError(f"expected an array, a number or a list of numbers, but got {type(data).__name__}.")
        return data if dtype is None else data.astype(dtype, copy=False)
    array = np.asarray(data, dtype)
    return array.astype(np.float32) if dtype is None and array.dtype == np.float64 else array


def beside(array: Array, value: Any) -> Any:
    """`value`, which is about to meet `array`. Raises DeviceError if it is an array that lives elsewhere."""
    if hasattr(value, "dtype"):
        array_module(array, value)
    return value


def to_numpy(array: Any) -> np.ndarray[Any, Any]:
    """A NumPy array with the same values; a device array is copied to the host, and the host waits for it."""
    return array.get() if hasattr(array, "get") else np.asarray(array)


def owner(array: Array) -> Any:
    """The array that owns the memory that `array` looks at: itself, unless it is a view."""
    while getattr(array, "base", None) is not None:
        array = array.base
    return array


def any_without_waiting(flags: Array) -> bool:
    """Whether any is true, where the answer is at hand; for a device's array, which would have to be waited for, False."""
    return array_module(flags) is np and bool(flags.any())


def _dtype(name: Any) -> Any:
    try:
        return np.dtype(name)
    except TypeError:
        raise ConfigError(
            f"dtype={name!r} is unknown. NumPy's are float32, float64, float16, int64, …; for bfloat16 `import ml_dtypes` first."
        ) from None


def float_dtype(name: Any) -> Any:
    """The NumPy dtype of that name, which must be float32 or float64. Raises ConfigError for any other."""
    try:
        dtype = np.dtype(name)
    except TypeError:
        dtype = np.dtype(object)
    if dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ConfigError(f'dtype must be "float32" or "float64", but is {name!r}.')
    return dtype


def is_float(dtype: Any) -> bool:
    """Whether `dtype` is one of floating-point numbers. NumPy files bfloat16, which ml_dtypes defines, under "other"."""
    return bool(dtype.kind == "f" or dtype.name == "bfloat16")


def wide(dtype: Any) -> Any:
    """The dtype in which sums and statistics of `dtype` are computed: float32 for float16 and bfloat16, for others their own."""
    return np.dtype(np.float32) if dtype.itemsize == 2 and is_float(dtype) else dtype


def winners(scores: Array) -> Array:
    """The column of each row's largest number. Half precision is compared in float32: CuPy 14.2 has no argmax of bfloat16."""
    return scores.astype(wide(scores.dtype), copy=False).argmax(axis=1)


def scatter_add(target: Array, key: Any, values: Array) -> None:
    """`target[key] += values`, where an index that occurs twice is added twice."""
    xp = array_module(target, values)
    xp.add.at(target, key, values)  # CuPy has ufunc.at for add since 11, by atomics
