"""bfloat16 and .npz, written."""

from __future__ import annotations

import io
import struct

import numpy as np

from minivgg import weights
from minivgg.weights.bfloat16 import rounded, upper


def nearest(value: float) -> float:
    """The bfloat16 nearest to a positive float32, the even one of two, found by trying both neighbours."""
    below = struct.unpack("<f", struct.pack("<I", struct.unpack("<I", struct.pack("<f", value))[0] & 0xFFFF0000))[0]
    bits = struct.unpack("<I", struct.pack("<f", below))[0]
    above = struct.unpack("<f", struct.pack("<I", bits + 0x10000))[0]
    if value - below == above - value:
        return above if bits >> 16 & 1 else below
    return below if value - below < above - value else above


def test_bfloat16_rounds_to_nearest_even() -> None:
    """Random numbers, exact halves and the ends of binades, against a search; signs, zeros, infinity and NaN stay what they are."""
    rng = np.random.default_rng(0)
    values = np.abs(rng.standard_normal(500) * 10.0 ** rng.integers(-30, 30, 500)).astype(np.float32)
    halves = (np.float32(1) + np.arange(20, dtype=np.float32) / 256).astype(np.float32)
    values = np.concatenate([values, halves, np.nextafter(halves, np.float32(2)), np.float32([1.9999999, 1e-40, 0])])
    expected = np.float32([nearest(float(value)) for value in values])
    assert np.array_equal(rounded(values), expected) and np.array_equal(rounded(-values), -expected)
    assert np.array_equal(upper(expected).astype("<u4") << 16, expected.view("<u4"))
    odd = np.array([0x7F800001, 0xFFFFFFFF, 0x7F800000, 0xFF800000, 0x7F7FFFFF], "<u4").view("<f4")
    assert rounded(odd).astype(str).tolist() == ["nan", "nan", "inf", "-inf", "inf"] and rounded(np.float32(1.5)).shape == ()


def test_bfloat16_is_written_as_such(tmp_path) -> None:
    """The file says BF16, has half the size, is what the safetensors library accepts, and reads as the rounded numbers."""
    from safetensors import deserialize

    arrays = {
        "w": rounded(np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32)),
        "n": np.array(7),
        "x": np.ones(3, np.float16),
    }
    data = weights.safetensors_bytes(arrays, {"key": "täxt"}, {"w"})
    (tmp_path / "a.safetensors").write_bytes(data)
    found, metadata = weights.read(tmp_path / "a.safetensors")
    assert metadata == {"key": "täxt"} and all(np.array_equal(found[name], array) for name, array in arrays.items())
    entries = {name: (entry["dtype"], list(entry["shape"])) for name, entry in deserialize(data)}
    assert entries == {"w": ("BF16", [3, 5]), "n": ("I64", []), "x": ("F16", [3])}


def test_npz_is_what_numpy_reads() -> None:
    """Our bytes through numpy.load: the same arrays, Fortran order and no dimensions included; twice the same bytes."""
    arrays = {"b/w": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "n": np.array(7), "none": np.zeros((0, 2), np.float32)}
    data = weights.npz_bytes(arrays)
    assert data == weights.npz_bytes(dict(reversed(arrays.items())))
    found = np.load(io.BytesIO(data), allow_pickle=False)
    assert sorted(found.files) == sorted(arrays)
    assert all(np.array_equal(found[name], array) and found[name].dtype == array.dtype for name, array in arrays.items())
