"""Convolutions without columns, on the pretend card, against the definition in float64."""

from __future__ import annotations

import numpy as np
import pytest

from minivgg.backend.precision import image_dtype, precision
from minivgg.fast.cuda import implicit

from .convolution import Case, orders, problem
from .pretend_cupy.raw_module import LAUNCHES

_BOUNDS = {"fp32": 1e-5, "tf32": 1e-3, "fp16": 2e-3, "bf16": 1.2e-2}
_TENSOR = [  # sizes that no tile divides; one more than a tile; images of one pixel; more than one block of filters and of channels
    problem((5, 7), 16, 8, n=1),
    problem((18, 17), 40, 16, n=1, padding=(0, 1)),
    problem((1, 1), 8, 8, n=3),
    problem((3, 4), 8, 72, padding=(2, 3)),
]
_DIRECT = [
    problem((9, 9), 3, 64, n=1),
    problem((3, 17), 3, 10, padding=(0, 0)),
    problem((1, 1), 17, 1, n=3),
    problem((2, 5), 16, 100, n=1, padding=(3, 1)),
]


def _case(which, name):
    return Case(which, image_dtype(name) or "float32")


def _largest(found, expected):
    """The largest error, relative to the largest result."""
    assert found.shape == expected.shape
    return np.abs(found.astype(np.float64) - expected).max() / np.abs(expected).max()


def _check(card, which, name, launched):
    """Convolution and both gradients by the functions named, within the bounds of the precision."""
    case = _case(which, name)
    LAUNCHES.clear()
    with precision(name):
        found = case.run(card, implicit)
    assert [f"{launched}_{part}" for part in ("forward", "forward", "weight")] + ["sum_parts"] == LAUNCHES
    for part, a, b in zip(("y", "gx", "gw"), found, case.naive(), strict=True):
        assert a.dtype == case.x.dtype
        assert _largest(a, b) <= _BOUNDS[name], part


@pytest.mark.parametrize("name", ["tf32", "fp16", "bf16"])
@pytest.mark.parametrize("which", _TENSOR, ids=lambda p: f"{p.size}x{p.c}x{p.k}")
def test_tensor_cores_convolve_within_their_bounds(card, which, name):
    """y, gx and gw by products of TF32, half and bfloat16, where channels and filters are multiples of 16 bytes."""
    _check(card, which, name, "implicit")


@pytest.mark.parametrize("which, name", [*((p, "fp32") for p in (*_DIRECT, _TENSOR[0])), (_DIRECT[0], "tf32"), (_DIRECT[1], "fp16")])
def test_strict_products_and_few_channels_are_direct(card, which, name):
    """y, gx and gw in float32 products: in strict precision, and in any for 3 channels or for odd numbers of channels or filters."""
    _check(card, which, name, "direct")


def test_tf32_is_not_strict(card):
    """The error of TF32 is that of 11 bits: far more than float32's, or the tensor cores were not used as such."""
    case = _case(_TENSOR[0], "tf32")
    with precision("tf32"):
        assert min(_largest(a, b) for a, b in zip(case.run(card, implicit), case.naive(), strict=True)) > 2e-5


@pytest.mark.parametrize("name", ["fp32", "tf32", "fp16"])
def test_bias_and_rectifier_are_applied_before_rounding(card, name):
    """y = max(convolution + b, 0) in one pass, for each way of computing it; a NaN goes through the rectifier."""
    case = _case(_TENSOR[0], name)
    case.x[0, 0, 0] = 0
    expected = np.maximum(case.naive()[0] + case.b, 0)
    with precision(name):
        x, w, b = map(card.asarray, (case.x, case.w, case.b))
        assert _largest(implicit.forward(x, w, case.problem, b, True).get(), expected) <= _BOUNDS[name]
        x[0, 0, 0, 0] = np.nan
        assert np.isnan(implicit.forward(x, w, case.problem, b, True).get()[0, 0, 0]).all()


@pytest.mark.parametrize("name", ["fp32", "tf32", "fp16"])
def test_the_order_of_threads_does_not_matter(card, name, monkeypatch):
    """The same bits in every order of threads and blocks, and again, where blocks have several chunks of channels, and several tiles in a
    part: no barrier and no wait for a copy is missing."""
    monkeypatch.setattr(implicit, "_RESIDENT", 4)
    case, seen = _case(problem((16, 9), 40, 8, n=1), name), set()
    with precision(name):
        for _ in orders():
            seen.add(tuple(a.tobytes() for a in case.run(card, implicit)))
        found = case.run(card, implicit)
    assert len({*seen, tuple(a.tobytes() for a in found)}) == 1
    assert max(_largest(a, b) for a, b in zip(found, case.naive(), strict=True)) <= _BOUNDS[name]


@pytest.mark.parametrize("name", ["fp32", "tf32"])
def test_arrays_that_begin_between_sixteen_bytes_are_served(card, name):
    """Views into a larger buffer, as the parameters of an optimiser are, give what arrays of their own give."""
    case = _case(_TENSOR[0], name)

    def within(array):
        buffer = card.empty(array.size + 1, array.dtype)
        buffer[1:] = card.asarray(array.reshape(-1))
        return buffer[1:].reshape(array.shape)

    with precision(name):
        expected = case.run(card, implicit)
        x, w, gy = map(within, (case.x, case.w, case.gy))
        found = (
            implicit.forward(x, w, case.problem),
            implicit.image_gradient(gy, w, case.problem),
            implicit.weight_gradient(gy, x, case.problem),
        )
    assert all(np.array_equal(a.get(), b) for a, b in zip(found, expected, strict=True))


def test_what_is_served():
    """3×3, stride 1, dilation 1; the three types that kernels exist for."""
    assert implicit.serves(problem((5, 5), 3, 8), np.dtype("float16"))
    assert not implicit.serves(problem((5, 5), 3, 8), "float64")
    assert not any(
        implicit.serves(problem((7, 7), 3, 8, **g), "float32") for g in ({"stride": (2, 2)}, {"dilation": (2, 1)}, {"kernel": (3, 1)})
    )
    assert not implicit.serves(problem((30_000, 30_000), 3, 8), "float32")  # an image of more than 2³¹ numbers
