"""With the overlay's kernels and without: a good kernel hides a wrong rule, and a wrong kernel a good one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..autograd import mode

__all__ = ["checking", "kernels_found", "title", "with_and_without_kernels"]


def with_and_without_kernels(run: Callable[[], Any]) -> Iterator[tuple[bool, str]]:
    """(True, "") while the overlay is in use, then (False, note) inside `reference()`. If no kernel serves anything that
    `run()` does, both would be the same bits: then only the second, and the note says so."""
    with kernels_found() as served:
        run()
    if served:
        yield True, ""
    with mode.reference():
        yield False, "" if served else "; no kernel ran"


@contextmanager
def checking() -> Iterator[None]:
    """What every check runs in: layers keep their state, and graphs are recorded, whatever surrounds the check."""
    with mode.frozen_state(), mode.enable_grad():
        yield


def title(kernels: bool) -> str:
    """For a report's sections."""
    return "with kernels" if kernels else "reference"


@contextmanager
def kernels_found() -> Iterator[list[Any]]:
    """The kernels that are found in this block."""
    served: list[Any] = []
    before = list(mode.find_kernel)

    def find(call: Any, phase: str, arrays: Any) -> Any:
        kernel = before[0](call, phase, list(arrays))
        mode.find_kernel[:] = [find]  # the seam replaces itself when it is first used
        served.extend([kernel] if kernel is not None else [])
        return kernel

    mode.find_kernel[:] = [find] if before else []
    try:
        yield served
    finally:
        mode.find_kernel[:] = before
