// Batch norm of rows (pixels) of K channels, with and without the rectifier behind it: `moments` reads x; `batch_norm` reads x and
// writes y. 2 reads and 1 write.
//
// Moments. A thread adds up d = x − x₀ and d², where x₀ is the first number it sees: since x₀ is one of the numbers, d is as small as
// their spread, and Σd² − (Σd)²/n loses no more than a few bits. Then it has n, M = Σ(x − μ)², and μ as the distance from the channel's
// first number of all, x₀ − o + Σd/n, since a mean far from zero would be rounded before it is compared. Two such triples join exactly
// (Chan, Golub & LeVeque 1983): with n = n₁ + n₂ and δ = μ₂ − μ₁,
//     μ = μ₁ + δ·n₂/n,   M = M₁ + M₂ + δ²·n₁·n₂/n
// as a tree within the block, and once more, in a second kernel, over the blocks. The order depends on the sizes only.
#include "batch_norm.cuh"

struct Moments {
    Wide count, mean, squares;
};

__device__ __forceinline__ Moments join(Moments a, Moments b) {
    if (b.count == 0) return a;
    if (a.count == 0) return b;
    Moments both;
    both.count = a.count + b.count;
    Wide share = b.count / both.count, apart = b.mean - a.mean;
    both.mean = a.mean + apart * share;
    both.squares = a.squares + b.squares + apart * apart * (a.count * share);
    return both;
}

// Joins the moments of a block's threads of one column; the thread at y = 0 has them. `shared` has (1 + 2·W)·THREADS numbers.
template <int W> __device__ __forceinline__ void join_all(Wide& count, Wide* mean, Wide* squares, Wide* shared) {
    Wide *counts = shared, *means = shared + THREADS, *all_squares = shared + (1 + W) * THREADS;
    int t = threadIdx.y * blockDim.x + threadIdx.x;
    counts[t] = count;
#pragma unroll
    for (int j = 0; j < W; j++) {
        means[j * THREADS + t] = mean[j];
        all_squares[j * THREADS + t] = squares[j];
    }
    for (int half = blockDim.y / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.y < half) {
            int u = t + half * blockDim.x;
            Moments both;
#pragma unroll
            for (int j = 0; j < W; j++) {
                int p = j * THREADS;
                both = join({counts[t], means[p + t], all_squares[p + t]}, {counts[u], means[p + u], all_squares[p + u]});
                means[p + t] = both.mean;
                all_squares[p + t] = both.squares;
            }
            counts[t] += counts[u];
        }
    }
    count = counts[t];
#pragma unroll
    for (int j = 0; j < W; j++) {
        mean[j] = means[j * THREADS + t];
        squares[j] = all_squares[j * THREADS + t];
    }
}

template <int W> __device__ __forceinline__ void partial_moments(const Stored* x, Wide* partial, long long rows, long long k, Wide* shared) {
    Place<W> at(k);
    bool at_once = aligned(x);
    Wide first[W] = {}, sum[W] = {}, squares[W] = {}, v[W], count = 0;
    if (at.inside && at.row < rows) {
        load<W>(x + at.row * k + at.column, at_once, first);
        for (long long r = at.row; r < rows; r += at.step) {
            load<W>(x + r * k + at.column, at_once, v);
#pragma unroll
            for (int j = 0; j < W; j++) {
                Wide d = v[j] - first[j];
                sum[j] += d;
                squares[j] += d * d;
            }
        }
        count = (Wide)((rows - at.row - 1) / at.step + 1);
#pragma unroll
        for (int j = 0; j < W; j++) {
            Wide mean = sum[j] / count;
            squares[j] -= sum[j] * mean;
            squares[j] = squares[j] < 0 ? 0 : squares[j];
            first[j] = first[j] - wide(x[at.column + j]) + mean;
        }
    }
    join_all<W>(count, first, squares, shared);
    if (threadIdx.y == 0 && at.inside)
#pragma unroll
        for (int j = 0; j < W; j++) {
            partial[2 * blockIdx.y * k + at.column + j] = first[j];
            partial[(2 * blockIdx.y + 1) * k + at.column + j] = squares[j];
        }
}

// Of the rows of block b, partial[b,0,k] = mean − x[0,k] and partial[b,1,k] = Σ(x − mean)².
extern "C" __global__ void __launch_bounds__(THREADS) moments(const Stored* x, Wide* partial, long long rows, long long k) {
    __shared__ Wide shared[(1 + 2 * V) * THREADS];
    if (k % V == 0) partial_moments<V>(x, partial, rows, k, shared);
    else partial_moments<1>(x, partial, rows, k, shared);
}

