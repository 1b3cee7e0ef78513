// What comes behind a product: bias and rectifier, in place; and on the way back the mask and the bias gradient.
//
//     add_bias_relu   reads y and writes y: 2 passes over memory, where an addition and a rectifier take 4
//     masked_sums     reads gy and y, writes g: 3 passes, where mask and sum take 4
//     channel_sums    reads x: 1 pass
//
// Sums have two stages, without atomics: each block adds up some of the rows, as a tree, and writes one row of partial sums; a
// second kernel adds up these rows. The order depends on the sizes only, so the bits are the same every time.
#include "rows.cuh"

template <int W>
__device__ __forceinline__ void add(Stored* y, const Stored* bias, bool relu, long long rows, long long k) {
    Place<W> at(k);
    if (!at.inside) return;
    bool at_once = aligned(y);
    Wide b[W], v[W];
#pragma unroll
    for (int j = 0; j < W; j++) b[j] = bias == nullptr ? 0 : wide(bias[at.column + j]);
    for (long long r = at.row; r < rows; r += at.step) {
        Stored* p = y + r * k + at.column;
        load<W>(p, at_once, v);
#pragma unroll
        for (int j = 0; j < W; j++) {
            v[j] += b[j];
            if (relu) v[j] = v[j] < 0 ? 0 : v[j];
        }
        save<W>(p, at_once, v);
    }
}

// y[m,k] ← y[m,k] + bias[k], and no less than 0 if `relu`. A NaN goes through.
extern "C" __global__ void __launch_bounds__(THREADS) add_bias_relu(Stored* y, const Stored* bias, bool relu, long long rows, long long k) {
    if (k % V == 0) add<V>(y, bias, relu, rows, k);
    else add<1>(y, bias, relu, rows, k);
}

// The same without a bias.
extern "C" __global__ void __launch_bounds__(THREADS) rectify(Stored* y, long long rows, long long k) {
    if (k % V == 0) add<V>(y, nullptr, true, rows, k);
    else add<1>(y, nullptr, true, rows, k);
}

template <int W, bool MASKED>
__device__ __forceinline__ void partial_sums(const Stored* __restrict__ x, const Stored* __restrict__ y, Stored* __restrict__ g,
                                             Wide* partial, long long rows, long long k, Wide* shared) {
    Place<W> at(k);
    bool x_at_once = aligned(x), y_at_once = aligned(y), g_at_once = aligned(g);
    Wide total[W] = {}, v[W], mask[W];
    if (at.inside)
        for (long long r = at.row; r < rows; r += at.step) {
            long long place = r * k + at.column;
            load<W>(x + place, x_at_once, v);
            if (MASKED) {
                load<W>(y + place, y_at_once, mask);
#pragma unroll
                for (int j = 0; j < W; j++) v[j] = mask[j] > 0 ? v[j] : 0;
                save<W>(g + place, g_at_once, v);
            }
#pragma unroll
            for (int j = 0; j < W; j++) total[j] += v[j];
        }
    add_up<W>(total, shared);
    if (threadIdx.y == 0 && at.inside)
#pragma unroll
        for (int j = 0; j < W; j++) partial[blockIdx.y * k + at.column + j] = total[j];
}

// partial[b,k] = Σ of x[m,k] over the rows m of block b.
extern "C" __global__ void __launch_bounds__(THREADS) channel_sums(const Stored* x, Wide* partial, long long rows, long long k) {
    __shared__ Wide shared[V * THREADS];
    if (k % V == 0) partial_sums<V, false>(x, nullptr, nullptr, partial, rows, k, shared);
    else partial_sums<1, false>(x, nullptr, nullptr, partial, rows, k, shared);
}

// g = gy where y > 0, else 0; partial[b,k] = Σ of g[m,k] over the rows m of block b.
extern "C" __global__ void __launch_bounds__(THREADS) masked_sums(
    const Stored* gy, const Stored* y, Stored* g, Wide* partial, long long rows, long long k) {
    __shared__ Wide shared[V * THREADS];
    if (k % V == 0) partial_sums<V, true>(gy, y, g, partial, rows, k, shared);
    else partial_sums<1, true>(gy, y, g, partial, rows, k, shared);
}

// Σ_b partial[b,k] of column k, for the thread at y = 0.
__device__ __forceinline__ Wide sum_of_column(const Wide* partial, long long blocks, long long k, Wide* shared) {
    Place<1> at(k);
    Wide total[1] = {};
    if (at.inside)
        for (long long b = threadIdx.y; b < blocks; b += blockDim.y) total[0] += partial[b * k + at.column];
    add_up<1>(total, shared);
    return total[0];
}

// out[k] = Σ_b partial[b,k].
extern "C" __global__ void __launch_bounds__(THREADS) finish_sums(const Wide* partial, Wide* out, long long blocks, long long k) {
    __shared__ Wide shared[THREADS];
    Wide total = sum_of_column(partial, blocks, k, shared);
    Place<1> at(k);
    if (threadIdx.y == 0 && at.inside) out[at.column] = total;
}

// The same, rounded to the type of the rows.
extern "C" __global__ void __launch_bounds__(THREADS) finish_stored_sums(const Wide* partial, Stored* out, long long blocks, long long k) {
    __shared__ Wide shared[THREADS];
    Wide total = sum_of_column(partial, blocks, k, shared);
    Place<1> at(k);
    if (threadIdx.y == 0 && at.inside) out[at.column] = stored(total);
}
