"""half and bfloat16 on the CPU are what the card's instructions make of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minivgg.fast.cuda import program
from minivgg.testing import pretend

from .pretend_cupy.raw_module import RawModule, why_not

pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")

KERNELS = """
extern "C" __global__ void widen(const Stored* x, float* y, int n) { for (int i = 0; i < n; i++) y[i] = wide(x[i]); }
extern "C" __global__ void narrowed(const float* x, Stored* y, int n) { for (int i = 0; i < n; i++) y[i] = stored(x[i]); }
"""
BITS = np.arange(1 << 16, dtype="uint16")
sizes = BITS & 0x7FFF  # without the sign


class Format:
    """A float of two bytes: how its bits divide, and what each of its 65,536 patterns stands for, exactly."""

    def __init__(self, name: str, fraction_bits: int) -> None:
        self.module = RawModule(code=program._text("numbers.cuh") + KERNELS, options=("-std=c++17", f"-DSTORED={name}"))
        self.infinity = 0x7FFF >> fraction_bits << fraction_bits
        bias = (1 << (14 - fraction_bits)) - 1
        exponent, fraction = sizes >> fraction_bits, (sizes & ((1 << fraction_bits) - 1)) / (1 << fraction_bits)
        size = (fraction + (exponent > 0)) * 2.0 ** (np.maximum(exponent, 1).astype("f8") - bias)
        self.exact = np.where(BITS >> 15, -size, size)  # float64; 2^(bias + 1) where there is infinity

    def convert(self, name: str, x: Any, dtype: str) -> Any:
        """Run a kernel."""
        y = np.zeros(x.size, dtype)
        self.module.get_function(name)((1, 1, 1), (1, 1, 1), (pretend.Array(x), pretend.Array(y), np.int32(x.size)))
        return y


@pytest.fixture(params=[("half_t", 10), ("bfloat_t", 7)], ids=["half", "bfloat16"], scope="module")
def format(request: Any) -> Format:
    """half, then bfloat16."""
    return Format(*request.param)


def test_all_values_widen_exactly(format: Format) -> None:
    """Each of the 65,536 patterns: sign, subnormals, infinities, NaN; for half, as NumPy's float16 does."""
    wide, finite = format.convert("widen", BITS, "f4"), sizes < format.infinity
    assert np.array_equal(wide[finite], format.exact[finite])
    assert np.array_equal(np.signbit(wide[finite]), BITS[finite] >> 15 == 1)
    assert wide[sizes == format.infinity].tolist() == [np.inf, -np.inf]
    assert np.isnan(wide[sizes > format.infinity]).all()
    if format.infinity == 0x7C00:
        assert np.array_equal(wide, BITS.view("f2").astype("f4"), equal_nan=True)


def test_narrowing_rounds_to_nearest_even(format: Format) -> None:
    """Each value stays; half-way to the next the even one is taken, and the nearer one on both sides of that; above the largest
    the next is infinity. Both signs."""
    low = BITS[: format.infinity]
    tie = ((format.exact[low] + format.exact[low + 1]) / 2).astype("f4")  # has one bit more: exact
    cases = [
        (format.exact[low].astype("f4"), low),
        (tie, low + (low & 1)),
        (np.nextafter(tie, np.float32(np.inf)), low + 1),
        (np.nextafter(tie, np.float32(0)), low),
    ]
    for x, expected in cases:
        assert np.array_equal(format.convert("narrowed", x, "uint16"), expected)
        assert np.array_equal(format.convert("narrowed", -x, "uint16"), expected | 0x8000)
        if format.infinity == 0x7C00:
            with np.errstate(over="ignore"):
                assert np.array_equal(x.astype("f2").view("uint16"), expected)


def test_infinity_and_nan_narrow_to_themselves(format: Format) -> None:
    """So do float32's smallest and largest: to zero with their sign, to infinity. A NaN whose bits are all in the part that is
    cut off stays a NaN."""
    largest, smallest = np.finfo("f4").max, np.finfo("f4").smallest_subnormal
    x = np.array([np.inf, -np.inf, largest, -largest, smallest, -smallest], "f4")
    infinity = format.infinity
    assert format.convert("narrowed", x, "uint16").tolist() == [infinity, infinity | 0x8000, infinity, infinity | 0x8000, 0, 0x8000]
    nans = np.array([0x7F800001, 0xFF800001, 0x7FC00000, 0xFFFFFFFF], "uint32").view("f4")
    assert (format.convert("narrowed", nans, "uint16") & 0x7FFF > infinity).all()
