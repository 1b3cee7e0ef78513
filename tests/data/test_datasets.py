"""Dataset's checks, load's three sources, and split."""

from __future__ import annotations

import gzip
import hashlib
import struct

import numpy as np
import pytest

from minivgg.data import FASHION_CLASSES, Dataset, datasets, load, split
from minivgg.errors import ConfigError, DataError


def tiny(labels=(0, 1, 2, 0), classes=("a", "b", "c")):
    """A dataset whose image k is filled with k."""
    images = np.repeat(np.arange(len(labels), dtype=np.uint8), 4).reshape(-1, 2, 2, 1)
    return Dataset(images, np.array(labels, np.int64), classes, "tiny")


def idx_bytes(array):
    """The idx file of a uint8 array."""
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_folder(folder, joint="-", pack=lambda content: content, suffix="", parts=("train", "t10k")):
    """MNIST's files with 3 images 2×2 in each part; returns the images."""
    images = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    for part in parts:
        (folder / f"{part}-images{joint}idx3-ubyte{suffix}").write_bytes(pack(idx_bytes(images)))
        (folder / f"{part}-labels{joint}idx1-ubyte{suffix}").write_bytes(pack(idx_bytes(np.array([2, 0, 1], np.uint8))))
    return images


def test_embedded_data_is_balanced_fashion_mnist():
    """5,000 and 1,000 grey images of 28×28, every class equally often, under the ten names."""
    train, test = load(None)
    assert train.images.shape == (5000, 28, 28, 1) and test.images.shape == (1000, 28, 28, 1)
    assert np.bincount(train.labels).tolist() == [500] * 10 and np.bincount(test.labels).tolist() == [100] * 10
    assert train.classes == test.classes == FASHION_CLASSES and len(FASHION_CLASSES) == 10
    assert train.labels[:5].tolist() == np.load(datasets._EMBEDDED)["y_train"][:5].tolist()
    assert np.array_equal(train.images[..., 0], np.load(datasets._EMBEDDED)["x_train"])


def test_embedded_data_is_the_published_file_and_is_licensed():
    """The archive in the package has the known digest after it was read; its licence stands beside it."""
    load()
    assert hashlib.sha256(datasets._EMBEDDED.read_bytes()).hexdigest() == DIGEST
    licence = (datasets._EMBEDDED.parent / "LICENSE-fashion-mnist").read_text()
    assert "Copyright (c) 2017 Zalando SE" in licence and "MIT License" in licence


DIGEST = "84fc8a402f4473779e892d3a781e6b97c4ee963491dc95dfb0608994b4f1d580"


