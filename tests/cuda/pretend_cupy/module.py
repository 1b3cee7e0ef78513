"""The names of CuPy that the package uses, on the pretend GPU."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.machinery import ModuleSpec
from types import SimpleNamespace
from typing import Any

import numpy as np

from minivgg.backend.arrays import register
from minivgg.testing import pretend

from .linalg import Linalg, matmul
from .raw_module import RawModule

__all__ = ["install", "module"]

_TOTAL = 80 << 30  # bytes of the pretend card


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


module = Cupy()
module.cuda = SimpleNamespace(
    is_available=lambda: True,
    Device=lambda index: nullcontext(),
    runtime=SimpleNamespace(getDeviceCount=lambda: 1, memGetInfo=lambda: (_TOTAL, _TOTAL)),
    get_current_stream=lambda: SimpleNamespace(synchronize=pretend._wait),
)
module._core = SimpleNamespace(_routines_linalg=Linalg())


@contextmanager
def install() -> Iterator[Any]:
    """In this block there is a card: `import cupy` gives the pretend CuPy, and the pretend GPU's arrays are its arrays."""
    before = sys.modules.get("cupy")
    sys.modules["cupy"] = module
    register(pretend.Array, module)
    try:
        yield module
    finally:
        register(pretend.Array, pretend.xp)
        sys.modules.pop("cupy")
        if before is not None:
            sys.modules["cupy"] = before
