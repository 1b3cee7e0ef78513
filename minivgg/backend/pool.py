"""The memory pool of a card: CuPy keeps what arrays gave back, for later ones. How much it may take, and how to make it let go."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import ConfigError
from .device import Device

__all__ = ["allowed", "bytes_of", "limit", "limited", "taken"]

_UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}


def bytes_of(text: str, whole: int = 0) -> int:
    """Such as "20GB", "512 MiB", "1000000", or "50%" of `whole`. Raises ConfigError for anything else, and for nothing."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(%|[kmg]i?b)?", text.strip().lower())
    unit = match[2] or "" if match else ""
    size = 0.0 if match is None else float(match[1]) * (whole / 100 if unit == "%" else _UNITS[unit])
    if not 1 <= size < math.inf or (unit == "%" and size > whole):
        share = ', or a share such as "50%"' if whole else ""
        raise ConfigError(f'expected an amount of memory such as "20GB" or "512MiB"{share}, but got {text!r}.')
    return int(size)


def allowed(device: Device, text: str) -> int:
    """The bytes of the card that `text` allows ("20GB", "50%"), 0 if it is empty. Raises ConfigError if it is no amount of memory, or
    the device is a CPU."""
    if not text:
        return 0
    if device.kind == "cpu":
        raise ConfigError(f"gpu_memory = {text!r} limits a card's memory, but the device is the CPU. Leave it out, or choose a card.")
    return bytes_of(text, device.memory()[1])


@contextmanager
def limited(device: Device, text: str) -> Iterator[None]:
    """In this block CuPy's pool takes no more of the card than `text` allows (see `allowed`; "" changes nothing); beyond it MemoryError."""
    most = allowed(device, text)
    if not most:
        yield
        return
    with device.use():
        pool = device.xp.get_default_memory_pool()
        before = pool.get_limit()
        pool.set_limit(size=most)
    try:
        yield
    finally:
        with device.use():
            pool.set_limit(size=before)


def limit(device: Device) -> tuple[int, int] | None:
    """(bytes that arrays use, bytes that the pool may take) if it has a limit."""
    with device.use():
        pool: Any = device.xp.get_default_memory_pool()
        return (int(pool.used_bytes()), int(pool.get_limit())) if pool.get_limit() else None


def taken(device: Device) -> int:
    """Bytes that the pool has taken from the card: those in use, and those it keeps."""
    with device.use():
        return int(device.xp.get_default_memory_pool().total_bytes())
