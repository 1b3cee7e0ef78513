"""Bias, rectifier and their gradients on rows, against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest

from minivgg.fast.cuda import activation, rows

EPS = {"float16": 2.0**-11, "float32": 2.0**-24, "float64": 2.0**-53}  # half an ulp of 1
SHAPES = [(1, 1), (300, 1), (257, 3), (19, 11), (1, 64), (33, 64), (2, 264), (5, 7, 24)]


def numbers(shape, dtype, seed=0):
    """Random numbers of both signs, some of them zero."""
    x = np.random.default_rng(seed).standard_normal(shape)
    return np.where(np.abs(x) < 0.1, 0, x).astype(dtype)


@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bias_and_rectifier_are_added_in_place(card, dtype, shape):
    """y + b, cut off below zero, with one rounding; y's own memory has the result; a NaN goes through."""
    x, b = numbers(shape, dtype), numbers(shape[-1], dtype, 1)
    x.flat[0] = np.nan
    for bias, relu in [(b, True), (b, False), (None, True), (None, False)]:
        y = card.asarray(x.copy())
        assert activation.add_bias_relu(y, None if bias is None else card.asarray(bias), relu) is y
        exact = x.astype(np.float64) + (0 if bias is None else bias.astype(np.float64))
        assert np.array_equal(y.get(), (np.maximum(exact, 0) if relu else exact).astype(dtype), equal_nan=True)


def test_a_bias_of_another_type_is_rounded_first(card):
    """A float32 bias beside half: 2⁻¹¹ + 2⁻²² becomes 2⁻¹¹, and 1 + 2⁻¹¹, a tie, becomes 1; unrounded, the sum would be 1 + 2⁻¹⁰."""
    y, bias = card.asarray(np.ones((3, 8), np.float16)), np.full(8, 2.0**-11 + 2.0**-22, np.float32)
    assert (activation.add_bias_relu(y, card.asarray(bias), True).get() == 1).all()


@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_mask_and_sums_in_one_pass(card, order, dtype, shape):
    """g = gy where y > 0 to the bit, and Σ g within the roundings of a tree: 40 half ulps of Σ |g|, and the last one of the sum."""
    gy, y = numbers(shape, dtype), numbers(shape, dtype, 1)
    g, sums = activation.masked_sums(card.asarray(gy), card.asarray(y))
    assert np.array_equal(g.get(), np.where(y > 0, gy, 0))
    check_sums(sums, np.where(y > 0, gy, 0), dtype)
    check_sums(activation.channel_sums(card.asarray(gy)), gy, dtype)


def check_sums(found, terms, dtype):
    """`found` is Σ over all but the last axis of `terms`, within 40 roundings in what is computed with and one in `dtype`."""
    terms = terms.reshape(-1, terms.shape[-1]).astype(np.float64)
    exact, wide = terms.sum(axis=0), np.float64 if dtype == "float64" else np.float32
    bound = 40 * EPS[np.dtype(wide).name] * np.abs(terms).sum(axis=0) + EPS[dtype] * np.abs(exact)
    assert found.dtype == dtype
    assert (np.abs(found.get() - exact) <= bound).all()


def test_sums_of_many_blocks(card, order):
    """The partial sums of all blocks are added, also of more than the second stage has threads in a column: 4,301 rows, 34 blocks, 32
    threads."""
    x = numbers((4301, 64), "float32")
    assert rows.layout(x, each=8, most=1 << 10)[0] == (1, 34)
    assert rows.COLUMN_THREADS[1] == 32
    check_sums(activation.channel_sums(card.asarray(x)), x, "float32")


def test_sums_are_of_the_dtype_that_is_asked_for(card):
    """Half rows, float32 sums: 2,049 ones are 2049, which half cannot hold; a half result rounds it to 2048."""
    ones = card.asarray(np.ones((2049, 8), np.float16))
    sums = activation.channel_sums(ones, np.float32)
    assert sums.dtype == np.float32 and (sums.get() == 2049).all()
    sums = activation.channel_sums(ones)
    assert sums.dtype == np.float16 and (sums.get() == 2048).all()


def test_wide_rows(card):
    """4,096 features of 3 samples are shared among many blocks across."""
    gy, y = numbers((3, 4096), "float32"), numbers((3, 4096), "float32", 1)
    sums = activation.masked_sums(card.asarray(gy), card.asarray(y))[1]
    check_sums(sums, np.where(y > 0, gy, 0), "float32")


def test_no_rows_give_no_sum(card):
    """An empty batch has the bias gradient 0."""
    assert (activation.channel_sums(card.empty((0, 5), np.float32)).get() == 0).all()


@pytest.mark.parametrize("dtype", EPS)
def test_rows_may_begin_anywhere(card, dtype):
    """A part of an array that does not begin at a multiple of 16 bytes is read number by number."""
    whole = numbers(1 + 9 * 16, dtype)
    inner = card.asarray(whole)[1:].reshape(9, 16)
    check_sums(activation.channel_sums(inner), whole[1:].reshape(9, 16), dtype)
    assert np.array_equal(activation.masked_gradient(inner, inner).get(), np.maximum(whole[1:].reshape(9, 16), 0))
    activation.add_bias_relu(inner, None, True)
    assert np.array_equal(inner.get(), np.maximum(whole[1:].reshape(9, 16), 0))


@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize("count", [2, 8, 31])
def test_a_masked_gradient_is_stored_as_y(card, dtype, count):
    """gy where y > 0, for sizes that are no multiple of a vector, and for images whose gradient is stored in another order."""
    y, gy = numbers((2, 5, count), dtype), numbers((2, 5, count), dtype, 1)
    turned = card.asarray(y.transpose(0, 2, 1))
    g = activation.masked_gradient(card.asarray(np.ascontiguousarray(gy.transpose(0, 2, 1))), turned)
    assert g.strides == turned.strides
    assert np.array_equal(g.get(), np.where(y > 0, gy, 0).transpose(0, 2, 1))


def test_bfloat16(card):
    """Its bits are the upper half of a float's: sums of rows in float, rounded once, and a bias, added in float."""
    bits = (numbers((40, 24), "float32").view(np.uint32) >> 16).astype(np.uint16)
    x = (bits.astype(np.uint32) << 16).view(np.float32)
    device, partial, sums = card.asarray(bits), card.empty((1, 24), np.float32), card.empty(24, np.float32)
    launch = activation._PROGRAM.launch
    launch("channel_sums", (1, 1), (4, 64), device, partial, 40, 24, STORED="bfloat_t")
    launch("finish_sums", 3, (8, 32), partial, sums, 1, 24, STORED="bfloat_t")
    check_sums(sums, x, "float32")
    launch("add_bias_relu", (1, 1), (4, 64), device, card.asarray(np.full(24, 0xBF00, np.uint16)), True, 40, 24, STORED="bfloat_t")
    y = (device.get().astype(np.uint32) << 16).view(np.float32)
    exact = np.maximum(x - 0.5, 0)
    assert (np.abs(y - exact) <= 2.0**-9 * exact).all() and (y[exact == 0] == 0).all()
