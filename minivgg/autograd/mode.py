"""Switches that hold for a block of code and for one thread: what is recorded, which kernels may run, which layer is at work.

with no_grad(): …          nothing is recorded; results want no gradient
with reference(): …        the ops' own formulas run, no kernel of `fast/`  (MINIVGG_REFERENCE=1: always)
with frozen_state(): …     layers do not touch their running statistics and call counters
with lock_arrays(): …      arrays that the graph keeps become read-only, so that a raw NumPy write
                           behind a tensor's back raises at the line that does it
with check_finite(): …     the first op that makes a NaN or an Inf, forwards or backwards, raises and is named
with step(7): …            the training step at work (and its micro-batch): the key of dropout's masks
with observe(watch): …     watch(node, inputs, y) is called for every op that is recorded: for the trace, for kinks
with scope("conv1"): …     the layer's name, for error messages and for the trace
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = [
    "check_finite",
    "enable_grad",
    "frozen_state",
    "lock",
    "lock_arrays",
    "no_grad",
    "observe",
    "reference",
    "scope",
    "state",
    "step",
    "switches",
    "where",
]


class _State(threading.local):
    """The switches of one thread, at their defaults."""

    recording = True
    kernels = os.environ.get("MINIVGG_REFERENCE", "") not in {"1", "true", "yes"}
    frozen = False
    observers: tuple[Callable[..., None], ...] = ()
    finite = False
    step: tuple[int, int] | None = None  # (step, micro-batch), given by a training loop
    locked: dict[int, Any] | None = None  # id of an array → the array, to be unlocked at the end
    path: tuple[str, ...] = ()


state = _State()

# The overlay's seam: the package root puts a function here that finds a kernel for (op, phase, arrays), or None.
find_kernel: list[Callable[..., Any]] = []


@contextmanager
def switches(**values: Any) -> Iterator[None]:
    """Set several switches of `state` at once, by name: what was noted somewhere is put back elsewhere."""
    before = {name: getattr(state, name) for name in values}
    vars(state).update(values)
    try:
        yield
    finally:
        vars(state).update(before)


@contextmanager
def no_grad() -> Iterator[None]:
    """Record nothing: results of ops on tensors want no gradient. Also a decorator: `@no_grad()`."""
    with switches(recording=False):
        yield


@contextmanager
def enable_grad() -> Iterator[None]:
    """Record again, inside a `no_grad` block."""
    with switches(recording=True):
        yield


@contextmanager
def reference() -> Iterator[None]:
    """Run every op's own formula and rules, none of the kernels in `minivgg.fast`."""
    with switches(kernels=False):
        yield


@contextmanager
def frozen_state() -> Iterator[None]:
    """Run layers without updating their running statistics or dropout counters: for checks and searches."""
    with switches(frozen=True):
        yield


@contextmanager
def check_finite() -> Iterator[None]:
    """Look at every result and gradient: the op that makes the first NaN or Inf raises NumericalError."""
    with switches(finite=True):
        yield


@contextmanager
def step(number: int, micro_batch: int = 0) -> Iterator[None]:
    """Name the training step at work; dropout draws its masks from (seed, layer, step, micro-batch)."""
    with switches(step=(number, micro_batch)):
        yield


@contextmanager
def observe(watch: Callable[..., None]) -> Iterator[None]:
    """Call `watch(node, inputs, y)` whenever an op is recorded: its new node, its operands and its result, a Tensor."""
    with switches(observers=(*state.observers, watch)):
        yield


@contextmanager
def lock_arrays() -> Iterator[None]:
    """Make the NumPy arrays that graphs keep read-only until the block ends.

    A version counter sees writes through a Tensor, not `tensor.data[...] = 0` on the raw array. In this
    block such a write raises ValueError("assignment destination is read-only") where it happens.
    """
    locked: dict[int, Any] = {}
    with switches(locked=locked):
        try:
            yield
        finally:
            for array in locked.values():
                array.flags.writeable = True


def lock(array: Any) -> None:
    """Make a NumPy array read-only until the `lock_arrays` block ends; so is a view made of a locked array."""
    locked, flags = state.locked, getattr(array, "flags", None)
    if locked is None or flags is None or not hasattr(flags, "writeable"):
        return
    if flags.writeable or (id(array.base) in locked and 0 not in array.strides):
        locked[id(array)] = array
        flags.writeable = False


@contextmanager
def scope(name: str) -> Iterator[None]:
    """Add a layer's name to the path for the duration of its call."""
    with switches(path=(*state.path, name) if name else state.path):
        yield


def where(default: str = "") -> str:
    """The path of the layer at work, such as "features.0"; `default` outside any layer."""
    return ".".join(state.path) or default
