"""Pillow's warnings about odd metadata switched off, from any number of threads at once.

`warnings.catch_warnings` puts the filters back that it found, so that of two threads that overlap, the first to enter and the last to
leave must be the ones that save and restore: otherwise all warnings of the process stay switched off.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["silence"]

_LOCK = threading.Lock()
_inside: list[warnings.catch_warnings[None]] = []  # an entry for each thread inside: the one that the first of them entered


@contextmanager
def silence() -> Iterator[None]:
    """No warnings in this block, and in other threads as long as one of them is in such a block."""
    with _LOCK:
        if not _inside:
            saved = warnings.catch_warnings()
            saved.__enter__()
            warnings.simplefilter("ignore")
        else:
            saved = _inside[0]
        _inside.append(saved)
    try:
        yield
    finally:
        with _LOCK:
            _inside.pop()
            if not _inside:
                saved.__exit__(None, None, None)
