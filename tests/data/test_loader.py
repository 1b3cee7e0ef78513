"""The loader: batches that depend on (seed, epoch, batch number) alone, and threads that end."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass

import numpy as np
import pytest

from minivgg.backend.random import stream
from minivgg.data import Compose, Crop, Dataset, Draws, Loader, Mirror, Normalise, Pad, Transform, datasets, load, statistics
from minivgg.errors import ConfigError, ShapeError

IMAGES = np.random.default_rng(1).integers(0, 256, (50, 6, 5, 3), dtype=np.uint8)
DATASET = Dataset(IMAGES, np.arange(50) % 4, ("a", "b", "c", "d"), "fifty")
AUGMENT = Compose((Pad(1), Mirror(), Crop(6, padding=2), Normalise(*statistics(DATASET))))


def loader(**changes):
    """A loader over fifty images in batches of eight."""
    settings = {"dataset": DATASET, "batch_size": 8, "transform": AUGMENT, "seed": 5, **changes}
    return Loader(**settings)


def content(batches):
    """The batches as bytes."""
    return [tuple(part.tobytes() for part in batch) for batch in batches]


@dataclass(frozen=True)
class Failing(Transform):
    """Refuses sample 33 in training, and passes all others on as float32."""

    kind = "failing"

    def apply(self, images, draws):
        if draws.training and 33 in draws.indices:
            raise ZeroDivisionError("cannot do this one")
        return images / np.float32(255)


@dataclass(frozen=True)
class Flat(Transform):
    """Forgets the channel axis."""

    kind = "flat"

    def apply(self, images, draws):
        return images[..., 0]


def threads():
    """The loader's living threads."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("minivgg-loader")]


def test_batches_are_float32_nchw_stored_channels_last():
    """Shapes, dtypes and storage of a batch, and the shape that the loader announces."""
    batch = next(loader().epoch(0))
    assert batch.images.shape == (8, 3, 6, 6) and batch.images.dtype == np.float32
    assert batch.images.transpose(0, 2, 3, 1).flags.c_contiguous
    assert batch.labels.shape == batch.indices.shape == (8,) and batch.labels.dtype == batch.indices.dtype == np.int64
    assert loader().image_shape == (3, 6, 6)


@pytest.mark.parametrize("workers", [0, 2])
def test_batch_is_what_its_name_says(workers):
    """Batch by batch: the shuffle stream's indices, their labels, and the transform of those images."""
    order = stream(5, "shuffle", 3).permutation(50)
    for number, batch in enumerate(loader(workers=workers).epoch(3)):
        indices = order[8 * number : 8 * number + 8]
        assert batch.indices.tolist() == indices.tolist() and batch.labels.tolist() == (indices % 4).tolist()
        expected = AUGMENT(IMAGES[indices], Draws(5, 3, indices))
        assert np.array_equal(batch.images, expected.transpose(0, 3, 1, 2))


def test_an_epoch_visits_every_sample_once_in_a_new_order():
    """Two epochs hold the same samples in different orders; the same epoch repeats itself."""
    orders = [np.concatenate([batch.indices for batch in loader().epoch(epoch)]).tolist() for epoch in (0, 1, 1)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(50))
    assert orders[0] != orders[1] == orders[2]


def test_without_shuffling_the_order_is_the_datasets():
    """shuffle=False gives samples 0, 1, 2, …"""
    indices = np.concatenate([batch.indices for batch in loader(shuffle=False, training=False).epoch(4)])
    assert indices.tolist() == list(range(50))


def test_evaluation_is_the_same_in_every_epoch():
    """training=False has no randomness beyond the order."""
    plain = loader(shuffle=False, training=False)
    assert content(plain.epoch(0)) == content(plain.epoch(9))
    assert content(plain.epoch(0)) != content(loader(shuffle=False).epoch(0))


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("prefetch", [1, 3, 100])
def test_number_of_workers_changes_no_bit(workers, prefetch):
    """Any number of threads and any look-ahead give the inline loader's bits in its order."""
    assert content(loader(workers=workers, prefetch=prefetch).epoch(2)) == content(loader(workers=0).epoch(2))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("start", range(8))
def test_resuming_in_the_middle_gives_the_remaining_batches(workers, start):
    """epoch(e, start) is the tail of epoch(e), to the bit, from the first batch to none."""
    assert content(loader(workers=workers).epoch(1, start)) == content(loader(workers=0).epoch(1))[start:]


