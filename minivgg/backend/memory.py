"""Memory for NumPy arrays that is used again: in a steady training loop no fresh page is mapped.

NumPy returns large blocks to the operating system at once, and gets them back page by page, each page filled with
zeros by the kernel: at the sizes of a training step that takes as long as the computation. So blocks are kept here.
An array is handed out as a view of a block; every view of it, and every view of those, holds a reference to the
block itself. When the block's count of references is back at that of a block nobody looks at, it can be given away.
"""

from __future__ import annotations

import math
import os
import sys
import threading
from bisect import bisect_left, insort
from typing import Any

import numpy as np

from .arrays import libraries, owner

__all__ = ["allocated", "bytes_held", "empty", "empty_cache", "scratch"]

_SMALL = 1 << 16  # bytes; below it the C library keeps memory by itself
_GRAIN = 1 << 12
_LARGE = 1 << 23  # no cache of a core holds as much
_SPARE = 2.0  # a block up to so much larger than asked for will do


class _Block:
    """Memory that is given out again and again. Blocks are ordered by size, then by age."""

    __slots__ = ("number", "raw", "size")

    def __init__(self, size: int, number: int) -> None:
        self.size, self.number = size, number
        self.raw = np.empty(size, np.uint8)

    def __lt__(self, other: _Block) -> bool:
        return (self.size, self.number) < (other.size, other.number)

    def references(self) -> int:
        """Python's count for the memory."""
        return sys.getrefcount(self.raw)

    def idle(self) -> bool:
        """Whether nobody looks at it."""
        return self.references() == _IDLE

    def view(self, shape: tuple[int, ...], dtype: Any, nbytes: int) -> np.ndarray[Any, Any]:
        """The first bytes as an array."""
        array: np.ndarray[Any, Any] = self.raw[:nbytes].view(dtype).reshape(shape)
        return array


def _measure() -> int:
    """The count of an idle block; 0, which none ever has, if this Python's counts don't tell idle from used."""
    block = _Block(_GRAIN, 0)
    idle = block.references()
    array = block.view((2, 4), np.float32, 32)
    used = block.references()
    array = array[:, 1:]
    still = block.references()
    del array
    return idle if used == still == idle + 1 and block.references() == idle else 0


_IDLE = _measure()
_lock = threading.Lock()
_blocks: list[_Block] = []
_count = 0


def _forget() -> None:
    """In a forked child the lock may be held by a thread that is gone. What gone threads use stays in use."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def scratch(shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray[Any, Any]:
    """As `empty`, for an array that lives within one kernel. Is it large, an idle block of any size will do; if it is small, one of
    its own is more likely to be in the cache still.
    """
    large = math.prod(shape) * np.dtype(dtype).itemsize >= _LARGE
    return empty(shape, dtype, spare=float("inf") if large else _SPARE)


def empty(shape: tuple[int, ...], dtype: Any = np.float32, spare: float = _SPARE) -> np.ndarray[Any, Any]:
    """An uninitialised C-ordered array, as np.empty gives, in memory that was used before, if there is a block that is no more
    than `spare` times too large."""
    global _count
    dtype = np.dtype(dtype)
    nbytes = math.prod(shape) * dtype.itemsize
    if nbytes < _SMALL or not _IDLE:
        return np.empty(shape, dtype)
    size = -(-nbytes // _GRAIN) * _GRAIN
    with _lock:
        i = bisect_left(_blocks, size, key=lambda block: block.size)
        while i < len(_blocks) and _blocks[i].size <= size * spare:
            if _blocks[i].idle():
                return _blocks[i].view(shape, dtype, nbytes)
            i += 1
        _count += 1
        try:
            block = _Block(size, _count)
        except MemoryError:  # idle blocks of other sizes may be what is missing
            _drop_idle()
            block = _Block(size, _count)
        insort(_blocks, block)
        return block.view(shape, dtype, nbytes)


def empty_cache() -> int:
    """Give the memory that no array uses back: to the operating system, and what CuPy's pools keep, on the current card and page-locked
    on the host, too. Returns how many bytes that were; page-locked ones are not counted.
    """
    with _lock:
        freed = _drop_idle()
    for library in libraries():
        if hasattr(library, "get_default_memory_pool"):
            pool = library.get_default_memory_pool()
            freed += int(pool.free_bytes())
            pool.free_all_blocks()
            library.get_default_pinned_memory_pool().free_all_blocks()
    return freed


def _drop_idle() -> int:
    """As `empty_cache`, for one who holds the lock."""
    idle = [block for block in _blocks if block.idle()]
    freed = sum(block.size for block in idle)
    gone = {id(block) for block in idle}
    _blocks[:] = [block for block in _blocks if id(block) not in gone]
    return freed


def bytes_held(array: Any) -> tuple[int, int]:
    """(identity of the memory that an array keeps from being used otherwise, its bytes). Of a block that is larger than it has to be, the
    array's own bytes count, so that the answer does not depend on what was there before.
    """
    memory = owner(array)
    with _lock:
        pooled = any(block.raw is memory for block in _blocks)
    return id(memory), int(array.nbytes if pooled else memory.nbytes)


def allocated() -> tuple[int, int]:
    """(bytes that arrays use, bytes kept in all)."""
    with _lock:
        return sum(block.size for block in _blocks if not block.idle()), sum(block.size for block in _blocks)
