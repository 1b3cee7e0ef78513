"""How batches reach a card: through a ring of pinned buffers, by copies that run beside the computation.

    loader's threads      prepare batches                                  (host memory)
    the feeding thread    batch → pinned buffer, and gives the copy        (host, page-locked: the card reads it by itself)
    copy stream           pinned buffer → device buffer                    (the card's copy engine)
    compute stream        waits for that copy, and computes

Nobody waits for the card; events keep the order. With batch number i in pinned buffer i mod P and device buffer i mod D:

    pinned buffer     is refilled when its last copy, number i − P, is done: the feeding thread asks that copy's event
    device buffer     is refilled when step i − D is done: the copy stream waits for an event behind it on the compute stream
    batch             is used when its copy is done: the compute stream waits for the copy's event

The loop gives steps to the card faster than they are done and looks at it every ten steps, so it can be ten steps ahead. Copy number
i − P waits for step i − P − D, so with P ≥ 12 it was done before the last look, and no event is waited for; batches of more than 80 MB
have a shorter ring, where the feeding thread may wait, and the card has two or more steps to do meanwhile. Two device buffers suffice:
a copy takes a fraction of a step (VGG-16 at 224×224, batch 64: 38.5 MB, 1 to 2 ms over PCIe 5, where a step takes twenty times as long).
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from ..backend.arrays import Array
from ..backend.device import Device
from ..backend.layout import as_nchw, nhwc
from ..data import Batch

__all__ = ["ON_CARD", "Timed", "feed"]

ON_CARD = 2  # device buffers
_PINNED = 12  # pinned buffers at most
_PINNED_BYTES = 1 << 30  # of all of them together, but at least three buffers


def feed(batches: Iterator[Batch], device: Device) -> Iterator[Batch]:
    """The batches, images and labels on `device`, to be asked for within `device.use()`.

    A batch is the caller's until the next is asked for. On the CPU they are the batches themselves. Leaving early, by break, exception
    or Ctrl-C, ends the threads, and no copy is on its way any more.
    """
    return batches if device.kind == "cpu" else _fed(batches, device)


def _fed(batches: Iterator[Batch], device: Device) -> Iterator[Batch]:
    thread = ThreadPoolExecutor(1, thread_name_prefix="minivgg-feeding")
    ring: _Ring | None = None
    try:
        first = next(batches, None)
        if first is None:
            return
        ring, source = _Ring(first, device), itertools.chain([first], batches)
        del first
        staged: deque[Future[Batch | None]] = deque(thread.submit(ring.stage, source, i) for i in range(ON_CARD))
        for number in itertools.count():
            batch = staged.popleft().result()
            if batch is None:
                return
            ring.begin(number)
            yield batch
            del batch
            ring.end(number)
            staged.append(thread.submit(ring.stage, source, number + ON_CARD))
    finally:
        thread.shutdown(wait=True, cancel_futures=True)
        if ring is not None:
            ring.drain()
        if hasattr(batches, "close"):  # ends the loader's threads
            batches.close()


class Timed(Iterator[Batch]):
    """The same batches; `seconds` is how long they were waited for so far. On a card, which has steps to do meanwhile, that is the
    most that it stood still."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches = batches
        self.seconds = 0.0

    def __next__(self) -> Batch:
        asked = time.perf_counter()
        try:
            return next(self._batches)
        finally:
            self.seconds += time.perf_counter() - asked


class _Ring:
    """Pinned and device buffers as large as `batch`, the largest to come, and the events that say when each is free."""

    def __init__(self, batch: Batch, device: Device) -> None:
        self.device, cuda = device, device.xp.cuda
        images, labels = nhwc(batch.images), batch.labels
        count = max(min(_PINNED, _PINNED_BYTES // max(images.nbytes, 1)), 3)
        self.pinned = [(_pinned(cuda, images), _pinned(cuda, labels)) for _ in range(count)]
        self.buffers = [tuple(device.xp.empty(x.shape, x.dtype) for x in (images, labels)) for _ in range(ON_CARD)]
        self.compute, self.copies = cuda.get_current_stream(), cuda.Stream(non_blocking=True)
        self.copied, self.finished = ([cuda.Event(disable_timing=True) for _ in range(n)] for n in (count, ON_CARD))
        for event in self.finished:  # the buffers may be memory that work given before still uses
            event.record(self.compute)

    def stage(self, source: Iterator[Batch], number: int) -> Batch | None:
        """The next batch, number `number`, with images and labels that will be on the card; None if there is none."""
        batch = next(source, None)
        if batch is None:
            return None
        place, size = number % len(self.pinned), len(batch.labels)
        self.copied[place].synchronize()
        with self.device.use():
            self.copies.wait_event(self.finished[number % ON_CARD])
            parts = []
            for host, pinned, buffer in zip(
                (nhwc(batch.images), batch.labels), self.pinned[place], self.buffers[number % ON_CARD], strict=True
            ):
                pinned[:size] = host
                parts.append(buffer[:size])
                parts[-1].set(pinned[:size], self.copies)
            self.copied[place].record(self.copies)
            return Batch(as_nchw(parts[0]), parts[1], batch.indices)

    def begin(self, number: int) -> None:
        """The compute stream waits for the copy of batch `number`."""
        self.compute.wait_event(self.copied[number % len(self.pinned)])

    def end(self, number: int) -> None:
        """What was given to the compute stream so far is all that uses batch `number`."""
        self.finished[number % ON_CARD].record(self.compute)

    def drain(self) -> None:
        """Let the copies end that nobody will use: pinned buffers go to others, and device buffers, too."""
        with self.device.use():
            last = self.device.xp.cuda.Event(disable_timing=True)
            last.record(self.copies)
            last.synchronize()


def _pinned(cuda: Any, like: Array) -> Array:
    """Page-locked memory for an array such as `like`."""
    memory = cuda.alloc_pinned_memory(max(like.nbytes, 1))
    return np.frombuffer(memory, like.dtype, like.size).reshape(like.shape)