@pytest.mark.parametrize(
    ("count", "size", "drop_last", "training", "sizes"),
    [
        (50, 8, False, True, [8] * 6 + [2]),
        (50, 8, True, True, [8] * 6),
        (49, 8, False, True, [8] * 6),
        (49, 8, False, False, [8] * 6 + [1]),
        (48, 8, False, True, [8] * 6),
        (3, 1, False, True, [1, 1, 1]),
        (3, 64, False, True, [3]),
        (1, 64, False, False, [1]),
    ],
)
def test_last_batch_follows_its_rule(count, size, drop_last, training, sizes):
    """Kept if incomplete, left out with drop_last, and in training also if a single sample is over; len() knows."""
    cut = loader(dataset=DATASET.take(np.arange(count)), batch_size=size, drop_last=drop_last, training=training)
    assert [len(batch.labels) for batch in cut.epoch(0)] == sizes
    assert len(cut) == len(sizes)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_an_error_in_a_worker_names_the_sample(workers):
    """The exception keeps its type, comes when its batch is asked for, carries a note with the index, and ends the threads."""
    seen = []
    with pytest.raises(ZeroDivisionError, match="cannot do this one") as caught:
        for batch in loader(transform=Failing(), workers=workers, shuffle=False).epoch(0):
            seen.append(batch.indices[0])
    assert seen == [0, 8, 16, 24]
    assert any("sample 33 of fifty" in note for note in caught.value.__notes__)
    assert not threads()


def test_leaving_early_leaves_no_thread():
    """break, an exception, Ctrl-C, close() and an iterator never started: no thread of the loader survives."""
    busy = loader(workers=3)
    for _ in busy.epoch(0):
        assert threads()
        break
    assert not threads()
    for error in (RuntimeError, KeyboardInterrupt):
        try:
            for _ in busy.epoch(0):
                raise error
        except error:
            assert not threads()
    iterator = busy.epoch(0)
    next(iterator)
    iterator.close()
    busy.epoch(0)
    assert not threads()
    assert len(list(busy.epoch(0))) == len(busy) and not threads()


def test_no_more_than_prefetch_batches_are_prepared_ahead():
    """Memory is bounded: with the consumer at its first batch, the threads have begun at most `prefetch` others."""
    begun = []

    @dataclass(frozen=True)
    class Counting(Transform):
        kind = "counting"

        def apply(self, images, draws):
            if draws.training:
                begun.append(draws.indices[0])
            return images / np.float32(255)

    iterator = loader(transform=Counting(), workers=2, prefetch=2, batch_size=2).epoch(0)
    next(iterator)
    iterator.close()
    assert 1 <= len(begun) <= 3


def test_batches_do_not_share_memory_with_the_dataset():
    """A batch may be written to; the dataset stays as it was."""
    for batch in loader(transform=Compose((Normalise((0,) * 3, (1,) * 3),)), shuffle=False).epoch(0):
        batch.images[...] = -1
        batch.labels[...] = -1
    assert np.array_equal(DATASET.images, IMAGES) and DATASET.labels.min() == 0


def test_reading_an_epoch_leaves_the_embedded_file_unchanged():
    """Digest and time of change of the data file are the same after load and an epoch."""
    path = datasets._EMBEDDED
    before = hashlib.sha256(path.read_bytes()).digest(), path.stat().st_mtime_ns
    train, _ = load()
    assert sum(len(batch.labels) for batch in Loader(train, 512, Normalise(*statistics(train))).epoch(0)) == 5000
    assert (hashlib.sha256(path.read_bytes()).digest(), path.stat().st_mtime_ns) == before


def test_raw_pixels_are_warned_of():
    """Without Normalise the network would see 0..255; pixels minus their mean, in that scale, are somebody's intention."""
    with pytest.warns(UserWarning, match="raw pixels"):
        loader(transform=Mirror())
    loader(transform=Normalise((0.5,) * 3, (1 / 255,) * 3))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"batch_size": 0}, ConfigError),
        ({"batch_size": 2.0}, ConfigError),
        ({"workers": -1}, ConfigError),
        ({"prefetch": 0}, ConfigError),
        ({"seed": 1.5}, ConfigError),
        ({"batch_size": 64, "drop_last": True}, ConfigError),
        ({"dataset": DATASET.take(np.array([0]))}, ConfigError),
        ({"transform": Crop(7)}, ShapeError),
        ({"transform": Flat()}, ShapeError),
    ],
)
def test_impossible_loaders_are_refused_at_construction(changes, error):
    """Wrong numbers, no batch at all, and transforms that do not fit are told before the first epoch."""
    with pytest.raises(error):
        loader(**changes)


@pytest.mark.parametrize(("epoch", "start"), [(-1, 0), (0, -1), (0, 8), (0.5, 0)])
def test_impossible_positions_are_refused_at_once(epoch, start):
    """epoch() checks before the iteration begins."""
    with pytest.raises(ConfigError):
        loader().epoch(epoch, start)
