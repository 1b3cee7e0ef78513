"""Matrix products on the card, through CuPy's `matmul`, which calls cuBLAS. What is known of it (CuPy 14.2's source):

    2-D    each operand goes to cuBLAS as it lies, plain or transposed, if its transpose or itself is contiguous: `a.T @ b` copies nothing.
           Any other view is copied first. `out` must be contiguous and of the operands' dtype, or the product is made elsewhere and copied.
    3-D    both operands are copied unless contiguous: a transposed batch costs a pass over it. One call multiplies all pairs.
    types  float32 is multiplied strictly, or, in 2-D only, with operands rounded to TF32, where `backend.precision` has set CuPy's switch.
           Half precision is multiplied exactly and summed in float32; the sum is rounded once, unless cuBLAS divides a long one
           among blocks: it may then add up the parts in half precision, which its default mode permits. 3-D never uses TF32, so
           that Winograd's products, whose errors are multiplied by the transforms, are strict in any case.

Sums are taken in an order that cuBLAS chooses by shapes and types: the same shapes give the same bits, on one card with one version of
cuBLAS.
"""

from __future__ import annotations

from ...backend.arrays import Array, array_module

__all__ = ["batched", "product"]


def product(a: Array, b: Array, out: Array | None = None) -> Array:
    """a (M, L) @ b (L, N), as (M, N); written to `out` if given, which must be contiguous. Transposed views are not copied."""
    assert a.ndim == 2 and b.ndim == 2 and (out is None or out.flags.c_contiguous)
    return array_module(a, b).matmul(a, b, out=out)


def batched(a: Array, b: Array, out: Array | None = None) -> Array:
    """a (B, M, L) @ b (B, L, N), as (B, M, N), product by product, in strict float32 or float64. All must be contiguous."""
    assert a.ndim == 3 and a.flags.c_contiguous and b.flags.c_contiguous and (out is None or out.flags.c_contiguous)
    return array_module(a, b).matmul(a, b, out=out)
