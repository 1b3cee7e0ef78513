"""`Loader`: shuffled, transformed batches, prepared ahead by threads or processes, the same bits for any number of them."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from ..backend.arrays import Array
from ..backend.random import stream
from ..errors import ConfigError, DataError
from .arguments import integer
from .draws import Draws
from .folder import ImageFolder
from .images import LabelledImages
from .preparing import Preparation
from .transforms import Transform
from .workers import Workers, portable

__all__ = ["Batch", "Loader"]

_RAW = 20  # no normalised pixel is larger, unless its mean was taken off, and then some are negative
_PROBES = 16  # images looked at before training to check the range of what the network will see


class Batch(NamedTuple):
    """`images` float32 (B, C, H, W), stored channels-last; `labels` int64 (B,); `indices` int64 (B,) into the dataset."""

    images: Array
    labels: Array
    indices: Array


class Loader:
    """Cuts a dataset into batches, epoch by epoch.

    Each epoch's order is the permutation from the stream (seed, "shuffle", epoch), and what a sample draws for its
    augmentation is decided by (seed, purpose, epoch, sample), so a batch is decided by (seed, epoch, batch number) alone.
    `workers` threads prepare up to `prefetch` batches ahead; with 0 workers each is prepared when asked for. Images in files are
    decoded and transformed by as many processes, which start with the first batch and end with the loader; a transform of the
    caller's own is not known there, so then, with a warning, the threads do it themselves.

    The last batch may be smaller. It is left out with `drop_last`, and in training also if it would hold a single
    sample of a larger `batch_size`: batch norm has no variance over one value. Evaluation (`training=False`) never
    leaves a sample out unless told to.

    `image_shape` is (C, H, W) of the batches. Raises ConfigError for an impossible argument, ShapeError or DataError if
    the transform does not fit the images; warns if the network would see raw pixels in 0..255.
    """

    def __init__(
        self,
        dataset: LabelledImages,
        batch_size: int,
        transform: Transform,
        *,
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = False,
        workers: int = 1,
        prefetch: int = 4,
        training: bool = True,
    ) -> None:
        self.dataset = dataset
        self.batch_size = integer("batch_size", batch_size, 1)
        self.transform = transform
        self.seed = integer("seed", seed, 0)
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.workers = integer("workers", workers, 0)
        self.prefetch = integer("prefetch", prefetch, 1)
        self.training = training
        self._preparation = Preparation(transform, self.seed, training, dataset.name)
        self._processes: Workers | None = None
        if len(self) == 0:
            raise ConfigError(
                f"no batch is left: {len(dataset):,} image(s) in batches of {self.batch_size}, where "
                f"{'an incomplete last batch' if drop_last else 'a last batch of one image'} is left out. "
                "Lower batch_size or add images."
            )
        self.image_shape: tuple[int, int, int] = self._probe()
        if self.workers and type(dataset) is ImageFolder and not self.in_processes:
            warnings.warn(
                f"{transform} is not one of minivgg's own transforms, so threads apply it, not processes: the same bits, less speed.",
                stacklevel=2,
            )

    def __len__(self) -> int:
        """Batches in an epoch."""
        whole, rest = divmod(len(self.dataset), self.batch_size)
        dropped = self.drop_last or (self.training and rest == 1)
        return whole + (rest > 0 and not dropped)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of epoch number `epoch` from batch number `start` on, both counted from 0.

        Leaving the iteration early, by break, exception or Ctrl-C, ends its threads. An error in preparing a batch is
        raised where the batch is asked for, with a note that names the sample. A process that dies is an OutOfMemoryError or a
        DataError that names its files; the next batch has a new one.
        """
        epoch, start = integer("epoch", epoch, 0), integer("start", start, 0)
        if start > len(self):
            raise ConfigError(f"an epoch has {len(self)} batches, so it cannot start at batch {start}.")
        count = len(self.dataset)
        order = stream(self.seed, "shuffle", epoch).permutation(count) if self.shuffle else np.arange(count)
        parts = (order[batch * self.batch_size : (batch + 1) * self.batch_size] for batch in range(start, len(self)))
        return self._ahead(epoch, parts) if self.workers else (self._prepare(epoch, part) for part in parts)

    def _ahead(self, epoch: int, parts: Iterator[Array]) -> Iterator[Batch]:
        """Batches in order, with up to `prefetch` more in the hands of the threads."""
        self._employ()
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="minivgg-loader")
        try:
            waiting: deque[Future[Batch]] = deque()
            for part in parts:
                waiting.append(pool.submit(self._prepare, epoch, part))
                if len(waiting) > self.prefetch:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    @property
    def in_processes(self) -> bool:
        """Whether processes prepare the batches: there are workers, for images in files, and minivgg's own transforms."""
        return self.workers > 0 and type(self.dataset) is ImageFolder and portable(self.transform)

    def _employ(self) -> None:
        """Have processes of this process's own, if any."""
        if self.in_processes and (self._processes is None or self._processes.pid != os.getpid()):
            assert isinstance(self.dataset, ImageFolder)
            self._processes = Workers(self.workers, self.dataset, self._preparation)

    def _prepare(self, epoch: int, indices: Array) -> Batch:
        if self._processes is None:
            images = self._preparation.batch(self.dataset, indices, epoch, indices)
        else:
            images = self._processes.ask(epoch, indices)
        return Batch(images, self.dataset.labels[indices], indices.astype(np.int64, copy=False))

    def _probe(self) -> tuple[int, int, int]:
        """Check the range of some images as the network will see them, and return their (C, H, W)."""
        chosen = np.unique(np.linspace(0, len(self.dataset) - 1, _PROBES).astype(np.int64))
        images = self._preparation.transformed(self.dataset, chosen, Draws(self.seed, 0, chosen, training=False))
        if not np.isfinite(images).all():
            raise DataError(f"{self.transform} makes NaN or Inf of {self.dataset.name}.")
        if images.min() >= 0 and images.max() > _RAW:
            warnings.warn(
                f"the network would see raw pixels up to {images.max():.0f}: logits and the first loss would be hundreds of "
                "times too large. Add Normalise(*statistics(dataset)) to the transform.",
                stacklevel=3,
            )
        _, channels, height, width = images.shape
        return channels, height, width
