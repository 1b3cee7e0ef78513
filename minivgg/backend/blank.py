"""Arrays without values: shape, dtype and strides are there, memory is only counted.

A training step that runs on them does all that it does on a card, kernel for kernel, but computes nothing: it tells what the step
would allocate, for any batch, on a machine that has neither the card nor the memory. `Blanks()` is a library of such arrays, under
CuPy's name, so that ops choose the kernels of a card. Whatever would read a value raises TypeError: so does a step that waits for the card.

NumPy's functions end in `Blank.__array_ufunc__` and `Blank.__array_function__` when they are given blank arrays, so no list of them is
needed: shapes and dtypes are NumPy's, new arrays are in C order, as CuPy's are.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np

from .arrays import register
from .layout import outer_first

__all__ = ["Blank", "Blanks", "Ledger"]

_GRAIN = 512  # bytes: CuPy's pool gives multiples of it

_VIEWS = {"broadcast_to", "expand_dims", "moveaxis", "squeeze", "swapaxes", "transpose"}
_REDUCTIONS = {"all", "any", "argmax", "argmin", "max", "mean", "min", "prod", "std", "sum", "var"}
_ALIKE = {"empty_like", "full_like", "ones_like", "zeros_like"}

Strides = tuple[int, ...]


class Ledger:
    """The bytes of all blank arrays that are alive, and what was alive at the peak. `phase` is noted with each new array."""

    def __init__(self) -> None:
        self.phase = ""
        self.used = self.peak = self.count = 0
        self.alive: dict[int, tuple[int, str]] = {}  # number of the array → bytes, phase
        self.at_peak: dict[int, tuple[int, str]] = {}

    def enter(self, array: Blank) -> None:
        """Count an array that owns its memory, until it is gone."""
        size = -(-array.nbytes // _GRAIN) * _GRAIN
        self.count += 1
        array.number = self.count
        self.alive[self.count] = size, self.phase
        self.used += size
        weakref.finalize(array, self._leave, self.count).atexit = False
        if self.used > self.peak:
            self.peak, self.at_peak = self.used, dict(self.alive)

    def _leave(self, number: int) -> None:
        self.used -= self.alive.pop(number)[0]

    def begin(self) -> None:
        """Forget the peak."""
        self.peak, self.at_peak = self.used, dict(self.alive)


class Blank(np.lib.mixins.NDArrayOperatorsMixin):
    """An array of the library of blank arrays `xp`; a view if it has a `base`.

    Shape and strides are those of a NumPy array `_look` that lies about its memory: it is sliced and turned, and never read.
    """

    number = 0

    def __init__(self, xp: Any, shape: Sequence[int], dtype: Any, strides: Strides | None = None) -> None:
        dtype, shape = np.dtype(dtype), tuple(shape)
        self.xp: Any = xp
        self.base: Blank | None = None
        self._look: Any = np.lib.stride_tricks.as_strided(np.empty(1, dtype), shape, strides or _plain(shape, dtype.itemsize))
        xp.ledger.enter(self)

    def view(self, look: Any) -> Blank:
        """The same memory, as `look` sees it."""
        other = object.__new__(Blank)
        other.xp, other.base, other._look = self.xp, self if self.base is None else self.base, look
        return other

    def new(self, shape: Sequence[int], dtype: Any = None) -> Blank:
        """An array with memory of its own, in C order."""
        return Blank(self.xp, shape, self.dtype if dtype is None else dtype)

    def alike(self, dtype: Any = None) -> Blank:
        """An array of this shape with memory of its own, its axes in memory in the same order, without gaps."""
        dtype, order = np.dtype(dtype or self.dtype), outer_first(self)
        inner = _plain([self.shape[axis] for axis in order], dtype.itemsize)
        return Blank(self.xp, self.shape, dtype, tuple(inner[order.index(axis)] for axis in range(self.ndim)))

    def __getattr__(self, name: str) -> Any:
        if name in ("shape", "dtype", "strides", "ndim", "size", "itemsize", "nbytes", "flags"):
            return getattr(self._look, name)
        if name not in _VIEWS and name not in _REDUCTIONS:
            raise AttributeError(f"blank arrays have no {name}")
        return lambda *args, **kwargs: getattr(np, name)(self, *args, **kwargs)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        if out is not None or method == "at":
            return None if out is None else out[0]
        if method == "reduce":
            return self._reduced(np.sum, **options)
        dtypes = [type(x) if type(x) in (int, float) else np.asarray(x).dtype if np.isscalar(x) else x.dtype for x in inputs]
        shapes = [getattr(x, "shape", ()) for x in inputs]
        if ufunc is np.matmul:
            return self.new(_product(*shapes), np.result_type(*dtypes))
        dtype = options.get("dtype") or ufunc.resolve_dtypes((*dtypes, *(None,) * ufunc.nout))[-1]
        return self.new(np.broadcast_shapes(*shapes), dtype)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        name = function.__name__.replace("amax", "max").replace("amin", "min")
        if name == "copyto":
            return None
        if name in _VIEWS:
            return self.view(function(self._look, *args[1:], **kwargs))
        if name in _REDUCTIONS:
            return self._reduced(function, *args[1:], **kwargs)
        if name in _ALIKE:
            return self.alike(kwargs.get("dtype"))
        operands = args[1:] if name == "where" else args[0] if isinstance(args[0], (list, tuple)) else [self]
        dtype = np.result_type(*(getattr(x, "dtype", x) for x in operands))
        return self.new(function(*_sizes_only(args), **kwargs).shape, dtype)

    def _reduced(self, function: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False, **_: Any) -> Any:
        axes = {a % self.ndim for a in (range(self.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,))}
        shape = [1 if a in axes else n for a, n in enumerate(self.shape) if keepdims or a not in axes]
        return self.new(shape, dtype or function(np.ones(1, self.dtype)).dtype)

    @property
    def T(self) -> Blank:  # noqa: N802 (NumPy's name)
        """The axes in reverse."""
        return self.view(self._look.T)

    @property
    def device(self) -> Any:
        """The first card."""
        return self.xp.card

    @property
    def data(self) -> Any:
        """An address, for kernels that do nothing: each array that owns memory has another."""
        return SimpleNamespace(ptr=(self if self.base is None else self.base).number << 20)

    def transpose(self, *axes: Any) -> Blank:
        """A view with the axes in another order."""
        return self.view(self._look.transpose(*axes))

    def reshape(self, *shape: Any, order: str = "C") -> Blank:
        """A view if the strides allow it, or a copy."""
        wanted = shape[0] if len(shape) == 1 else shape
        try:
            return self.view(np.reshape(self._look, wanted, copy=False))
        except ValueError:
            return self.new(_sizes_only(self).reshape(wanted).shape)

    def ravel(self) -> Blank:
        """In one axis."""
        return self.reshape(-1)

    def astype(self, dtype: Any, order: str = "K", copy: bool = True) -> Blank:
        """Itself, if nothing changes and `copy` is off."""
        return self if not copy and np.dtype(dtype) == self.dtype else self.alike(dtype)

    def copy(self, order: str = "C") -> Blank:
        """In C order, as CuPy's."""
        return self.new(self.shape)

    def set(self, values: Any, stream: Any = None) -> None:
        """Changes nothing here."""

    def fill(self, value: Any) -> None:
        """Changes nothing here."""

    def __len__(self) -> int:
        return len(self._look)

    def __getitem__(self, key: Any) -> Blank:
        keys = key if isinstance(key, tuple) else (key,)
        if all(k is None or k is Ellipsis or isinstance(k, (int, np.integer, slice)) for k in keys):
            return self.view(self._look[key if any(k is Ellipsis for k in keys) else (*keys, Ellipsis)])  # a view of one element, too
        return self.new(_sizes_only(self)[tuple(map(_sizes_only, keys))].shape)

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def _no_values(self, *_: Any) -> Any:
        raise TypeError("a blank array has no values: nothing may wait for the card here.")

    __bool__ = __float__ = __int__ = __index__ = __array__ = item = get = tolist = _no_values


