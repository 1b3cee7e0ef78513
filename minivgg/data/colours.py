"""`colours`: a training set's mean, deviation and principal axes of colour, from a cache where there is one.

The axes are those of principal component analysis: the eigenvectors of the C×C covariance of all pixels, along which `ColourShift`
moves the images' colours.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import StorageError
from ..files import write_atomically
from .axes import principal_axes
from .folder import ImageFolder
from .images import LabelledImages
from .statistics import Sums, sums

__all__ = ["Colours", "cache_folder", "colours"]


@dataclass(frozen=True)
class Colours:
    """The colours of a dataset with C channels, in units of 0..1. `str` is a line about them in grey levels of 255.

    `mean`, `std` (C,) of each channel; `values` (C,) the eigenvalues of the covariance, the largest first; `vectors` (C, C) its
    eigenvectors of length 1, one a row (see `principal_axes`). `images` were read of `total`.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    values: tuple[float, ...]
    vectors: tuple[tuple[float, ...], ...]
    images: int
    total: int

    @classmethod
    def of(cls, found: Sums) -> Colours:
        """The colours that `found` tells."""
        return cls(found.mean, found.std, *principal_axes(found.covariance), found.images, found.total)

    def __str__(self) -> str:
        mean, std, axes = (
            " ".join(f"{255 * value:.1f}" for value in values) for values in (self.mean, self.std, map(math.sqrt, self.values))
        )
        some = "" if self.images == self.total else f" (from {self.images:,} of {self.total:,} images)"
        return f"mean {mean}, deviation {std}, along the principal axes {axes}, in grey levels of 255{some}"


def colours(dataset: LabelledImages) -> Colours:
    """The colours of `dataset`: counted, or read from the cache if its images lie in files and were counted before.

    A cache that is damaged is counted anew, and one that cannot be written is done without. Raises DataError for a file that is no
    sound image.
    """
    if not isinstance(dataset, ImageFolder):
        return Colours.of(sums(dataset))
    folder = cache_folder()
    path = folder / f"colours-{_key(dataset)}.json" if folder else None
    found = _read(path, dataset) if path else None
    if found is None:
        found = sums(dataset)
        if path:
            _write(path, found)
    return Colours.of(found)


def cache_folder() -> Path | None:
    """$XDG_CACHE_HOME/minivgg, by default ~/.cache/minivgg; None where there is no home."""
    place = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(place):  # noqa: PTH117  the standard ignores a relative one
        return Path(place) / "minivgg"
    with suppress(RuntimeError):
        return Path.home() / ".cache" / "minivgg"
    return None


def _key(dataset: ImageFolder) -> str:
    """What identifies the images: the fingerprint and, since that does not look into the files, when each was last changed."""
    sha = hashlib.sha256(dataset.fingerprint().encode())
    for path in dataset.paths:
        with suppress(OSError):  # reading it will say why
            sha.update(b"%d," % (dataset.root / path).stat().st_mtime_ns)
    return sha.hexdigest()


def _read(path: Path, dataset: ImageFolder) -> Sums | None:
    """The sums that `_write` left, None if there are none or they are damaged."""
    try:
        entry = json.loads(path.read_bytes())
        if entry["sha256"] != _digest(entry["sums"]) or entry["sums"]["total"] != len(dataset):
            return None
        return Sums(**{**entry["sums"], "totals": tuple(entry["sums"]["totals"]), "products": tuple(map(tuple, entry["sums"]["products"]))})
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def _write(path: Path, found: Sums) -> None:
    content = asdict(found)
    with suppress(OSError, StorageError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps({"sums": content, "sha256": _digest(content)}))


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
