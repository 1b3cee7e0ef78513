"""How many photographs a second the loader makes ready, from JPEG files to batches, and that the number of workers changes no bit.

    scripts/bench loader
    scripts/bench loader --photos 512 --workers 0,1,2,4 --data FOLDER

Photographs of 500×375, quality 90, are made in a temporary folder: textures at five scales, so that they take about 60 kB each as
camera photographs do. What is done to them is the paper's: shortest side drawn from 256 to 512, a random crop of 224×224,
mirrored, mean and deviation taken off, colours shifted. Seconds of processor time are those of this process and its workers
together, so they hardly depend on what else the machine does, and 1000 / (ms a photograph) photographs a second is what one
processor can do.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from measuring.command import Parser, at_least, run
from minivgg import data
from minivgg.errors import ConfigError

HEIGHT, WIDTH, QUALITY = 375, 500, 90
DETAIL = ((4, 60), (16, 50), (64, 30), (256, 20), (500, 8))  # (columns of random colours, their amplitude in grey levels)


def main(arguments: Sequence[str]) -> None:
    """Parse, make photographs, measure, print."""
    parser = Parser(__doc__ or "")
    parser.add_argument("--photos", type=int, default=256, help="how many are made [default: %(default)s]")
    parser.add_argument("--workers", default="0,1,2", help="numbers of worker processes, separated by commas [default: %(default)s]")
    parser.add_argument("--batch-size", type=int, default=32, help="[default: %(default)s]")
    parser.add_argument("--data", default="", help="a folder of photographs of one's own, in folders of their class")
    flags = parser.parse_args(arguments)
    at_least(2, photos=flags.photos)
    at_least(1, batch_size=flags.batch_size)
    if not all(part.strip().isdigit() for part in flags.workers.split(",")):
        raise ConfigError(f'--workers must be whole numbers separated by commas, such as 0,1,2, but is "{flags.workers}".')
    with tempfile.TemporaryDirectory() as folder:
        photos = data.parts(flags.data or make_photos(Path(folder), flags.photos)).train
        transform = paper(data.colours(photos.take(np.arange(min(len(photos), 64)))))
        print(about(photos))
        for line in stages(photos, transform):
            print(line, flush=True)
        digests = set()
        for workers in map(int, flags.workers.split(",")):
            line, digest = epoch(photos, transform, workers, flags.batch_size)
            digests.add(digest)
            print(line, flush=True)
    print(f"all batches have the same bits: {'yes' if len(digests) == 1 else 'NO'}")


def make_photos(root: Path, count: int) -> Path:
    """`count` JPEG files in two classes."""
    rng = np.random.default_rng(0)
    for number in range(count):
        photo = np.full((HEIGHT, WIDTH, 3), 128, np.float32)
        for columns, amplitude in DETAIL:
            colours = rng.integers(0, 256, (max(2, HEIGHT * columns // WIDTH), columns, 3), dtype=np.uint8)
            smooth = Image.fromarray(colours).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
            photo += amplitude * (np.asarray(smooth, np.float32) / 128 - 1)
        folder = root / f"class{number % 2}"
        folder.mkdir(exist_ok=True)
        Image.fromarray(photo.clip(0, 255).astype(np.uint8)).save(folder / f"{number:05}.jpg", quality=QUALITY)
    return root


def paper(colours: Any) -> data.Compose:
    """The paper's transforms (Simonyan & Zisserman §3.1), with these statistics."""
    unit = (1 / 255,) * 3
    shift = data.ColourShift(colours.vectors, colours.values, 0.1, unit)
    return data.Compose((data.Rescale(256, 512), data.Crop(224), data.Mirror(), data.Normalise(colours.mean, unit), shift))


def about(photos: Any) -> str:
    """How many photographs there are, and what they take."""
    sizes = [(photos.root / path).stat().st_size for path in photos.paths]
    return f"{len(photos):,} photographs of {sum(sizes) / len(sizes) / 1e3:.0f} kB; {os.cpu_count()} processors"


def stages(photos: Any, transform: data.Compose, count: int = 64) -> list[str]:
    """Processor time of each step, in this process, for a batch of `count` photographs at most; the second of two rounds."""
    indices = np.arange(min(count, len(photos)))
    scale, crop, *rest = transform.steps
    steps = [("decode", lambda _: photos.read(indices, transform.least))]
    for name, step in [("rescale and crop", data.Compose((scale, crop))), *((step.kind.replace("_", " "), step) for step in rest)]:
        steps.append((name, lambda images, step=step: step(images, data.Draws(0, 0, indices))))
    for _ in range(2):
        images, lines = None, []
        for name, step in steps:
            begun = time.process_time()
            images = step(images)
            lines.append(f"  {name:<18} {(time.process_time() - begun) / len(indices) * 1e3:6.2f} ms a photograph")
    return lines


def epoch(photos: Any, transform: data.Transform, workers: int, batch_size: int) -> tuple[str, str]:
    """A line about an epoch with so many processes, their start left out; and the digest of its batches."""
    sha = hashlib.sha256()
    for batch in data.Loader(photos, batch_size, transform, workers=workers).epoch(0):
        sha.update(batch.images.transpose(0, 2, 3, 1).data)
    (once, _), (twice, seconds) = (spent(photos, transform, workers, batch_size, epochs) for epochs in (1, 2))
    each = (twice - once) / len(photos) * 1e3
    line = (
        f"{workers} worker{'s' * (workers != 1)}: {len(photos) / seconds:.1f} photographs/s on the clock; {each:.2f} ms of processor "
        f"time a photograph, {1e3 / each:.1f} photographs/s of one processor, {2e3 / each:.1f} of two"
    )
    return line, sha.hexdigest()


def spent(photos: Any, transform: data.Transform, workers: int, batch_size: int, epochs: int) -> tuple[float, float]:
    """(seconds of processor time of a loader's life of so many epochs, its processes' included; seconds on the clock of the last)."""
    before = os.times()
    loader = data.Loader(photos, batch_size, transform, workers=workers)
    for number in range(epochs):
        begun = time.perf_counter()
        for batch in loader.epoch(number):
            del batch
        seconds = time.perf_counter() - begun
    del loader  # its processes have ended now, so that their time is known
    return sum(os.times()[:4]) - sum(before[:4]), seconds


if __name__ == "__main__":
    sys.exit(run(main))
