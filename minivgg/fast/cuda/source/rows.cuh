// Rows of K numbers, contiguous: pixels and their channels, or samples and their features. How a block's threads share them.
//
// A block of 256 threads is X columns wide and Y = 256/X rows high. A thread keeps its column, and so reads a channel's constants
// once, and goes through every (Y·gridDim.y)-th row. Where K allows, a column is 16 bytes wide (W = V numbers, one access),
// otherwise one number. Neighbouring threads have neighbouring columns, and behind the last column comes the next row, so
// what a warp asks for is contiguous: with X = 32, or X = K/W, every byte that is fetched is used.
#include "numbers.cuh"

#define THREADS 256
#define V ((int)(16 / sizeof(Stored)))  // numbers in 16 bytes

union Pack {
    uint4 bits;
    Stored of[V];
};

// Whether 16 bytes may be read at once: false for a part of an array that begins in between.
__device__ __forceinline__ bool aligned(const void* p) { return (unsigned long long)p % 16 == 0; }

// W numbers from p on.
template <int W> __device__ __forceinline__ void load(const Stored* p, bool at_once, Wide* out) {
    if (W > 1 && at_once) {
        Pack pack;
        pack.bits = *(const uint4*)p;
#pragma unroll
        for (int j = 0; j < W; j++) out[j] = wide(pack.of[j]);
    } else {
#pragma unroll
        for (int j = 0; j < W; j++) out[j] = wide(p[j]);
    }
}

template <int W> __device__ __forceinline__ void save(Stored* p, bool at_once, const Wide* values) {
    if (W > 1 && at_once) {
        Pack pack;
#pragma unroll
        for (int j = 0; j < W; j++) pack.of[j] = stored(values[j]);
        *(uint4*)p = pack.bits;
    } else {
#pragma unroll
        for (int j = 0; j < W; j++) p[j] = stored(values[j]);
    }
}

// Where a thread begins, and how it goes on.
template <int W> struct Place {
    int column;  // the first of its W
    bool inside;
    long long row, step;
    __device__ Place(long long k) {
        long long c = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * W;
        inside = c < k;
        column = (int)c;
        row = (long long)blockIdx.y * blockDim.y + threadIdx.y;
        step = (long long)gridDim.y * blockDim.y;
    }
};

// Σ of `total` over the block's threads of one column, as a tree; the thread at y = 0 has it. `shared` has W·THREADS numbers.
template <int W> __device__ __forceinline__ void add_up(Wide* total, Wide* shared) {
    int t = threadIdx.y * blockDim.x + threadIdx.x;
#pragma unroll
    for (int j = 0; j < W; j++) shared[j * THREADS + t] = total[j];
    for (int half = blockDim.y / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.y < half)
#pragma unroll
            for (int j = 0; j < W; j++) shared[j * THREADS + t] += shared[j * THREADS + t + half * blockDim.x];
    }
#pragma unroll
    for (int j = 0; j < W; j++) total[j] = shared[j * THREADS + t];
}
