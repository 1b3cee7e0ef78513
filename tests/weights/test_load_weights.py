"""weights.load: round trips, and every kind of damaged or foreign file refused with path and reason."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save

from minivgg import weights
from minivgg.errors import CheckpointError


def arrays():
    """Several dtypes and shapes: a matrix in Fortran order, a single number, none at all."""
    rng = np.random.default_rng(0)
    return {
        "w": np.asfortranarray(rng.standard_normal((3, 4)).astype("float32")),
        "n": np.array(7, np.int64),
        "none": np.zeros((0, 2), "float64"),
        "half": rng.standard_normal(3).astype("float16"),
        "flags": np.array([True, False]),
    }


def raw(header, data=b""):
    """A safetensors file from a header, given as JSON text or a value."""
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(shape, first, last, dtype="F32"):
    """One array's entry in a header."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [first, last]}


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_arrays_come_back_as_they_went(tmp_path, suffix):
    """Written by the reference libraries, read here: names, dtypes, shapes, bits; and the arrays can be written to."""
    path = tmp_path / f"a{suffix}"
    if suffix == ".npz":
        np.savez(path, **arrays())
    else:
        path.write_bytes(save({name: np.asarray(array, order="C") for name, array in arrays().items()}))
    found = weights.load(path)
    assert sorted(found) == sorted(arrays())
    for name, array in arrays().items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        assert np.array_equal(found[name], array)
        found[name][...] = 0


def test_what_is_written_is_what_the_library_reads(tmp_path):
    """Our bytes, through the safetensors library: the same arrays; twenty writings give one file."""
    from safetensors.numpy import load

    written = {weights.safetensors_bytes(arrays(), {"key": "täxt"}) for _ in range(20)}
    assert len(written) == 1
    found = load(next(iter(written)))
    assert all(np.array_equal(found[name], array) for name, array in arrays().items())


def test_bfloat16_becomes_float32(tmp_path):
    """bf16 is the upper half of a float32: 0x3FC0 is 1.5, 0xC000 is −2."""
    (tmp_path / "b.safetensors").write_bytes(raw({"w": entry([2], 0, 4, "BF16")}, b"\xc0\x3f\x00\xc0"))
    found = weights.load(tmp_path / "b.safetensors")["w"]
    assert found.dtype == np.float32 and found.tolist() == [1.5, -2.0]


