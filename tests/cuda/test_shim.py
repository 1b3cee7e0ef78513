"""The machinery that runs kernels on the CPU does what a card does, and refuses what a card would not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minivgg.testing import pretend

from .pretend_cupy.raw_module import SANITIZERS, RawModule, why_not

pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")

KERNELS = """
// Sums of blocks of 64 numbers by a tree in shared memory.
extern "C" __global__ void __launch_bounds__(64) block_sums(const long long* x, long long* y) {
    __shared__ long long tile[64];
    int t = threadIdx.x;
    tile[t] = x[blockIdx.x * 64 + t];
    for (int half = 32; half > 0; half /= 2) {
        __syncthreads();
        if (t < half) tile[t] += tile[t + half];
    }
    if (t == 0) y[blockIdx.x] = tile[0];
}
// Reverses what a block holds. A barrier is missing.
extern "C" __global__ void reversed(const float* x, float* y) {
    __shared__ float tile[64];
    tile[threadIdx.x] = x[threadIdx.x];
    y[threadIdx.x] = tile[63 - threadIdx.x];
}
// Every block writes the same element: the last one wins.
extern "C" __global__ void last_block(int* y) { y[0] = blockIdx.x; }
extern "C" __global__ void unwritten(float* y, int* z) {
    __shared__ float tile[5];
    __shared__ int table[3];
    y[0] = tile[4];
    z[0] = table[1];
    tile[4] = table[1] = 0;
}
extern "C" __global__ void divergent(int* y) {
    if (threadIdx.x != 5)
        __syncthreads();
    y[threadIdx.x] = 1;
}
extern "C" __global__ void two_barriers(int* y) {
    if (threadIdx.x < 7) __syncthreads();
    else
        __syncthreads();
    y[threadIdx.x] = 1;
}
// Sums of warps: by pairs, and by halves of the distance; each in groups of `width` lanes.
extern "C" __global__ void warp_sums(const double* x, double* pairs, float* down, int* up, int* first) {
    int t = threadIdx.x;
    double sum = x[t];
    for (int other = 16; other; other /= 2) sum += __shfl_xor_sync(0xffffffff, sum, other);
    pairs[t] = sum;
    float s = x[t];
    for (int by = 4; by; by /= 2) s += __shfl_down_sync(0xffffffffu, s, by, 8);
    down[t] = s;
    up[t] = __shfl_up_sync(0xffffffff, t, 3);
    first[t] = __shfl_sync(0xffffffff, t, 33);
}
// Two halves of a warp go different ways, each with its own mask.
extern "C" __global__ void half_warps(int* y) {
    int t = threadIdx.x;
    if (t < 16) y[t] = __shfl_xor_sync(0x0000ffff, t, 1);
    else {
        int other = __shfl_xor_sync(0xffff0000, t, 2);
        __syncwarp(0xffff0000);
        y[t] = __shfl_xor_sync(0xffff0000, other, 1);
    }
}
extern "C" __global__ void not_in_mask(int* y) { y[threadIdx.x] = __shfl_xor_sync(0xffff, threadIdx.x, 1); }
extern "C" __global__ void reads_outside_mask(int* y) { if (threadIdx.x < 16) y[threadIdx.x] = __shfl_xor_sync(0xffff, threadIdx.x, 16); }
extern "C" __global__ void ended_lane(int* y) {
    if (threadIdx.x == 9) return;
    __syncwarp();
    y[threadIdx.x] = __shfl_xor_sync(0xffffffff, threadIdx.x, 1);
}
extern "C" __global__ void two_shuffles(int* y) {
    if (threadIdx.x < 16) y[threadIdx.x] = __shfl_xor_sync(0xffffffff, threadIdx.x, 1);
    else
        y[threadIdx.x] = __shfl_xor_sync(0xffffffff, threadIdx.x, 1);
}
extern "C" __global__ void takes(const float* x, int* y, long long n, double a, bool b) { y[0] = x[0] + n + a + b; }
extern "C" __global__ void larger(const float* x, const float* y, float* z) {
    z[0] = max(x[0], y[0]); z[1] = min(x[0], y[0]); z[2] = max(y[0], x[0]); z[3] = max(-1, 2u) == 0xffffffffu;
}
extern "C" __global__ void tiny(const float* x, float* y) { y[0] = x[0] * 2.0f; y[1] = x[1] * 0.5f; y[2] = x[2]; }
"""


@pytest.fixture(params=["own switch", "ucontext"][: 1 if SANITIZERS else 2], scope="module")  # sanitizers can't follow ucontext
def kernels(request: Any) -> Any:
    """The kernels, with either way to switch between fibers."""
    return RawModule(code=KERNELS, options=("-std=c++17", *(["-DSHIM_UCONTEXT"] if request.param == "ucontext" else [])))


def run(kernels: Any, name: str, threads: int, *arguments: Any, blocks: int = 1) -> None:
    """Launch a kernel on arrays of the pretend card that share the memory of NumPy's."""
    values = tuple(pretend.Array(a) if isinstance(a, np.ndarray) else a for a in arguments)
    kernels.get_function(name)((blocks, 1, 1), (threads, 1, 1), values)