class Blanks:
    """The library: what is not NumPy's, or makes arrays of none."""

    __name__ = "cupy"
    ndarray = Blank

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.card = SimpleNamespace(id=0)
        self.cuda = SimpleNamespace(Device=lambda index: nullcontext())
        self.lib = SimpleNamespace(stride_tricks=SimpleNamespace(as_strided=_as_strided))
        register(Blank, self)

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def empty(self, shape: Any, dtype: Any = np.float64) -> Blank:
        """A new array."""
        return Blank(self, np.broadcast_shapes(shape), dtype)

    zeros = ones = empty

    def full(self, shape: Any, value: Any, dtype: Any = None) -> Blank:
        """A new array."""
        return self.empty(shape, dtype or np.asarray(value).dtype)

    def arange(self, *bounds: Any, dtype: Any = None) -> Blank:
        """A new array."""
        return self.asarray(np.arange(*bounds, dtype=dtype))

    def asarray(self, value: Any, dtype: Any = None) -> Blank:
        """Itself if it is blank, or as large as what is on the host."""
        if isinstance(value, Blank):
            return value.astype(dtype or value.dtype, copy=False)
        value = np.asarray(value)
        return self.empty(value.shape, dtype or value.dtype)

    def array(self, value: Any, dtype: Any = None) -> Blank:
        """A copy."""
        return value.alike(dtype) if isinstance(value, Blank) else self.asarray(value, dtype)

    def ascontiguousarray(self, value: Blank, dtype: Any = None) -> Blank:
        """Itself if it is in C order and of that dtype, or a copy."""
        same = value.flags.c_contiguous and (dtype is None or np.dtype(dtype) == value.dtype)
        return value if same else value.new(value.shape, dtype)

    class RawModule:
        """Kernels that do nothing."""

        def __init__(self, **options: Any) -> None:
            pass

        def get_function(self, name: str) -> Any:
            """One of them."""
            return lambda *arguments, **options: None


def _plain(shape: Sequence[int], itemsize: int) -> Strides:
    """The strides of C order."""
    return tuple(itemsize * math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def _product(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a @ b."""
    rows, columns = a[-2:-1], b[-1:] if len(b) > 1 else ()
    return (*np.broadcast_shapes(a[:-2], b[:-2]), *rows, *columns)


def _sizes_only(x: Any) -> Any:
    """Blank arrays in x as NumPy arrays of a single byte: it is never large, and may be read."""
    if isinstance(x, (list, tuple)):
        return type(x)(map(_sizes_only, x))
    return np.broadcast_to(np.int8(0), x.shape) if isinstance(x, Blank) else x


def _as_strided(x: Blank, shape: Any, strides: Any) -> Blank:
    return x.view(np.lib.stride_tricks.as_strided(x._look, shape, strides))
