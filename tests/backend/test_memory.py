"""The pool of memory: given out again when nobody looks at it, and not before."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minivgg as mv
from minivgg.backend import memory

MEGABYTE = 1 << 20


@pytest.fixture(autouse=True)
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A pool of this test's own, with nothing in it."""
    monkeypatch.setattr(memory, "_blocks", [])
    yield


def address(array: Any) -> int:
    """Where its memory begins."""
    return int(array.__array_interface__["data"][0])


def floats(megabytes: float, take: Callable[..., Any] = memory.empty) -> Any:
    """A vector of so many megabytes from the pool."""
    return take((int(megabytes * MEGABYTE) // 4,))


VIEWS: dict[str, Callable[[Any], Any]] = {
    "the array": lambda a: a,
    "a slice": lambda a: a[5:7],
    "a transpose": lambda a: a.reshape(512, -1).T,
    "a view of a view": lambda a: a.reshape(512, -1)[3:].T[::2].view(np.int32),
    "a strided window": lambda a: np.lib.stride_tricks.as_strided(a, (3,), (8,)),
    "an array on its buffer": lambda a: np.ndarray((4,), a.dtype, a, 16),
    "a memoryview": memoryview,
    "frombuffer": lambda a: np.frombuffer(a, np.uint8),
    "frombuffer of a memoryview": lambda a: np.frombuffer(memoryview(a)[8:], np.float32),
    "an iterator": iter,
    "a tensor": lambda a: mv.Tensor(a),
    "a detached tensor's row": lambda a: mv.Tensor(a).data.reshape(2, -1)[1],
    "a closure": lambda a: lambda: a,
}


@pytest.mark.parametrize("look", VIEWS.values(), ids=VIEWS)
def test_memory_is_not_given_out_while_anything_looks_at_it(look: Callable[[Any], Any]) -> None:
    """Views, views of views, and buffers keep it; when the last is gone it is the next array's."""
    array = floats(1)
    array[...] = 7.0
    where = address(array)
    view = look(array)
    del array
    others = [floats(1) for _ in range(3)]
    for other in others:
        other[...] = -1.0
    assert where not in map(address, others) and len({*map(address, others)}) == 3
    kept = view() if callable(view) else view
    assert not isinstance(kept, np.ndarray) or kept.dtype != np.float32 or (kept == 7.0).all()
    del view, kept
    assert address(floats(1)) == where


def test_a_block_serves_other_shapes_and_dtypes() -> None:
    """What is given out is as np.empty's: of the shape and dtype, in C order, writeable."""
    where = address(memory.empty((256, 1024), np.float32))
    for shape, dtype in (((1024, 1024), np.bool_), ((128, 2, 512), np.float64), ((1, 200, 1024), np.int32)):
        array = memory.empty(shape, dtype)
        assert (address(array), array.shape, array.dtype) == (where, shape, dtype)
        assert array.flags.c_contiguous and array.flags.writeable and array.flags.aligned
        array[...] = 1
        assert array.sum() == array.size
        del array


def test_small_arrays_come_from_numpy() -> None:
    """They own their memory, and the pool stays empty; so do empty ones."""
    for shape in ((10,), (), (0, 1 << 20), (100, 100)):
        array = memory.empty(shape, np.float32)
        assert array.shape == shape and array.flags.owndata
    assert memory.allocated() == (0, 0)


def test_empty_takes_slightly_larger_blocks_and_large_scratch_any() -> None:
    """A result may live long, and would keep a large block from being used; what lives within a kernel would not, but a small one
    is better off in memory of its own size, which may be in the cache."""
    where = address(floats(64))
    assert address(floats(10, memory.scratch)) == where
    assert address(floats(60)) == where
    small, scratch = floats(1), floats(1, memory.scratch)
    assert where not in (address(small), address(scratch))
    assert memory.allocated() == (2 * MEGABYTE, 66 * MEGABYTE)


def test_the_smallest_block_that_will_do_is_taken() -> None:
    """Best fit: a larger one is left for who needs it."""
    arrays = {size: floats(size) for size in (8, 2, 4)}
    places = {size: address(array) for size, array in arrays.items()}
    arrays.clear()
    assert address(floats(2, memory.scratch)) == places[2]
    assert address(floats(3, memory.scratch)) == places[4]
    assert address(floats(5, memory.scratch)) == places[8]


def test_empty_cache_frees_what_no_array_uses() -> None:
    """And says how many bytes that were; what is in use stays, values and all."""
    kept = floats(1)
    kept[...] = 3.0
    floats(2)
    assert memory.allocated() == (MEGABYTE, 3 * MEGABYTE)
    assert mv.empty_cache() == 2 * MEGABYTE
    assert memory.allocated() == (MEGABYTE, MEGABYTE) and (kept == 3.0).all()
    assert mv.empty_cache() == 0
    del kept
    assert mv.empty_cache() == MEGABYTE and memory.allocated() == (0, 0)


def test_bytes_held_by_a_view_are_those_of_what_it_keeps() -> None:
    """A slice of NumPy's keeps the whole array; two views of one memory have one identity; in the pool, an array its own size."""
    whole = np.zeros((10, 100), np.float32)
    identity, size = memory.bytes_held(whole[2:3, ::2])
    assert (identity, size) == (memory.bytes_held(whole)[0], 4000)
    del identity
    where = address(floats(4))
    array = floats(3)
    assert address(array) == where
    assert memory.bytes_held(array)[1] == 3 * MEGABYTE
    assert memory.bytes_held(array[:10])[0] == memory.bytes_held(array.reshape(2, -1).T)[0]
    assert memory.bytes_held(array)[0] != memory.bytes_held(floats(3))[0]


def test_threads_never_share_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four threads take, write, hand on and check blocks at once, and change places between looking at a block and taking it: nobody
    finds another's numbers."""
    idle = memory._Block.idle

    def slowly(block: Any) -> bool:
        answer = idle(block)
        time.sleep(1e-6)
        return answer

    monkeypatch.setattr(memory._Block, "idle", slowly)
    wrong: list[int] = []

    def work(number: int) -> None:
        rng, held = np.random.default_rng(number), []
        for i in range(200):
            value = number * 1000 + i
            array = memory.empty((int(rng.integers(20_000, 60_000)),), np.int64) if i % 2 else memory.scratch((30_000,), np.int64)
            array[...] = value
            held.append((array[1:].reshape(1, -1).T, value))
            if len(held) > 3:
                view, expected = held.pop(int(rng.integers(len(held))))
                wrong.extend([number] if (view != expected).any() else [])

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong
    assert memory.allocated()[0] == 0 < memory.allocated()[1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_forked_while_memory_is_taken_has_memory() -> None:
    """Another thread of the parent's is in the pool at that moment, and does not exist in the child: nobody waits for it."""
    script = """
import os, signal, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads is what is tested
from minivgg.backend import memory
inside, leave = threading.Event(), threading.Event()
block = memory._Block
def slow(size, number):
    inside.set()
    leave.wait()
    return block(size, number)
memory._Block = slow
other = threading.Thread(target=memory.empty, args=((1 << 20,),))
other.start()
inside.wait()
child = os.fork()
if child == 0:
    signal.alarm(20)
    memory._Block = block
    os._exit(7 if memory.empty((1 << 20,)).size == 1 << 20 else 1)
leave.set()
other.join()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "7", done.stderr


def test_without_counts_that_tell_numpy_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python whose counts of references say nothing: arrays of their own, and nothing is kept."""
    monkeypatch.setattr(memory, "_IDLE", 0)
    for take in (memory.empty, memory.scratch):
        array = floats(2, take)
        assert array.flags.owndata and array.nbytes == 2 * MEGABYTE
    assert memory.allocated() == (0, 0) and mv.empty_cache() == 0


def test_this_python_counts() -> None:
    """On the CPython these tests run on the pool is at work; the measurement notices a Python that does not count."""
    assert memory._IDLE == memory._measure() > 0


def test_a_python_that_does_not_count_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same count whatever is done."""
    monkeypatch.setattr(memory._Block, "references", lambda self: 1)
    assert memory._measure() == 0


def test_too_little_memory_frees_idle_blocks_and_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Idle blocks of other sizes may be what is missing; if it is missing still, the MemoryError arrives."""
    floats(1)  # idle at once
    real, refusals = memory._Block, [MemoryError()]

    def short(size: int, number: int) -> Any:
        if refusals:
            raise refusals.pop()
        return real(size, number)

    monkeypatch.setattr(memory, "_Block", short)
    array = floats(8)
    assert memory.allocated() == (8 * MEGABYTE, 8 * MEGABYTE)
    refusals.extend([MemoryError(), MemoryError()])
    with pytest.raises(MemoryError):
        floats(16)
    assert memory.allocated() == (array.nbytes, array.nbytes)
