"""`Dataset`: images and labels in memory, from the embedded set, idx files or an .npz file."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..backend.arrays import Array
from ..errors import DataError
from .idx import read_idx
from .mnist import find_pairs
from .npz import read_npz

__all__ = ["FASHION_CLASSES", "Dataset", "load"]

FASHION_CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_EMBEDDED = Path(__file__).parent / "embedded" / "fashion_mnist_5000_1000.npz"
_MOST_CLASSES = 2**16  # where class names are made up from the labels


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images: `images` uint8 (N, H, W, C) with C = 1 or 3, `labels` int64 (N,), the names of the classes.

    The arrays are kept as read-only views. Raises DataError if a dtype, a number of dimensions or a length is
    wrong, if there are no images, or if a label names no class (its index and value are told).
    """

    images: Array
    labels: Array
    classes: tuple[str, ...]
    name: str

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
            raise DataError(f"images must be a uint8 array (N, H, W, C) with C = 1 or 3, but are {_describe(images)}.")
        if not isinstance(labels, np.ndarray) or labels.dtype != np.int64 or labels.ndim != 1:
            raise DataError(f"labels must be an int64 array (N,), but are {_describe(labels)}.")
        if len(images) != len(labels):
            raise DataError(f"{len(images):,} images and {len(labels):,} labels: each image needs exactly one label.")
        if images.size == 0:
            raise DataError(f"the dataset is empty: its images have the shape {images.shape}.")
        if not self.classes or not all(isinstance(name, str) for name in self.classes) or len({*self.classes}) < len(self.classes):
            raise DataError(f"classes must be one or more names, no two the same, but are {self.classes!r:.80}.")
        wrong = np.flatnonzero((labels < 0) | (labels >= len(self.classes)))
        if wrong.size:
            first = int(wrong[0])
            if labels[first] < 0:
                raise DataError(
                    f"label {int(labels[first])} at index {first}: classes are numbered from 0 ({wrong.size:,} labels are wrong)."
                )
            raise DataError(
                f"label {int(labels[first])} at index {first} names no class: labels of {len(self.classes)} classes are "
                f"0..{len(self.classes) - 1} ({wrong.size:,} of {len(labels):,} labels are out of range)."
            )
        object.__setattr__(self, "classes", tuple(self.classes))
        for field, array in (("images", images.view()), ("labels", labels.view())):
            array.flags.writeable = False
            object.__setattr__(self, field, array)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int | None, int | None, int]:
        """(H, W, C) of every image."""
        height, width, channels = self.images.shape[1:]
        return height, width, channels

    def read(self, indices: Array, least: int | None = None) -> Array:
        """The images at `indices`, uint8 (B, H, W, C); see `Images`."""
        return self.images[indices]

    def fingerprint(self) -> str:
        """SHA-256 of images, labels and class names."""
        sha = hashlib.sha256(repr((self.images.shape, self.classes)).encode())
        for start in range(0, len(self), 1024):
            sha.update(self.images[start : start + 1024].tobytes())
        sha.update(self.labels.astype("<i8").tobytes())
        return sha.hexdigest()

    def take(self, indices: Array, name: str | None = None) -> Dataset:
        """The samples at `indices` (int, any order), copied, as a dataset of the same classes."""
        return Dataset(self.images[indices], self.labels[indices], self.classes, name or self.name)


