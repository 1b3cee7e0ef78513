"""The tensor cores' instructions as the pretend card runs them: fragments laid out by the formulas of NVIDIA's manual, products NumPy's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from minivgg.fast.cuda import program

from .pretend_cupy import raw_module

_SOURCE = Path(program.__file__).parent / "source"

# Fragments are filled from global memory element by element, by the PTX ISA manual's formulas for row and column of a_i, b_i and c_i.
_BY_FORMULA = """
typedef unsigned short half_bits;
extern "C" __global__ void product(const WORD* a, const WORD* b, const float* c, float* d) {
    const int per = 4 / sizeof(WORD), depth = 8 * per;
    int group = threadIdx.x >> 2, inside = threadIdx.x % 4;
    unsigned A[4] = {0, 0, 0, 0}, B[2] = {0, 0};
    for (int i = 0; i < 4 * per; i++) {
        int row = per == 1 ? (i == 0 || i == 2 ? group : group + 8) : ((0 <= i && i < 2) || (4 <= i && i < 6) ? group : group + 8);
        int col = per == 1 ? (i < 2 ? inside : inside + 4) : inside * 2 + (i & 1) + (i < 4 ? 0 : 8);
        A[i / per] |= (unsigned)a[row * depth + col] << 16 * (i % per);
    }
    for (int i = 0; i < 2 * per; i++) {
        int row = per == 1 ? (i == 0 ? inside : inside + 4) : inside * 2 + (i & 1) + (i < 2 ? 0 : 8);
        B[i / per] |= (unsigned)b[row * 8 + group] << 16 * (i % per);
    }
    float C[4];
    for (int i = 0; i < 4; i++) C[i] = c[(i < 2 ? group : group + 8) * 8 + inside * 2 + (i & 1)];
    INSTRUCTION(C, A, B);
    for (int i = 0; i < 4; i++) d[(i < 2 ? group : group + 8) * 8 + inside * 2 + (i & 1)] = C[i];
    __syncwarp();
}
"""

# The same product of an A and a B of 32 columns, through shared memory as the convolutions do it. A may be stored by columns.
_BY_LOADS = """
typedef unsigned short half_bits;
extern "C" __global__ void product(const WORD* a_bits, const WORD* b_bits, const float* c, float* d, bool columns) {
    const Stored *a = (const Stored*)a_bits, *b = (const Stored*)b_bits;
    const int per = 4 / sizeof(Stored), depth = 8 * per, vector = 4 * per;
    __shared__ uint4 memory[32 + 2 * 64];
    Stored *A = (Stored*)memory, *B = (Stored*)(memory + 32);
    int lane = threadIdx.x;
    copy_async(&memory[lane], a + lane * vector, true);
    copy_commit();
    for (int i = lane; i < depth * 32 / vector; i += 32)
        copy_async(B + i / (32 / vector) * 40 + i % (32 / vector) * vector, b + i * vector, true);
    copy_commit();
    WAIT;
    __syncwarp();
    unsigned fa[4], fb[4][2];
    if (columns) load_four_transposed(fa, A + (lane % 8 + lane / 16 * 8) * 16 + lane / 8 % 2 * 8);
    else load_four(fa, A + lane % 16 * depth + lane / 16 * vector);
    if (per == 1) for (int i = 0; i < 4; i++) fa[i] = ROUND(fa[i]);
    load_b(fb, B, 40, lane);
    for (int j = 0; j < 4; j++) {
        float C[4];
        for (int i = 0; i < 4; i++) C[i] = c[(lane / 4 + i / 2 * 8) * 32 + j * 8 + lane % 4 * 2 + i % 2];
        multiply(C, fa, fb[j], Stored());
        for (int i = 0; i < 4; i++) d[(lane / 4 + i / 2 * 8) * 32 + j * 8 + lane % 4 * 2 + i % 2] = C[i];
    }
}
"""
_KINDS = {"float": ("multiply_tf32", "unsigned"), "half_t": ("multiply_half", "half_bits"), "bfloat_t": ("multiply_bfloat", "half_bits")}
_THREE = pytest.mark.parametrize("kind", list(_KINDS))


def _operand(rng, shape, kind):
    """Random numbers that the kind can hold exactly, as float32 and as they are stored."""
    x = rng.standard_normal(shape).astype(np.float32)
    if kind == "half_t":
        return x.astype(np.float16).astype(np.float32), x.astype(np.float16).view(np.uint16)
    bits = x.view(np.uint32) & np.uint32(0xFFFFE000 if kind == "float" else 0xFFFF0000)
    return bits.view(np.float32), bits if kind == "float" else (bits >> 16).astype(np.uint16)


def _run(cupy, kernel, kind, shapes, *more, round_by="to_tf32", wait="copy_wait<0>()"):
    """(what the kernel computes, A @ B + C in float64)."""
    rng = np.random.default_rng(0)
    (a, a_bits), (b, b_bits) = (_operand(rng, shape, kind) for shape in shapes)
    c = rng.standard_normal((16, shapes[1][1])).astype(np.float32)
    if more == (np.bool_(True),):
        a_bits = np.ascontiguousarray(a_bits.T)
    code = (_SOURCE / "numbers.cuh").read_text() + (_SOURCE / "mma.cuh").read_text() + kernel
    options = ("-std=c++17", f"-DSTORED={kind}", f"-DINSTRUCTION={_KINDS[kind][0]}", f"-DWORD={_KINDS[kind][1]}")
    module = cupy.RawModule(code=code.replace("ROUND", round_by).replace("WAIT", wait), options=options)
    d = cupy.empty(c.shape, np.float32)
    module.get_function("product")((1, 1, 1), (32, 1, 1), (*map(cupy.asarray, (a_bits, b_bits, c)), d, *more))
    return d.get(), a.astype(np.float64) @ b + c


@_THREE
@pytest.mark.parametrize("turn", [0, 1, 2])
def test_fragments_are_laid_out_as_the_manual_says(card, kind, turn, monkeypatch):
    """Fragments filled by the manual's formulas give NumPy's product, whatever order the lanes run in."""
    monkeypatch.setattr(raw_module, "order", [turn])
    depth = 8 if kind == "float" else 16
    found, expected = _run(card, _BY_FORMULA, kind, [(16, depth), (depth, 8)])
    assert np.abs(found - expected).max() < 2e-6 * np.abs(expected).max()


@pytest.mark.parametrize("kind, columns", [*((k, False) for k in _KINDS), ("half_t", True), ("bfloat_t", True)])
def test_matrices_loaded_from_shared_memory_are_these_fragments(card, kind, columns):
    """Copies, ldmatrix and `load_b` bring a row-major A and B into the product's registers; for half also an A by columns."""
    depth = 8 if kind == "float" else 16
    found, expected = _run(card, _BY_LOADS, kind, [(16, depth), (depth, 32)], np.bool_(columns))
    assert np.abs(found - expected).max() < 2e-6 * np.abs(expected).max()


def test_a_copy_that_nobody_waited_for_is_not_there(card):
    """Of two groups of copies, waiting for all but the last leaves the second spoiled: the product is NaN."""
    found, _ = _run(card, _BY_LOADS, "half_t", [(16, 16), (16, 32)], np.bool_(False), wait="copy_wait<1>()")
    assert np.isnan(found).all()


def test_an_operand_that_is_not_rounded_is_noticed(card):
    """TF32 products refuse operands with more than ten bits behind the point, which a card would cut off silently."""
    with pytest.raises(RuntimeError, match="not rounded to TF32"):
        _run(card, _BY_LOADS, "float", [(16, 8), (8, 32)], np.bool_(False), round_by="1 +")