def test_bfloat16_is_widened_in_place(tmp_path):
    """600,000 values, of more than one block: each is that of its half; the memory is that of the float32 array and a block's."""
    halves = np.random.default_rng(0).integers(0, 0x7F80, 600_000, dtype="<u2")
    path = tmp_path / "b.safetensors"
    path.write_bytes(raw({"w": entry([600, 1000], 0, 1_200_000, "BF16")}, halves.tobytes()))
    tracemalloc.start()
    found = weights.load(path)["w"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(found.reshape(-1).view("<u4"), halves.astype("<u4") << 16)
    assert peak < 2_400_000 + 3_000_000


def test_npz_is_unpacked_piece_by_piece(tmp_path):
    """An array of 8 MB takes little more than itself; 40 MB of zeros that are packed into 40 kB are refused, with the way around."""
    path = tmp_path / "a.npz"
    np.savez(path, a=np.asfortranarray(np.arange(1_000_000.0).reshape(200, 5000)))
    tracemalloc.start()
    found = weights.load(path)["a"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found[3, 7] == 15007 and found.flags.f_contiguous and peak < 12_000_000
    np.savez_compressed(path, a=np.zeros(5_000_000))
    with pytest.raises(CheckpointError, match=r"40,000,128 bytes, more than twice the file's .* numpy\.savez"):
        weights.load(path)


def test_npz_of_tables_is_refused(tmp_path):
    """A structured dtype is no array of numbers."""
    np.savez(tmp_path / "a.npz", a=np.zeros(2, [("x", "f4")]))
    with pytest.raises(CheckpointError, match="not a NumPy array of numbers"):
        weights.load(tmp_path / "a.npz")


def test_optimiser_state_is_no_weight(tmp_path):
    """Names that begin with "optimizer." are left out, so that a checkpoint loads into a model."""
    (tmp_path / "c.safetensors").write_bytes(save({"w": np.ones(1), "optimizer.momentum.w": np.ones(1)}))
    assert list(weights.load(tmp_path / "c.safetensors")) == ["w"]


def test_unknown_suffix_lists_the_supported_ones(tmp_path):
    """A .bin file: the message names the valid suffixes."""
    with pytest.raises(CheckpointError, match=r"\.npz, .*\.safetensors"):
        weights.load(tmp_path / "a.bin")


def test_missing_file_is_named(tmp_path):
    """The path is in the message."""
    with pytest.raises(CheckpointError, match=r"gone\.npz.*No such file"):
        weights.load(tmp_path / "gone.npz")


FOUR = b"\0" * 4
DAMAGED = {
    "empty": (b"", "too few"),
    "no header": (b"\xff" * 40, "not a safetensors file"),
    "no JSON": (raw("{,}"), "not valid JSON"),
    "bytes that are no text": (struct.pack("<Q", 2) + b"\xff\xfe", "not valid JSON"),
    "deep nesting": (raw("[" * 100_000), "not valid JSON"),
    "a list": (raw([]), "not a table"),
    "duplicate names": (
        raw('{"a": {"dtype":"U8","shape":[1],"data_offsets":[0,1]}, "a": {"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', b"x"),
        "occurs twice",
    ),
    "duplicate metadata": (raw('{"__metadata__": {"k": "1", "k": "2"}}'), "occurs twice"),
    "metadata of numbers": (raw({"__metadata__": {"k": 1}}), "table of strings"),
    "cut off": (raw({"a": entry([2], 0, 8)}, FOUR), "bytes"),
    "left over": (raw({"a": entry([1], 0, 4)}, FOUR + b"x"), "were expected"),
    "a gap": (raw({"a": entry([1], 0, 4), "b": entry([1], 8, 12)}, FOUR * 3), "begins at byte 8"),
    "overlap": (raw({"a": entry([2], 0, 8), "b": entry([1], 4, 8)}, FOUR * 2), "begins at byte 4"),
    "shape of another size": (raw({"a": entry([2], 0, 4)}, FOUR), "needs 8 bytes"),
    "negative size": (raw({"a": entry([-1, -1], 0, 4)}, FOUR), "not a list of sizes"),
    "huge shape": (raw({"a": entry([2**40], 0, 4)}, FOUR), "bytes"),
    "odd dtype": (raw({"a": entry([1], 0, 4, "F4")}, FOUR), "supported are"),
    "no offsets": (raw({"a": {"dtype": "F32", "shape": [1]}}, FOUR), "data_offsets"),
    "offsets backwards": (raw({"a": entry([1], 4, 0)}, FOUR), "data_offsets"),
    "entry is a number": (raw({"a": 3}), "data_offsets"),
    "a name with a line's end": (raw({"a\nb": entry([1], 0, 4)}, FOUR), "not printable"),
    "half a character": (raw(r'{"\ud800": {"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', b"x"), "not printable"),
    "an empty array beyond all bounds": (raw({"a": entry([0, 2**62, 2**62, 2**62], 0, 0)}), "impossible shape"),
    "offsets of a thousand digits": (raw({"a": entry([1], 0, 10**1000)}, FOUR), "data_offsets"),
    "a heap of values": (raw("[" + "[]," * 200_000 + "0]"), "too much for a file"),
    "a renamed checkpoint": (raw({"__metadata__": {"minevgg": '{"digest":"0"}'}}), "not a checkpoint of minivgg"),
    "a checkpoint with NaN": (raw({"__metadata__": {"minivgg": '{"format":1,"state":{"a":NaN}}'}}), "SHA-256"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_safetensors_are_refused(tmp_path, name):
    """Each kind of damage: CheckpointError with the path and the reason."""
    content, reason = DAMAGED[name]
    path = tmp_path / "d.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=reason) as caught:
        weights.load(path)
    assert str(path) in str(caught.value)


def npz(members):
    """A zip with these (name, bytes)."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    return stream.getvalue()


def npy(array, claim=None):
    """A .npy file; `claim` replaces its shape in the header."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": array.dtype.str, "fortran_order": False, "shape": claim or array.shape})
    return stream.getvalue() + array.tobytes()


def test_damaged_npz_are_refused(tmp_path):
    """No zip, pickled objects, a claimed size, text for a header, a cut-off file: each is refused with the path."""
    objects = io.BytesIO()
    np.save(objects, np.array([{}], object), allow_pickle=True)
    whole = npz([("a.npy", npy(np.arange(1000.0)))])
    flipped = bytearray(whole)
    flipped[400] ^= 1
    for content, reason in [
        (b"hello", "not a whole .npz"),
        (npz([("a.npy", objects.getvalue())]), "Python objects"),
        (npz([("a.npy", npy(np.ones(2), (2**50,)))]), "needs"),
        (npz([("a.npy", b"text")]), "not a NumPy array"),
        (whole[:-200], "not a whole .npz"),
        (bytes(flipped), "not a whole .npz"),
    ]:
        path = tmp_path / "d.npz"
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=reason) as caught:
            weights.load(path)
        assert str(path) in str(caught.value)


def test_a_name_twice_in_npz_is_refused(tmp_path):
    """Which of the two would win is nobody's business to guess."""
    with pytest.warns(UserWarning, match="Duplicate name"):
        content = npz([("a.npy", npy(np.ones(1))), ("a.npy", npy(np.zeros(1)))])
    (tmp_path / "d.npz").write_bytes(content)
    with pytest.raises(CheckpointError, match="occurs twice"):
        weights.load(tmp_path / "d.npz")


def test_a_directory_behind_a_false_end_is_counted(tmp_path):
    """The end of a zip within the fields of its end: 60,000 members that the inner one does not tell of are refused before they are
    listed, which would take nine times the file's memory."""
    count, member = 60_000, b"PK\1\2" + struct.pack("<6H3L5H2L", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    ends = b"PK\5\6" + b"PK\5\6" + struct.pack("<HHLLH", count, count, count * len(member), 0, 0)
    (tmp_path / "d.npz").write_bytes(count * member + ends)
    with pytest.raises(CheckpointError, match=r"d\.npz: lists \d\d,\d{3} arrays in"):
        weights.load(tmp_path / "d.npz")
