"""How batches reach a card: the right data at the right time, and no waiting."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import minivgg as mv
from minivgg import data
from minivgg.backend.layout import as_nchw
from minivgg.data import Batch
from minivgg.train import feeding
from minivgg.train.feeding import feed

from .pretend_cupy import streams

modes = pytest.mark.parametrize("early", [False, True], ids=["copies as late as may be", "copies as early as may be"])


@pytest.fixture
def copies(card, early):
    """The pretend card, with copies late or early; nothing was waited for yet."""
    streams.early[0] = early
    return card


def host_batches(sizes):
    """Batches of 2×3×5 images in which every number is that of its batch."""
    for i, size in enumerate(sizes):
        images = as_nchw(np.full((size, 3, 5, 2), float(i), "float32"))
        yield Batch(images, np.full(size, i), np.arange(size))


@modes
@pytest.mark.parametrize("sizes", [[4] * 40, [4, 4, 4, 3], [4, 4], [4], [1], []], ids=str)
def test_each_batch_arrives_whole(copies, sizes):
    """Images, labels and indices of each batch in order, a shorter last one too, stored channels-last on the card; what a step computes
    from a batch is not disturbed by the copies behind it. The host waits for no event."""
    device, sums, labels = mv.Device("cuda"), [], []
    for i, batch in enumerate(feed(host_batches(sizes), device)):
        assert isinstance(batch.images, copies.ndarray) and batch.images.shape == (sizes[i], 2, 3, 5) and batch.indices.size == sizes[i]
        assert batch.images.transpose(0, 2, 3, 1).flags.c_contiguous
        sums.append(batch.images.sum())
        labels.append(batch.labels.copy())
    assert [s.get() for s in sums] == [30.0 * i * size for i, size in enumerate(sizes)]
    assert [x.get().tolist() for x in labels] == [[i] * size for i, size in enumerate(sizes)]
    assert streams.waits == [0]


@modes
@pytest.mark.parametrize("broken", ["pinned", "begin", "finished"])
def test_each_event_is_needed(copies, monkeypatch, early, broken):
    """Without the wait before a pinned buffer is refilled, before a batch is used, or before a device buffer is refilled, data come
    out wrong or the pretend card refuses, if copies are late; so the test above would notice. Early copies hide the first two."""
    monkeypatch.setattr(feeding, "_PINNED_BYTES", 0)  # three pinned buffers

    class Silent(streams.Event):
        def synchronize(self):
            pass

    if broken == "pinned":
        monkeypatch.setattr(copies.cuda, "Event", Silent)
        monkeypatch.setattr(feeding, "ON_CARD", 4)  # a copy has more time than there are pinned buffers
        stage, begin, refilled = feeding._Ring.stage, feeding._Ring.begin, threading.Event()

        def stage_and_tell(ring, source, number):
            batch = stage(ring, source, number)
            if number == 3:
                refilled.set()
            return batch

        def begin_late(ring, number):
            assert refilled.wait(60)
            begin(ring, number)

        monkeypatch.setattr(feeding._Ring, "stage", stage_and_tell)
        monkeypatch.setattr(feeding._Ring, "begin", begin_late)
    if broken == "begin":
        monkeypatch.setattr(feeding._Ring, "begin", lambda *_: None)
    if broken == "finished":
        monkeypatch.setattr(feeding._Ring, "end", lambda *_: None)
    values = []
    try:
        for batch in feed(host_batches([4] * 12), mv.Device("cuda")):
            values.append(float(batch.images.sum()) / 120)
        wrong = values != [float(i) for i in range(12)]
    except RuntimeError as error:
        wrong = "may still be reading" in str(error)
    assert wrong == (not early or broken == "finished")


@modes
def test_leaving_early_ends_threads_and_copies(copies):
    """After break, an exception in the loop, Ctrl-C, or an error of the loader: no thread is left, no copy is on its way, the loader's
    generator is closed, and the error comes through with its note."""
    before, closed = threading.active_count(), []

    def batches(fail=99):
        try:
            for i, batch in enumerate(host_batches([4] * 20)):
                if i == fail:
                    raise OSError("a bad file")
                yield batch
        finally:
            closed.append(True)

    def leave(error):
        for i, _ in enumerate(feed(batches(), mv.Device("cuda"))):
            if i == 3:
                if error is None:
                    break
                raise error

    leave(None)
    for error in (ValueError("mine"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            leave(error)
        error.__traceback__ = None
    seen = []
    with pytest.raises(OSError, match="a bad file"):
        for batch in feed(batches(fail=5), mv.Device("cuda")):
            seen.append(float(batch.labels[0]))
    assert seen == [0, 1, 2, 3, 4] and len(closed) == 4 and threading.active_count() == before


def test_the_cpu_gets_the_loaders_own_batches():
    """On the CPU nothing is copied or wrapped."""
    batches = host_batches([2])
    assert feed(batches, mv.Device("cpu")) is batches


@modes
@pytest.mark.parametrize("workers", [0, 2])
def test_the_second_card_is_fed_too(copies, monkeypatch, workers):
    """Within device.use() of cuda:1, with and without loader threads, the loader's batches arrive on that card."""
    monkeypatch.setattr(copies.cuda.runtime, "getDeviceCount", lambda: 2)
    device = mv.Device("cuda:1")
    images = np.random.default_rng(0).integers(0, 255, (10, 4, 4, 1), dtype=np.uint8)
    dataset = data.Dataset(images, np.arange(10) % 3, ("a", "b", "c"), "noise")
    loader = data.Loader(dataset, 4, data.Normalise([0.5], [0.3]), workers=workers)
    with device.use():
        there = [(b.images.get(), b.labels.get(), b.images.device.id) for b in feed(loader.epoch(1), device)]
    for batch, (x, labels, place) in zip(loader.epoch(1), there, strict=True):
        assert np.array_equal(batch.images, x) and np.array_equal(batch.labels, labels) and place == 1


@modes
def test_large_batches_have_a_short_ring(copies, monkeypatch):
    """Twelve pinned buffers of images, or as many as _PINNED_BYTES allow, but three; labels come on top."""
    image_bytes = 4 * 30 * 4
    for limit, count in ((1 << 30, 12), (image_bytes * 5, 5), (0, 3)):
        monkeypatch.setattr(feeding, "_PINNED_BYTES", limit)
        streams.pinned.clear()
        assert len(list(feed(host_batches([4] * 3), mv.Device("cuda")))) == 3
        assert streams.pinned == [image_bytes, 32] * count
