"""The names of CuPy that the package uses, on the pretend GPU."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import SimpleNamespace
from typing import Any

import numpy as np

from minivgg.backend.arrays import register
from minivgg.testing import pretend

from . import streams
from .linalg import Linalg, matmul
from .pool import TOTAL, OutOfMemoryError, Pool
from .raw_module import RawModule

__all__ = ["install", "module", "pool"]

pool = Pool()
pinned_pool = SimpleNamespace(free_all_blocks=streams.pinned.clear, n_free_blocks=lambda: len(streams.pinned))


class Cupy(pretend.Module):
    """`cupy`: NumPy's functions on device arrays, and what is CuPy's own."""

    __name__ = "cupy"
    __spec__ = ModuleSpec("cupy", None)
    __version__ = "14.2.0"
    ndarray = pretend.Array
    RawModule = RawModule
    matmul = staticmethod(matmul)

    def asarray(self, value: Any, dtype: Any = None) -> pretend.Array:
        """A copy of what is on the host, in C order, or in Fortran order if it is that; a device array is left where it is."""
        if isinstance(value, pretend.Array):
            return pretend.Array(value._values.astype(dtype or value.dtype, copy=False))
        host = np.asarray(value, dtype)
        return pretend.Array(np.array(host, order="F" if host.flags.fnc else "C"))

    def where(self, condition: pretend.Array, x: Any, y: Any) -> pretend.Array:
        """NumPy's, but of bfloat16 CuPy 14.2 has none, and would give float32."""
        if any(getattr(v, "dtype", np.dtype(bool)).name == "bfloat16" for v in (x, y)):
            raise TypeError("where() of bfloat16 gives float32 in CuPy 14.2.")
        found: pretend.Array = super().__getattr__("where")(condition, x, y)
        return found

    def get_default_memory_pool(self) -> Pool:
        """The pool of all arrays."""
        return pool

    def get_default_pinned_memory_pool(self) -> Any:
        """The pool of pinned memory."""
        return pinned_pool


class Current:
    """`cupy.cuda.Device(index)`: within it the thread's current card is another one."""

    def __init__(self, index: int) -> None:
        self.index, self.before = index, 0

    def __enter__(self) -> None:
        self.before, pretend.card.index = pretend.card.index, self.index

    def __exit__(self, *error: Any) -> None:
        pretend.card.index = self.before


module = Cupy()
module.cuda = SimpleNamespace(
    is_available=lambda: True,
    Device=Current,
    Event=streams.Event,
    Stream=streams.Stream,
    alloc_pinned_memory=streams.alloc_pinned_memory,
    get_current_stream=streams.get_current_stream,
    get_elapsed_time=streams.get_elapsed_time,
    memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
    runtime=SimpleNamespace(getDeviceCount=lambda: 1, memGetInfo=lambda: (TOTAL - pool.total_bytes(), TOTAL)),
)
module._core = SimpleNamespace(_routines_linalg=Linalg())


@contextmanager
def install() -> Iterator[Any]:
    """In this block there is a card: `import cupy` gives the pretend CuPy, and the pretend GPU's arrays are its arrays."""
    before = sys.modules.get("cupy")
    sys.modules["cupy"] = module
    register(pretend.Array, module)
    pool.begin()
    streams.begin()
    pretend.watchers.append(pool.watch)
    try:
        yield module
    finally:
        pretend.watchers.remove(pool.watch)
        register(pretend.Array, pretend.xp)
        sys.modules.pop("cupy")
        if before is not None:
            sys.modules["cupy"] = before