@pytest.mark.parametrize(
    ("joint", "pack", "suffix"), [("-", bytes, ""), (".", bytes, ""), ("-", gzip.compress, ".gz"), (".", gzip.compress, ".gz")]
)
def test_mnist_folder_is_read_under_all_its_names(tmp_path, joint, pack, suffix):
    """Dash or dot, gzipped or not: images, labels and numbered classes come out."""
    images = write_folder(tmp_path, joint, pack, suffix)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    train, test = load(tmp_path)
    assert np.array_equal(train.images, images[..., None]) and np.array_equal(test.images, images[..., None])
    assert train.labels.tolist() == [2, 0, 1] and train.labels.dtype == np.int64
    assert train.classes == ("0", "1", "2")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_folder_without_test_files_has_no_test_set(tmp_path):
    """Training files alone are enough."""
    write_folder(tmp_path, parts=("train",))
    train, test = load(str(tmp_path))
    assert len(train) == 3 and test is None


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        ("train-labels-idx1-ubyte", "unlabeled"),
        ("train-images-idx3-ubyte", "labels without images"),
        ("t10k-labels-idx1-ubyte", "unlabeled"),
        ("t10k-images-idx3-ubyte", "labels without images"),
    ],
)
def test_half_a_pair_is_refused(tmp_path, missing, reason):
    """Images without labels and labels without images are told with the file that is there and the names looked for."""
    write_folder(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(DataError, match=reason) as caught:
        load(tmp_path)
    assert str(tmp_path) in str(caught.value) and missing in str(caught.value)


@pytest.mark.parametrize("entries", [[], ["cat.png", "dog.png"], ["t10k-images-idx3-ubyte.txt"]])
def test_folder_without_known_files_says_what_was_looked_for(tmp_path, entries):
    """An empty folder or one of pictures without classes is refused; the message names the files wanted and the folders' layouts."""
    for name in entries:
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DataError, match="root/train/<class>/… or root/<class>/…") as caught:
        load(tmp_path)
    assert str(tmp_path) in str(caught.value) and "train-images-idx3-ubyte" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "array", "reason"),
    [
        ("train-labels-idx1-ubyte", np.zeros(2, np.uint8), "3 images and 2 labels"),
        ("train-labels-idx1-ubyte", np.zeros((3, 1), np.uint8), "one integer for each image"),
        ("train-images-idx3-ubyte", np.zeros((3, 4), np.uint8), "expected uint8"),
        ("train-images-idx3-ubyte", np.zeros((3, 2, 0), np.uint8), "empty"),
        ("t10k-images-idx3-ubyte", np.zeros((3, 5, 2), np.uint8), "differ in size"),
    ],
)
def test_idx_files_that_do_not_fit_together_are_refused(tmp_path, name, array, reason):
    """Wrong lengths, dimensions and sizes are told with the path."""
    write_folder(tmp_path)
    (tmp_path / name).write_bytes(idx_bytes(array))
    with pytest.raises(DataError, match=reason) as caught:
        load(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_missing_source_is_a_data_error(tmp_path):
    """A path to nothing is told."""
    with pytest.raises(DataError, match="no such file or folder"):
        load(tmp_path / "nowhere")


IMAGES = np.zeros((2, 3, 3, 1), np.uint8)
LABELS = np.array([0, 1])


@pytest.mark.parametrize(
    ("images", "labels", "classes", "reason"),
    [
        (IMAGES[:0], LABELS[:0], ("a", "b"), "empty"),
        (IMAGES[:, :0], LABELS, ("a", "b"), "empty"),
        (IMAGES[:1], LABELS, ("a", "b"), "1 images and 2 labels"),
        (IMAGES[..., 0], LABELS, ("a", "b"), r"\(2, 3, 3\)"),
        (IMAGES.repeat(2, 3), LABELS, ("a", "b"), "C = 1 or 3"),
        (IMAGES.astype(np.float32), LABELS, ("a", "b"), "float32"),
        (IMAGES.tolist(), LABELS, ("a", "b"), "list"),
        (IMAGES, LABELS.astype(np.uint8), ("a", "b"), "int64"),
        (IMAGES, LABELS[:, None], ("a", "b"), r"\(2, 1\)"),
        (IMAGES, np.array([0, 2]), ("a", "b"), "label 2 at index 1"),
        (IMAGES, np.array([-1, 0]), ("a", "b"), "label -1 at index 0"),
        (IMAGES, LABELS, (), "classes"),
        (IMAGES, LABELS, (0, 1), "classes"),
    ],
)
def test_dataset_refuses_what_cannot_be_trained_on(images, labels, classes, reason):
    """Each broken rule is a DataError that tells the actual values."""
    with pytest.raises(DataError, match=reason):
        Dataset(images, labels, classes, "broken")


def test_dataset_is_read_only_but_its_source_is_not():
    """Nobody can write into a dataset; the caller's own array stays writable."""
    images = IMAGES.copy()
    dataset = Dataset(images, LABELS, ["a", "b"], "locked")
    with pytest.raises(ValueError, match="read-only"):
        dataset.images[0] = 1
    assert images.flags.writeable and dataset.classes == ("a", "b") and len(dataset) == 2


def test_split_is_stratified_disjoint_and_complete():
    """10 % of the embedded data is 50 images of each class, and both parts together are all images."""
    train, _ = load()
    fit, validation = split(train, 0.1, seed=3)
    assert np.bincount(validation.labels).tolist() == [50] * 10 and np.bincount(fit.labels).tolist() == [450] * 10
    together = sorted(image.tobytes() for part in (fit, validation) for image in part.images)
    assert together == sorted(image.tobytes() for image in train.images)


def test_split_depends_on_its_seed_alone():
    """The same seed gives the same parts, another seed others; both keep the dataset's order."""
    dataset = tiny([0, 1] * 50, ("a", "b"))
    parts = [split(dataset, 0.3, seed)[1].images[:, 0, 0, 0].tolist() for seed in (0, 0, 1)]
    assert parts[0] == parts[1] != parts[2]
    assert parts[0] == sorted(parts[0])


def test_split_leaves_each_class_an_image_for_training():
    """However large the fraction and small the class, the training part has every class."""
    fit, validation = split(tiny([0, 0, 0, 1, 2, 2]), 0.95, seed=0)
    assert np.bincount(fit.labels).tolist() == [1, 1, 1] and np.bincount(validation.labels).tolist() == [2, 0, 1]


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan"), float("inf"), "half", None, True, 0.01])
def test_impossible_fraction_is_a_config_error(fraction):
    """Fractions out of range, of no number, or leaving nothing for validation are refused, exit code 2."""
    with pytest.raises(ConfigError) as caught:
        split(tiny(), fraction, seed=0)
    assert isinstance(caught.value, ValueError) and caught.value.exit_code == 2