def test_a_block_sums_through_shared_memory(kernels: Any, order: int) -> None:
    """Shared memory and barriers: a tree of sums gives each block's sum, whatever the order."""
    x, y = np.arange(320) ** 2, np.zeros(5, "int64")
    run(kernels, "block_sums", 64, x, y, blocks=5)
    assert y.tolist() == x.reshape(5, 64).sum(1).tolist()


@pytest.fixture
def written(kernels: Any, order: int) -> Any:
    """What the kernels write that depend on the order: the reversed block, and the last block's number."""
    y, z = np.zeros(64, "f4"), np.zeros(1, "i4")
    run(kernels, "reversed", 64, np.arange(64, dtype="f4"), y)
    run(kernels, "last_block", 1, z, blocks=6)
    return y, z[0]


def test_orders_differ_where_a_barrier_is_missing(written: Any, order: int) -> None:
    """Without the barrier between writing and reading, each order finds other elements not yet written, which are NaN; and
    when all blocks write one element, another block is the last."""
    y, last = written
    scattered = [32 * warp + (i * 7919 + 13) % 32 for warp in (1, 0) for i in range(32)]
    place = [[*range(64)], [*range(63, -1, -1)], scattered][order]
    turn = np.argsort(place)  # when each thread runs
    assert np.isnan(y).tolist() == (turn[::-1] > turn).tolist()
    assert last == [5, 0, (5 * 7919 + 13) % 6][order]


def test_shared_memory_is_poisoned_before_each_block(kernels: Any) -> None:
    """What was not written reads as NaN, or -1, also in a block that follows one that wrote there."""
    for _ in range(2):
        y, z = np.zeros(1, "f4"), np.zeros(1, "i4")
        run(kernels, "unwritten", 1, y, z, blocks=3)
        assert np.isnan(y[0]) and z[0] == -1


def test_a_barrier_that_not_all_reach_is_an_error(kernels: Any, order: int) -> None:
    """The message names the block, the threads and the line; so for two barriers at different lines. The next launch works."""
    y = np.zeros(64, "i4")
    place = KERNELS[: KERNELS.index("divergent")].count("\n") + 3
    with pytest.raises(RuntimeError, match=rf"divergent: .* \(block 0,0,0: thread 0,0,0 waits for its block at line {place}, thread 5,0,0"):
        run(kernels, "divergent", 64, y)
    place = KERNELS[: KERNELS.index("two_barriers")].count("\n") + 2
    with pytest.raises(RuntimeError, match=rf"thread 0,0,0 .* at line {place}, thread 7,0,0 waits for its block at line {place + 2}"):
        run(kernels, "two_barriers", 64, y)
    test_a_block_sums_through_shared_memory(kernels, order)