// Mean and biased variance of all rows. `high` is the height of the blocks that wrote `partial`: block b took the rows
// b·high … b·high + high − 1, and all those that are a multiple of blocks·high further on.
extern "C" __global__ void __launch_bounds__(THREADS) finish_moments(
    const Wide* partial, const Stored* x, Wide* mean, Wide* variance, long long blocks, long long high, long long rows, long long k) {
    __shared__ Wide shared[3 * THREADS];
    Place<1> at(k);
    Moments all = {0, 0, 0};
    long long rounds = rows / (blocks * high), left = rows % (blocks * high);
    if (at.inside)
        for (long long b = threadIdx.y; b < blocks; b += blockDim.y) {
            long long count = rounds * high + min(max(left - b * high, 0ll), high);
            all = join(all, {(Wide)count, partial[2 * b * k + at.column], partial[(2 * b + 1) * k + at.column]});
        }
    join_all<1>(all.count, &all.mean, &all.squares, shared);
    if (threadIdx.y == 0 && at.inside) {
        mean[at.column] = wide(x[at.column]) + all.mean;
        variance[at.column] = all.squares / (Wide)rows;
    }
}

template <int W>
__device__ __forceinline__ void normalise(const Stored* __restrict__ x, const Wide* mean, const Wide* variance, const Wide* gamma,
                                          const Wide* beta, Stored* __restrict__ y, double eps, bool relu, long long rows, long long k) {
    Place<W> at(k);
    if (!at.inside) return;
    bool x_at_once = aligned(x), y_at_once = aligned(y);
    Wide centre[W], scale[W], shift[W], v[W];
#pragma unroll
    for (int j = 0; j < W; j++) {
        int c = at.column + j;
        centre[j] = mean[c];
        scale[j] = gamma[c] / deviation(variance[c], eps);
        shift[j] = beta[c];
    }
    for (long long r = at.row; r < rows; r += at.step) {
        load<W>(x + r * k + at.column, x_at_once, v);
#pragma unroll
        for (int j = 0; j < W; j++) {
            v[j] = normed(v[j] - centre[j], scale[j], shift[j]);
            if (relu) v[j] = v[j] < 0 ? 0 : v[j];
        }
        save<W>(y + r * k + at.column, y_at_once, v);
    }
}

// y = γ·(x − mean)/√(variance + ε) + β, and no less than 0 if `relu`.
extern "C" __global__ void __launch_bounds__(THREADS) batch_norm(
    const Stored* x, const Wide* mean, const Wide* variance, const Wide* gamma, const Wide* beta, Stored* y, double eps, bool relu,
    long long rows, long long k) {
    if (k % V == 0) normalise<V>(x, mean, variance, gamma, beta, y, eps, relu, rows, k);
    else normalise<1>(x, mean, variance, gamma, beta, y, eps, relu, rows, k);
}

template <int W>
__device__ __forceinline__ void scale_and_shift(const Stored* __restrict__ x, const Wide* a, const Wide* b, Stored* __restrict__ y,
                                                long long rows, long long k) {
    Place<W> at(k);
    if (!at.inside) return;
    bool x_at_once = aligned(x), y_at_once = aligned(y);
    Wide scale[W], shift[W], v[W];
#pragma unroll
    for (int j = 0; j < W; j++) scale[j] = a[at.column + j], shift[j] = b[at.column + j];
    for (long long r = at.row; r < rows; r += at.step) {
        load<W>(x + r * k + at.column, x_at_once, v);
#pragma unroll
        for (int j = 0; j < W; j++) v[j] = plus(times(v[j], scale[j]), shift[j]);
        save<W>(y + r * k + at.column, y_at_once, v);
    }
}

// y = a·x + b.
extern "C" __global__ void __launch_bounds__(THREADS) channel_affine(
    const Stored* x, const Wide* a, const Wide* b, Stored* y, long long rows, long long k) {
    if (k % V == 0) scale_and_shift<V>(x, a, b, y, rows, k);
    else scale_and_shift<1>(x, a, b, y, rows, k);
}

// running ← keep·running + momentum·batch, the variance times `unbiased`, and one batch more was seen: products and sums are rounded one by
// one, as the layer's own code rounds them. Six arrays of K numbers, which would take eight launches one by one.
extern "C" __global__ void __launch_bounds__(THREADS) track(
    const Wide* mean, const Wide* variance, Wide* running_mean, Wide* running_variance, long long* batches, double momentum, double keep,
    double unbiased, long long k) {
    long long i = first();
    if (i == 0) *batches += 1;
    if (i >= k) return;
    running_mean[i] = plus(times(running_mean[i], (Wide)keep), times((Wide)momentum, mean[i]));
    running_variance[i] = plus(times(running_variance[i], (Wide)keep), times((Wide)momentum, times(variance[i], (Wide)unbiased)));
}
