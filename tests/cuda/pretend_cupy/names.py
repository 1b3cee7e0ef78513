"""Which names of CuPy are asked for, and with which keywords.

On the pretend CuPy everything works that NumPy can do, whether CuPy has it or not. Here the names are written down, so that they can be
looked up in the real one.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from minivgg.backend.arrays import register
from minivgg.testing import pretend

from .module import module
from .pool import Pool
from .streams import Event, Stream

__all__ = ["recorded"]

_CLASSES = {pretend.Array: "ndarray", Stream: "cuda.Stream", Event: "cuda.Event", Pool: "cuda.MemoryPool"}


@contextmanager
def recorded() -> Iterator[set[str]]:
    """While the pretend CuPy is installed: the names that are used in this block, such as "sum", "sum(axis)" for a keyword,
    "cuda.runtime.getDeviceCount", "ndarray.astype"."""
    names: set[str] = set()
    watched = _Watched(module, "", names)
    attribute = pretend.Array.__getattr__

    def of_array(self: pretend.Array, name: str) -> Any:
        value = attribute(self, name)
        return _function(value, f"ndarray.{name}", names) if callable(value) else value

    before = sys.modules["cupy"]
    sys.modules["cupy"] = watched  # type: ignore[assignment]
    register(pretend.Array, watched)
    pretend.Array.__getattr__ = of_array  # type: ignore[method-assign]
    with contextlib.ExitStack() as stack:
        for cls, path in _CLASSES.items():
            stack.enter_context(_noted(cls, path, names))
        stack.callback(setattr, pretend.Array, "__getattr__", attribute)
        stack.callback(register, pretend.Array, before)
        stack.callback(sys.modules.__setitem__, "cupy", before)
        yield names


@contextmanager
def _noted(cls: type, path: str, names: set[str]) -> Iterator[None]:
    """In this block the public attributes of the class's objects that the package looks up are written down."""
    before = cls.__getattribute__

    def look_up(self: Any, name: str) -> Any:
        who = sys._getframe(1).f_globals["__name__"]
        if not name.startswith("_") and who.startswith("minivgg.") and who != pretend.__name__:
            names.add(f"{path}.{name}")
        return before(self, name)

    cls.__getattribute__ = look_up  # type: ignore[method-assign]
    try:
        yield
    finally:
        del cls.__getattribute__


class _Watched:
    """A namespace whose names are written down when they are asked for."""

    def __init__(self, target: Any, path: str, names: set[str]) -> None:
        self.__dict__.update(_target=target, _path=path, _names=names)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if name.startswith("__"):
            return value
        self._names.add(self._path + name)
        if isinstance(value, type) and (value is pretend.Array or value.__module__ == "numpy"):
            return value  # a dtype, or what isinstance is asked about
        if callable(value):
            return _function(value, self._path + name, self._names)
        if isinstance(value, (str, int, float, type(None))):
            return value
        return _Watched(value, f"{self._path}{name}.", self._names)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._target, name, value)


def _function(function: Callable[..., Any], path: str, names: set[str]) -> Any:
    def call(*arguments: Any, **options: Any) -> Any:
        names.update(f"{path}({name})" for name in options)
        return function(*arguments, **options)

    def at(*arguments: Any) -> Any:
        names.add(f"{path}.at")
        return function.at(*arguments)  # type: ignore[attr-defined]

    if hasattr(function, "at") and not isinstance(function, type):
        call.at = at  # type: ignore[attr-defined]
    return call
