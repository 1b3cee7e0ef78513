"""The idx reader, against bytes written by hand."""

from __future__ import annotations

import errno
import gzip
import os
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from minivgg.data import read_idx
from minivgg.errors import DataError

SMALL = b"\0\0\x08\x02" + b"\0\0\0\x02\0\0\0\x03" + bytes([1, 2, 3, 4, 5, 255])  # uint8 (2, 3)


@pytest.mark.parametrize(
    ("code", "values", "dtype", "expected"),
    [
        (0x08, b"\x00\xff", np.uint8, [0, 255]),
        (0x09, b"\x7f\xff", np.int8, [127, -1]),
        (0x0B, b"\x01\x02\xff\xfe", np.int16, [258, -2]),
        (0x0C, b"\x00\x01\x00\x00\xff\xff\xff\xff", np.int32, [65536, -1]),
        (0x0D, struct.pack(">ff", 1.5, -0.25), np.float32, [1.5, -0.25]),
        (0x0E, struct.pack(">dd", 1.5, -1e300), np.float64, [1.5, -1e300]),
    ],
)
def test_every_dtype_code_is_read_big_endian(tmp_path, code, values, dtype, expected):
    """All six codes give native arrays with the hand-made values, and the file stays as it was."""
    path = tmp_path / "a"
    content = bytes([0, 0, code, 1]) + b"\0\0\0\x02" + values
    path.write_bytes(content)
    array = read_idx(path)
    assert array.dtype == dtype and array.dtype.isnative
    assert array.tolist() == expected
    assert path.read_bytes() == content


@pytest.mark.parametrize("shape", [(), (4,), (0,), (2, 3), (2, 3, 4), (1, 2, 1, 2, 2)])
def test_any_number_of_dimensions_is_read_in_row_order(tmp_path, shape):
    """Sizes follow the magic number; the last dimension runs fastest."""
    count = int(np.prod(shape))
    path = tmp_path / "a"
    path.write_bytes(bytes([0, 0, 8, len(shape)]) + b"".join(struct.pack(">I", size) for size in shape) + bytes(range(count)))
    array = read_idx(path)
    assert array.shape == shape
    assert array.reshape(-1).tolist() == list(range(count))


@pytest.mark.parametrize("name", ["a.gz", "a", "a-ubyte"])
def test_gzip_is_told_by_content_not_by_name(tmp_path, name):
    """A gzipped file without .gz and a plain one with .gz are both read."""
    for content in (SMALL, gzip.compress(SMALL)):
        (tmp_path / name).write_bytes(content)
        assert read_idx(tmp_path / name).tolist() == [[1, 2, 3], [4, 5, 255]]


ZIPPED = gzip.compress(SMALL)
HUGE = b"\0\0\x08\x03" + b"\0\x10\0\0" * 3  # 2**60 bytes
LARGE = b"\0\0\x08\x01" + b"\xf0\0\0\0"  # 3.75 GiB, below the limit
DAMAGED = {
    "empty": (b"", "empty"),
    "short magic": (b"\0\0\x08", "truncated"),
    "wrong magic": (b"\x89PNG" + bytes(20), "not an idx file"),
    "unknown dtype": (b"\0\0\x0a\x01\0\0\0\x01a", "not an idx file"),
    "short sizes": (SMALL[:9], "truncated"),
    "short values": (SMALL[:-1], "truncated"),
    "trailing byte": (SMALL + b"x", "trailing"),
    "size beyond the file": (LARGE + b"abc", "truncated"),
    "size beyond the limit": (HUGE + b"abc", "not read"),
    "too many dimensions": (b"\0\0\x08\xff" + b"\0\0\0\x01" * 255 + b"a", "dimensions"),
    "gz cut in its values": (ZIPPED[:-12], "damaged gzip"),
    "gz cut in its checksum": (ZIPPED[:-3], "damaged gzip"),
    "gz with a wrong checksum": (ZIPPED[:-8] + bytes(4) + ZIPPED[-4:], "damaged gzip"),
    "gz with a flipped bit": (ZIPPED[:12] + bytes([ZIPPED[12] ^ 64]) + ZIPPED[13:], ""),
    "gz magic only": (b"\x1f\x8b", "damaged gzip"),
    "gz of nothing": (gzip.compress(b""), "truncated"),
    "gz with short values": (gzip.compress(SMALL[:-1]), "truncated"),
    "gz with a trailing byte": (gzip.compress(SMALL + b"x"), "trailing"),
    "gz followed by garbage": (ZIPPED + b"garbage", "damaged gzip"),
    "gz bomb behind a small promise": (gzip.compress(SMALL + bytes(10**7)), "trailing"),
    "gz promising more than it can hold": (gzip.compress(LARGE), "truncated"),
    "gz promising more than the limit": (gzip.compress(HUGE), "not read"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_file_is_a_data_error_with_its_path_in_little_memory(tmp_path, case):
    """Every kind of damage is told with the path, exit code 3, and less than 4 MB allocated."""
    content, reason = DAMAGED[case]
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(DataError) as caught:
            read_idx(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value) and reason in str(caught.value)
    assert caught.value.exit_code == 3
    assert peak < 4_000_000
    assert path.read_bytes() == content


def test_every_truncation_of_a_file_is_refused(tmp_path):
    """No prefix of a plain or gzipped file passes for the whole."""
    path = tmp_path / "a"
    for whole in (SMALL, ZIPPED):
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            with pytest.raises(DataError, match="a: "):
                read_idx(path)


@pytest.mark.parametrize("name", ["missing", "folder", "pipe", "nul\0byte", "long" * 100])
def test_what_is_no_file_is_a_data_error(tmp_path, name):
    """A missing file, a folder, a pipe (which would block) and impossible names are refused."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError):
        read_idx(tmp_path / name)


def test_unreadable_file_is_a_data_error(tmp_path, monkeypatch):
    """A file that the system refuses to open (simulated: root may open any) is told with its path and the reason."""

    def refuse(path, mode):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    path = tmp_path / "a"
    path.write_bytes(SMALL)
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match="cannot be read: Permission denied") as caught:
        read_idx(path)
    assert str(path) in str(caught.value)