def test_shuffles_move_values_between_lanes(kernels: Any, order: int) -> None:
    """Sums over warps by xor, over groups of 8 lanes by down, lanes past the end keep their own; up, and a fixed lane modulo 32."""
    x = np.random.default_rng(0).integers(0, 1000, 96).astype("f8")
    pairs, down, up, first = np.zeros(96), np.zeros(96, "f4"), np.zeros(96, "i4"), np.zeros(96, "i4")
    run(kernels, "warp_sums", 96, x, pairs, down, up, first)
    assert pairs.tolist() == np.repeat(x.reshape(3, 32).sum(1), 32).tolist()
    assert down[::8].tolist() == x.reshape(12, 8).sum(1).tolist()
    lanes = np.arange(96)
    assert up.tolist() == np.where(lanes % 32 < 3, lanes, lanes - 3).tolist()
    assert first.tolist() == (lanes // 32 * 32 + 1).tolist()


def test_halves_of_a_warp_may_go_different_ways(kernels: Any, order: int) -> None:
    """Lanes wait only for those that their mask names."""
    y = np.zeros(32, "i4")
    run(kernels, "half_warps", 32, y)
    assert y.tolist() == [t ^ 1 if t < 16 else t ^ 3 for t in range(32)]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("not_in_mask", "a lane that is not in the mask takes part"),
        ("reads_outside_mask", "a lane reads from one that is not in the mask"),
        ("ended_lane", "the mask names a lane that has ended or does not exist"),
        ("two_shuffles", "not all threads reach one barrier .*thread 0,0,0 waits for its warp at line 69, thread 16,0,0"),
    ],
)
def test_a_shuffle_that_not_all_take_part_in_is_an_error(kernels: Any, order: int, name: str, message: str) -> None:
    """A lane outside the mask, one that reads outside it, one that has ended, or two shuffles at different lines."""
    with pytest.raises(RuntimeError, match=f"{name}: {message}.*line"):
        run(kernels, name, 32, np.zeros(32, "i4"))


def test_arguments_must_have_the_types_of_the_parameters(kernels: Any) -> None:
    """Another number of arguments, another kind or size, a Python number, or an array with gaps is a TypeError."""
    x, y = np.ones(4, "f4"), np.zeros(4, "i4")
    good = (x, y, np.int64(2), np.float64(3), np.bool_(True))
    run(kernels, "takes", 1, *good)
    assert y[0] == 7
    wrong = [(0, y), (0, x.astype("f8")), (1, x), (2, np.int32(2)), (2, 2), (3, np.float32(3)), (3, np.int64(3)), (4, np.int64(1))]
    for place, value in (*wrong, (0, x[::2])):
        with pytest.raises(TypeError, match="takes"):
            run(kernels, "takes", 1, *good[:place], value, *good[place + 1 :])
    for arguments in (good[:4], (*good, x)):
        with pytest.raises(TypeError, match=r"takes \(float4\*, int4\*, int8, float8, bool1\), but was given"):
            run(kernels, "takes", 1, *arguments)


def test_blocks_have_the_stated_size_at_most(kernels: Any) -> None:
    """A block larger than `__launch_bounds__`, or than 1024 threads, would fail on a card."""
    with pytest.raises(RuntimeError, match="block_sums: 128 threads in a block, but __launch_bounds__ says 64"):
        run(kernels, "block_sums", 128, np.zeros(128, "i8"), np.zeros(1, "i8"))
    with pytest.raises(RuntimeError, match="1025 threads"):
        run(kernels, "last_block", 1025, np.zeros(1, "i4"))


def test_numbers_behave_as_on_a_card(kernels: Any) -> None:
    """max and min pass over NaN, integers meet in their common type, and subnormal float32 are zeros in arithmetic, as CuPy
    compiles with -ftz=true; moving them keeps them."""
    z = np.zeros(4, "f4")
    run(kernels, "larger", 1, np.full(1, np.nan, "f4"), np.ones(1, "f4"), z)
    assert z.tolist() == [1, 1, 1, 1]
    y, small = np.ones(3, "f4"), np.finfo("f4").tiny
    run(kernels, "tiny", 1, np.array([small / 2, small, small / 4], "f4"), y)
    assert y.tolist() == [0, 0, small / 4]
    assert np.float32(small) / np.float32(2) > 0  # restored behind the launch
