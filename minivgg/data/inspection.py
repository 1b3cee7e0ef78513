"""A whole source of images looked at before training: bad, double and odd images, balance of classes, sizes; and whether it can
be trained with. Only what the report says is kept of an image, so that memory does not grow with the images' sizes."""

from __future__ import annotations

import os
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..errors import DataError
from .bounded import one_line
from .datasets import load
from .examination import Examined, examine, examine_pixels
from .mnist import has_pairs
from .tree import faults, scan

__all__ = ["Double", "Remark", "Report", "inspect"]

Progress = Callable[[int, int], None]  # images done, images in all


class Remark(NamedTuple):
    """Something about one image; `image` is its path within the source, or train[17]."""

    image: str
    reason: str


class Double(NamedTuple):
    """The same pixels in several images: "leak" across parts, "contradiction" across classes of a part, "repeat" within a class."""

    kind: str
    images: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """What was found in `source`.

    `counts`: part → class → sound images. `sizes`: "height", "width" → (smallest, median, largest) in pixels. `missing`: part →
    classes of train without an image there. `ignored` files have no image's suffix, or lie outside the folders of classes.
    `problems` are the reasons why training would fail.
    """

    source: str
    counts: dict[str, dict[str, int]]
    sizes: dict[str, tuple[int, float, int]]
    bad: list[Remark]
    doubles: list[Double]
    odd: list[Remark]
    missing: dict[str, list[str]]
    ignored: list[str]
    problems: list[str]

    @property
    def trainable(self) -> bool:
        """Whether training would work."""
        return not self.problems


@dataclass
class _Image:
    """One image, where it lies and how to look at it."""

    part: str
    label: str
    name: str
    look: Callable[[], Examined]
    seen: Examined | None = None
    reason: str = ""

    def examine(self) -> _Image:
        try:
            self.seen = self.look()
        except DataError as error:
            self.reason = str(error)
        return self


@dataclass
class _Source:
    """Classes of each part and all images, before they are looked at."""

    classes: dict[str, list[str]] = field(default_factory=dict)
    images: list[_Image] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def inspect(source: str | Path, *, grey: bool = False, workers: int = 1, progress: Progress | None = None) -> Report:
    """Look at every image of `source`, as `parts` takes it, in so many threads. Raises DataError if it is no source of images at all."""
    path = Path(source)
    folder = os.path.isdir(path) and not has_pairs(path)  # noqa: PTH112  see datasets.load
    found = _folder(path, 1 if grey else 3) if folder else _arrays(path)
    for done, _ in enumerate(_examined(found.images, workers), 1):
        if progress is not None:
            progress(done, len(found.images))
    bad = [Remark(image.name, _without(image.reason, path / image.name)) for image in found.images if image.reason]
    counts = {part: dict.fromkeys(classes, 0) for part, classes in found.classes.items()}
    for image in found.images:
        counts[image.part][image.label] += image.seen is not None
    return Report(
        source=str(source),
        counts=counts,
        sizes=_sizes([image.seen for image in found.images if image.seen]),
        bad=bad,
        doubles=list(_doubles(found.images)),
        odd=[Remark(image.name, remark) for image in found.images if image.seen for remark in image.seen.remarks],
        missing={part: [name for name in counts["train"] if not counts[part].get(name)] for part in counts if part != "train"},
        ignored=found.ignored,
        problems=[*found.problems, *_problems(counts, bad)],
    )


def _folder(root: Path, channels: int) -> _Source:
    parts = scan(root)
    source = _Source(problems=faults(parts))
    for part, found in parts.items():
        source.classes[part] = list(found.classes)
        prefix = "" if found.root == root else f"{found.root.name}/"
        source.ignored += [prefix + name for name in (*found.loose, *found.ignored)]
        for label, names in found.classes.items():
            for name in names:
                source.images.append(_Image(part, label, prefix + name, _looking(found.root / name, channels)))
    return source


def _looking(path: Path, channels: int) -> Callable[[], Examined]:
    return lambda: examine(path, channels)


def _arrays(path: Path) -> _Source:
    source = _Source()
    for part, dataset in zip(("train", "test"), load(path), strict=True):
        if dataset is None:
            continue
        source.classes[part] = list(dataset.classes)
        for index, label in enumerate(dataset.labels.tolist()):
            pixels = dataset.images[index]
            source.images.append(_Image(part, dataset.classes[label], f"{part}[{index}]", lambda pixels=pixels: examine_pixels(pixels)))  # type: ignore[misc]
    return source


def _examined(images: list[_Image], workers: int) -> Iterator[_Image]:
    with ThreadPoolExecutor(max(1, workers), thread_name_prefix="minivgg-check") as pool:
        try:
            yield from pool.map(_Image.examine, images)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _without(reason: str, path: Path) -> str:
    """The reason without the path that it begins with."""
    return reason.removeprefix(f"{one_line(path)}: ")


def _sizes(seen: list[Examined]) -> dict[str, tuple[int, float, int]]:
    if not seen:
        return {}
    sides = {"height": [image.height for image in seen], "width": [image.width for image in seen]}
    return {side: (min(values), statistics.median(values), max(values)) for side, values in sides.items()}


def _doubles(images: Iterable[_Image]) -> Iterator[Double]:
    """Groups of equal pixels, those across parts first, then those across classes."""
    groups: dict[str, list[_Image]] = {}
    for image in images:
        if image.seen:
            groups.setdefault(image.seen.digest, []).append(image)
    kinds: dict[str, list[Double]] = {"leak": [], "contradiction": [], "repeat": []}
    for group in groups.values():
        if len(group) > 1:
            across = len({image.part for image in group}) > 1
            kind = "leak" if across else "contradiction" if len({image.label for image in group}) > 1 else "repeat"
            kinds[kind].append(Double(kind, tuple(image.name for image in group)))
    for found in kinds.values():
        yield from found


def _problems(counts: dict[str, dict[str, int]], bad: list[Remark]) -> list[str]:
    """Why training would fail, apart from the folders' own faults."""
    found = []
    if bad:
        what = "1 image file cannot be read" if len(bad) == 1 else f"{len(bad):,} image files cannot be read"
        found.append(f"{what}. Mend or remove {'it' if len(bad) == 1 else 'them'}, or train with --on-bad skip.")
    present = Counter({name: count for name, count in counts["train"].items() if count})
    if len(present) == 1:
        found.append(
            f"all {present.total():,} training images are of the class {one_line(next(iter(present)))}: there is nothing to tell apart."
        )
    unseen = sorted({name for part in counts for name, count in counts[part].items() if count} & {*counts["train"]} - {*present})
    if unseen:
        found.append(f"class {one_line(unseen[0])} has images to validate or test with, but none to train with.")
    return found
