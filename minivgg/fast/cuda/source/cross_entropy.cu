// Soft-max and cross-entropy of rows of C logits: a block for each row, which stays in the cache between the passes.
//
// With M = max x, L = log Σ e^{x−M} and p = e^{x−M} / Σ e^{x−M}:
//     y = −Σ_c q·(x − M − L) over the classes with q ≠ 0,   gx = gy·(p·Σ q − q)
// Nothing overflows, a class of logit −∞ that is not a target costs nothing, and a q of NaN, for a label out of range, is a row of NaN.
#include "numbers.cuh"

#define MOST_THREADS 256

// Σ or the maximum of v over all threads of the block, for all of them; `shared` has a place for each warp.
template <bool MAXIMUM> __device__ __forceinline__ Wide join(Wide a, Wide b) { return MAXIMUM ? (b > a ? b : a) : a + b; }
template <bool MAXIMUM> __device__ __forceinline__ Wide over_block(Wide v, Wide* shared) {
    for (int by = 16; by > 0; by /= 2) v = join<MAXIMUM>(v, __shfl_xor_sync(0xffffffffu, v, by));
    __syncthreads();  // what was shared before has been read
    if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = v;
    __syncthreads();
    v = shared[0];
    for (int warp = 1; warp < blockDim.x / 32; warp++) v = join<MAXIMUM>(v, shared[warp]);
    return v;
}

// M and Σ e^{x−M} of a row.
__device__ __forceinline__ void totals(const Stored* x, long long c, Wide& most, Wide& total, Wide* shared) {
    most = wide(x[0]);
    for (long long i = threadIdx.x; i < c; i += blockDim.x) most = join<true>(most, wide(x[i]));
    most = over_block<true>(most, shared);
    total = 0;
    for (long long i = threadIdx.x; i < c; i += blockDim.x) total += exp(wide(x[i]) - most);
    total = over_block<false>(total, shared);
}

// y[n] = −Σ_c q[n,c] · log soft-max(x)[n,c].
extern "C" __global__ void __launch_bounds__(MOST_THREADS) cross_entropy(
    const Stored* x, const Stored* q, Stored* y, long long rows, long long c) {
    __shared__ Wide shared[MOST_THREADS / 32];
    for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
        const Stored *logits = x + row * c, *weights = q + row * c;
        Wide most, total, cost = 0;
        totals(logits, c, most, total, shared);
        Wide logarithm = log(total);
        for (long long i = threadIdx.x; i < c; i += blockDim.x) {
            Wide weight = wide(weights[i]);
            if (weight != 0) cost += weight * (wide(logits[i]) - most - logarithm);
        }
        cost = over_block<false>(cost, shared);
        if (threadIdx.x == 0) y[row] = stored(-cost);
    }
}

// gx[n,c] = gy[n] · (p[n,c]·Σ_c q[n,c] − q[n,c]).
extern "C" __global__ void __launch_bounds__(MOST_THREADS) cross_entropy_gradient(
    const Stored* gy, const Stored* x, const Stored* q, Stored* gx, long long rows, long long c) {
    __shared__ Wide shared[MOST_THREADS / 32];
    for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
        const Stored *logits = x + row * c, *weights = q + row * c;
        Wide most, total, weight = 0, g = wide(gy[row]);
        totals(logits, c, most, total, shared);
        for (long long i = threadIdx.x; i < c; i += blockDim.x) weight += wide(weights[i]);
        weight = over_block<false>(weight, shared);
        for (long long i = threadIdx.x; i < c; i += blockDim.x)
            gx[row * c + i] = stored(g * (exp(wide(logits[i]) - most) / total * weight - wide(weights[i])));
    }
}

// y[n,c] = e^{x[n,c]} / Σ_c e^{x[n,c]}.
extern "C" __global__ void __launch_bounds__(MOST_THREADS) softmax(const Stored* x, Stored* y, long long rows, long long c) {
    __shared__ Wide shared[MOST_THREADS / 32];
    for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
        const Stored* logits = x + row * c;
        Wide most, total;
        totals(logits, c, most, total, shared);
        for (long long i = threadIdx.x; i < c; i += blockDim.x) y[row * c + i] = stored(exp(wide(logits[i]) - most) / total);
    }
}