def load(source: str | Path | None = None) -> tuple[Dataset, Dataset | None]:
    """(training set, test set or None) from `source`, which is only ever read:

    - None: 5,000 + 1,000 images of Fashion-MNIST that come with the package;
    - a folder with MNIST's idx files (train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-…, each also as .gz);
    - an .npz file with x_train, y_train and, if wanted, x_test, y_test, classes; images uint8 (N, H, W) or (N, H, W, 1 | 3).

    Class names are "0", "1", … unless the file gives them. Raises DataError with the path and the reason for
    anything that is missing, unreadable, unlabeled, damaged, or not what its header says.
    """
    path = _EMBEDDED if source is None else Path(source)
    classes: tuple[str, ...] | None = FASHION_CLASSES if source is None else None
    if os.path.isdir(path):  # noqa: PTH112  Path.is_dir raises where a folder above is closed; here that is a plain no
        train_files, test_files = find_pairs(path)
        raw = [(*(read_idx(file) for file in pair), *map(str, pair)) for pair in (train_files, test_files) if pair]
    else:
        arrays = read_npz(path, ("x_train", "y_train", "x_test", "y_test", "classes"))
        raw = [_npz_part(arrays, part, path) for part in ("train", "test") if part == "train" or _has(arrays, part)]
        classes = _class_names(arrays["classes"], path) if "classes" in arrays else classes
    parts = [(_as_images(x, x_place), _as_labels(y, y_place)) for x, y, x_place, y_place in raw]
    classes = classes or _numbered([labels for _, labels in parts], path)
    name = path.stem or path.resolve().name
    datasets = []
    for (images, labels), kind in zip(parts, ("train", "test"), strict=False):
        try:
            datasets.append(Dataset(images, labels, classes, f"{name}/{kind}"))
        except DataError as error:
            raise DataError(f"{path}: {kind}: {error}") from None
    if len(datasets) == 2 and datasets[0].images.shape[1:] != datasets[1].images.shape[1:]:
        shapes = " and ".join(str(dataset.images.shape[1:]) for dataset in datasets)
        raise DataError(f"{path}: training and test images differ in size (H, W, C): {shapes}. Bring them to one size.")
    return datasets[0], datasets[1] if len(datasets) == 2 else None


def _describe(value: object) -> str:
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__


def _has(arrays: dict[str, Array], part: str) -> bool:
    return f"x_{part}" in arrays or f"y_{part}" in arrays


def _npz_part(arrays: dict[str, Array], part: str, path: Path) -> tuple[Array, Array, str, str]:
    """Images and labels of one part, and what to call them in an error."""
    missing = [name for name in (f"x_{part}", f"y_{part}") if name not in arrays]
    if missing:
        state = "unlabeled" if missing == [f"y_{part}"] else "incomplete"
        raise DataError(
            f"{path}: {state}: there is no array {' and no '.join(missing)}. Save it with numpy.savez(…, x_{part}=…, y_{part}=…)."
        )
    return arrays[f"x_{part}"], arrays[f"y_{part}"], f"{path}: x_{part}", f"{path}: y_{part}"


def _as_images(array: Array, place: str) -> Array:
    """`array` as uint8 (N, H, W, C)."""
    if array.dtype.kind == "f":
        raise DataError(
            f"{place}: images are {array.dtype}, expected uint8 in 0..255. For images in 0..1 save numpy.rint(255 * x).astype(numpy.uint8)."
        )
    if array.dtype != np.uint8 or array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] not in (1, 3)):
        raise DataError(f"{place}: images are {_describe(array)}, expected uint8 (N, H, W), (N, H, W, 1) or (N, H, W, 3).")
    return array[..., None] if array.ndim == 3 else array


def _as_labels(array: Array, place: str) -> Array:
    """`array` as int64 (N,)."""
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise DataError(f"{place}: labels are {_describe(array)}, expected one integer for each image, (N,).")
    if array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise DataError(f"{place}: label {int(array.max())} at index {int(array.argmax())} is out of range.")
    return array.astype(np.int64)


def _numbered(labels: list[Array], path: Path) -> tuple[str, ...]:
    """Names "0", "1", … up to the largest label."""
    largest = max((int(part.max()) for part in labels if part.size), default=0)
    if largest >= _MOST_CLASSES:
        raise DataError(f"{path}: label {largest}; without class names, labels of 0..{_MOST_CLASSES - 1} are expected.")
    return tuple(str(label) for label in range(max(largest, 0) + 1))


def _class_names(array: Array, path: Path) -> tuple[str, ...]:
    if array.dtype.kind not in "US" or array.ndim != 1 or array.size == 0:
        raise DataError(f"{path}: classes are {_describe(array)}, expected an array of one name for each class.")
    try:
        return tuple(name.decode() if isinstance(name, bytes) else str(name) for name in array.tolist())
    except ValueError as error:
        raise DataError(f"{path}: classes are not readable text: {error}.") from None
