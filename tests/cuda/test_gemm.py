"""Matrix products on the card."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from minivgg.fast.cuda.gemm import batched, product


@pytest.mark.parametrize(
    ("dtype", "epsilon"), [("float64", 2.0**-53), ("float32", 2.0**-24), ("float16", 2.0**-11), (ml_dtypes.bfloat16, 2.0**-8)]
)
def test_products_have_their_operands_type(card, dtype, epsilon):
    """Plain and transposed operands, into an array that is there or a new one; half precision is rounded once, at the end."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape).astype(dtype) for shape in ((5, 700), (700, 3)))
    exactly, sums = a.astype(float) @ b.astype(float), abs(a.astype(float)) @ abs(b.astype(float))
    bound = epsilon * abs(exactly) + 700 * max(2.0**-53, min(epsilon, 2.0**-24)) * sums
    out = card.empty((5, 3), dtype)
    assert product(card.asarray(a), card.asarray(b), out) is out
    turned = product(card.asarray(np.ascontiguousarray(a.T)).T, card.asarray(np.ascontiguousarray(b.T)).T)
    many = batched(card.asarray(a[None]), card.asarray(b[None]))[0]
    for found in (out, turned, many):
        assert found.dtype == np.dtype(dtype) and (abs(found.get().astype(float) - exactly) <= bound).all()


def test_what_would_be_copied_is_refused(card):
    """A transposed batch, and a place for the result with gaps: CuPy would take them, at the price of a pass over memory."""
    a, out = card.asarray(np.ones((2, 3, 3))), card.empty((3, 6))[:, ::2]
    with pytest.raises(AssertionError):
        batched(a.transpose(0, 2, 1), a)
    with pytest.raises(AssertionError):
        product(a[0], a[1], out)
