"""Datasets from .npz files: what is accepted, and a table of what is refused."""

from __future__ import annotations

import io
import pickle
import struct
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest

from minivgg.data import load
from minivgg.errors import DataError

X = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
Y = np.array([0, 1, 2, 1])


def archive(compressed=False, **arrays):
    """The bytes of an .npz with these arrays."""
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
    return buffer.getvalue()


def members(method=zipfile.ZIP_STORED, **contents):
    """The bytes of a zip whose members have these raw contents; x_train and y_train are good ones unless given."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as out:
        for name, content in {"x_train": npy(X), "y_train": npy(Y), **contents}.items():
            out.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def npy(array):
    """The bytes of an .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def header(text, values=b""):
    """An .npy of format 1 with this header text."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + values


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("images", [X, X[..., None], np.stack([X] * 3, -1), np.asfortranarray(X), X[::-1]])
def test_arrays_come_out_as_they_went_in(tmp_path, compressed, images):
    """Grey with and without a channel axis, RGB, Fortran order and reversed rows, compressed or not."""
    path = tmp_path / "mine.npz"
    path.write_bytes(archive(compressed, x_train=images, y_train=Y))
    train, test = load(path)
    assert np.array_equal(train.images, images[..., None] if images.ndim == 3 else images)
    assert train.labels.tolist() == Y.tolist() and train.classes == ("0", "1", "2") and train.name == "mine/train"
    assert test is None


@pytest.mark.parametrize("dtype", ["u1", "i1", "<i4", ">i8", "<u8"])
def test_labels_of_any_integer_type_become_int64(tmp_path, dtype):
    """Byte order and width of the labels do not matter."""
    path = tmp_path / "a.npz"
    path.write_bytes(archive(x_train=X, y_train=Y.astype(dtype)))
    labels = load(path)[0].labels
    assert labels.dtype == np.int64 and labels.dtype.isnative and labels.tolist() == Y.tolist()


@pytest.mark.parametrize("names", [np.array(["ä", "b", "c"]), np.array([b"a", b"b", b"c"])])
def test_test_arrays_and_class_names_are_read(tmp_path, names):
    """x_test, y_test and classes are used if they are there; other arrays, even of objects, are not touched."""
    path = tmp_path / "a.npz"
    path.write_bytes(archive(x_train=X, y_train=Y, x_test=X[:1], y_test=Y[:1], classes=names, note=np.array([{}], object)))
    train, test = load(path)
    assert train.classes == test.classes == tuple(n if isinstance(n, str) else n.decode() for n in names.tolist())
    assert len(test) == 1


class Bomb:
    """Unpickling this would end the test run."""

    def __reduce__(self):
        return exec, ("import os; os._exit(99)",)


GOOD = archive(x_train=X, y_train=Y)
SHAPE = "{'descr': '|u1', 'fortran_order': False, 'shape': (%s), }"
REFUSED = {
    "empty": (b"", "empty"),
    "no archive": (b"\x89PNG" + bytes(100), "not an .npz"),
    "one array alone": (npy(X), "not an .npz"),
    "cut in the middle": (GOOD[: len(GOOD) // 2], "damaged archive"),
    "cut at the end": (GOOD[:-1], "damaged archive"),
    "flipped pixel": (GOOD.replace(X.tobytes(), X.tobytes()[:-1] + b"\xff", 1), "damaged archive"),
    "no images": (archive(y_train=Y), "no array x_train"),
    "nothing known": (archive(a=X), "no array x_train and no y_train"),
    "unlabeled": (archive(x_train=X), "unlabeled"),
    "unlabeled test": (archive(x_train=X, y_train=Y, x_test=X), "unlabeled"),
    "labels of no test images": (archive(x_train=X, y_train=Y, y_test=Y), "x_test"),
    "float images": (archive(x_train=X / np.float32(255), y_train=Y), "astype"),
    "wide images": (archive(x_train=X.astype(np.int32), y_train=Y), "expected uint8"),
    "two channels": (archive(x_train=np.stack([X, X], -1), y_train=Y), "expected uint8"),
    "flat images": (archive(x_train=X.reshape(4, 6), y_train=Y), "expected uint8"),
    "no rows": (archive(x_train=X[:0], y_train=Y[:0]), "empty"),
    "float labels": (archive(x_train=X, y_train=Y / 1), "one integer"),
    "one-hot labels": (archive(x_train=X, y_train=np.eye(3, dtype=int)[Y]), "one integer"),
    "scalar label": (archive(x_train=X, y_train=np.array(1)), "one integer"),
    "fewer labels": (archive(x_train=X, y_train=Y[:3]), "4 images and 3 labels"),
    "negative label": (archive(x_train=X, y_train=Y - 1), "label -1 at index 0"),
    "label beyond the classes": (archive(x_train=X, y_train=Y, classes=np.array(["a", "b"])), "label 2 at index 2"),
    "label beyond reason": (archive(x_train=X, y_train=Y * 10**12), "65535"),
    "label beyond int64": (archive(x_train=X, y_train=Y.astype("u8") + 2**63), "out of range"),
    "sizes differ": (archive(x_train=X, y_train=Y, x_test=X[:, :1], y_test=Y), "differ in size"),
    "classes of numbers": (archive(x_train=X, y_train=Y, classes=np.arange(3)), "one name"),
    "classes of no text": (archive(x_train=X, y_train=Y, classes=np.array([b"\xff", b"b", b"c"])), "not readable text"),
    "pickled images": (archive(x_train=np.array([Bomb()], object), y_train=Y), "never pickled"),
    "raw pickle": (members(x_train=pickle.dumps(Bomb())), "not an .npy array"),
    "structured images": (archive(x_train=np.zeros(4, [("a", "u1")]), y_train=Y), "structured"),
    "code in the header": (members(x_train=header("__import__('os')._exit(99)")), "no header"),
    "python 2 header": (members(x_train=header(SHAPE % "4L, 2L, 3L", X.tobytes())), "no header"),
    "dtype unknown": (members(x_train=header(SHAPE.replace("u1", "u3") % "4, 2, 3", X.tobytes())), "damaged"),
    "header cut": (members(x_train=npy(X)[:20]), "no header"),
    "values cut": (members(x_train=npy(X)[:-1]), "24 bytes of values"),
    "values too many": (members(x_train=npy(X) + b"x"), "24 bytes of values"),
    "size beyond the member": (members(x_train=header(SHAPE % "1000, 1000, 1000", X.tobytes())), "1,000,000,000 bytes"),
    "size beyond the limit": (members(x_train=header(SHAPE % "99999999, 99999999, 9", X.tobytes())), "not read"),
    "size with a number of thousands of digits": (members(x_train=header(SHAPE % ("9" * 9000))), "damaged"),
    "compressed otherwise": (members(zipfile.ZIP_LZMA), "compressed in a way"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_archive_is_a_data_error_with_its_path_in_little_memory(tmp_path, case):
    """Nothing is unpickled or evaluated, little is allocated, and path and reason are told, exit code 3."""
    content, reason = REFUSED[case]
    path = tmp_path / "mine.npz"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(DataError) as caught:
            load(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value) and reason in str(caught.value)
    assert caught.value.exit_code == 3
    assert peak < 4_000_000
    assert path.read_bytes() == content


def test_archive_that_claims_impossible_compression_is_refused_before_allocation(tmp_path):
    """A directory entry of 3 GB over a few compressed bytes is more than deflate can do."""
    content = bytearray(members(zipfile.ZIP_DEFLATED, x_train=header(SHAPE % "3000000000, 1, 1", bytes(50))))
    entry = content.index(b"PK\x01\x02")  # the first member's central directory entry; its size is at +24
    content[entry + 24 : entry + 28] = struct.pack("<I", 3_000_000_000)
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match="can hold no more"):
        load(path)


def test_two_arrays_of_one_name_are_refused(tmp_path):
    """Which of them was meant cannot be known."""
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as out, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(2):
            out.writestr("x_train.npy", npy(X))
    with pytest.raises(DataError, match="two arrays of one name"):
        load(path)


def test_every_truncation_and_flipped_byte_loads_alike_or_is_a_data_error(tmp_path):
    """No damage of one byte changes pixels or labels silently, and none escapes as another library's exception."""
    path = tmp_path / "a.npz"
    whole = archive(True, x_train=X, y_train=Y)
    for length in range(0, len(whole), 3):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError):
            load(path)
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            train, test = load(path)
        except DataError as error:
            assert str(path) in str(error)
        else:  # a field that says nothing about the arrays, such as a date
            assert np.array_equal(train.images[..., 0], X) and train.labels.tolist() == Y.tolist() and test is None
