"""Kernels: faster ways to compute what ops define. An overlay that can be deleted; everything still passes, slower.

An op never mentions its kernels. Each is registered in `overlay`, promises the op's result within a bound it
states, and is tested against the op's own formula.
"""

from __future__ import annotations

import os

__all__ = ["threads"]


def threads() -> int:
    """How many threads the array library may use for one op: MINIVGG_THREADS, or else all cores."""
    value = os.environ.get("MINIVGG_THREADS", "")
    return int(value) if value.isdigit() and int(value) > 0 else (os.cpu_count() or 1)
