"""`Loader`: shuffled, transformed batches, prepared ahead by threads, the same bits for any number of them."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from ..backend.arrays import Array
from ..backend.layout import as_nchw
from ..backend.random import stream
from ..errors import ConfigError, DataError, ShapeError
from .arguments import integer
from .draws import Draws
from .images import LabelledImages
from .transforms import Transform

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
    `workers` threads prepare up to `prefetch` batches ahead; with 0 workers each is prepared when asked for.

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
        if len(self) == 0:
            raise ConfigError(
                f"no batch is left: {len(dataset):,} image(s) in batches of {self.batch_size}, where "
                f"{'an incomplete last batch' if drop_last else 'a last batch of one image'} is left out. "
                "Lower batch_size or add images."
            )
        self.image_shape: tuple[int, int, int] = self._probe()

    def __len__(self) -> int:
        """Batches in an epoch."""
        whole, rest = divmod(len(self.dataset), self.batch_size)
        dropped = self.drop_last or (self.training and rest == 1)
        return whole + (rest > 0 and not dropped)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of epoch number `epoch` from batch number `start` on, both counted from 0.

        Leaving the iteration early, by break, exception or Ctrl-C, ends its threads. An error in preparing a batch is
        raised where the batch is asked for, with a note that names the sample.
        """
        epoch, start = integer("epoch", epoch, 0), integer("start", start, 0)
        if start > len(self):
            raise ConfigError(f"an epoch has {len(self)} batches, so it cannot start at batch {start}.")
        count = len(self.dataset)
        order = stream(self.seed, "shuffle", epoch).permutation(count) if self.shuffle else np.arange(count)
        parts = [order[batch * self.batch_size : (batch + 1) * self.batch_size] for batch in range(start, len(self))]
        return self._ahead(epoch, parts) if self.workers else (self._prepare(epoch, part) for part in parts)

    def _ahead(self, epoch: int, parts: list[Array]) -> Iterator[Batch]:
        """Batches in order, with up to `prefetch` more in the hands of the threads."""
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

    def _prepare(self, epoch: int, indices: Array) -> Batch:
        try:
            images = self._transformed(epoch, indices, self.training)
        except Exception as error:
            error.add_note(f"while preparing {self._culprit(epoch, indices)} of {self.dataset.name} for epoch {epoch}")
            raise
        return Batch(images, self.dataset.labels[indices], indices.astype(np.int64, copy=False))

    def _transformed(self, epoch: int, indices: Array, training: bool) -> Array:
        """Images float32 (B, C, H, W), stored channels-last."""
        images = self.dataset.read(indices, self.transform.least)
        out = self.transform(images, Draws(self.seed, epoch, indices, training))
        if isinstance(out, list):
            sizes = " and ".join(sorted({f"{image.shape[0]}×{image.shape[1]}" for image in out})[:2])
            raise ShapeError(f"{self.transform} left images of {sizes}, but a batch has one size. Add Crop(size).")
        if out.ndim != 4 or len(out) != len(indices):
            raise ShapeError(f"{self.transform} made {out.shape} of {len(indices)} images, expected (B, H, W, C).")
        return as_nchw(np.ascontiguousarray(out, np.float32))

    def _culprit(self, epoch: int, indices: Array) -> str:
        """The sample that fails on its own: its draws are the same in a batch of one."""
        for index in indices:
            try:
                self._transformed(epoch, np.array([index]), self.training)
            except Exception:
                return f"sample {index}"
        return f"samples {', '.join(map(str, indices))} together"

    def _probe(self) -> tuple[int, int, int]:
        """Check the range of some images as the network will see them, and return their (C, H, W)."""
        chosen = np.unique(np.linspace(0, len(self.dataset) - 1, _PROBES).astype(np.int64))
        images = self._transformed(0, chosen, training=False)
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
