// The gradients of batch norm, with and without the rectifier behind it: `gradient_sums` reads x and gy; `input_gradient` reads both
// again and writes gx. 4 reads and 1 write: the rectifier costs none, since its mask is computed anew from x.
//
// With d = x − μ, s = √(σ² + ε), a = γ/s, and g = gy or, behind the rectifier, gy where a·d + β > 0:
//     gβ = Σ g,   gγ = Σ g·d / s,   gx = a·(g − gβ/m − d·gγ/(s·m)),   m rows
#include "batch_norm.cuh"

// What a thread knows of its channels: μ, and a and β, which without the rectifier the sums do not need.
template <int W> struct Channels {
    Wide mean[W], scale[W], shift[W];
    bool relu;

    __device__ Channels(int column, const Wide* means, const Wide* variance, const Wide* gamma, const Wide* beta, double eps, bool relu,
                        bool scaled)
        : relu(relu) {
#pragma unroll
        for (int j = 0; j < W; j++) {
            int c = column + j;
            mean[j] = means[c];
            scale[j] = scaled ? gamma[c] / deviation(variance[c], eps) : 0;
            shift[j] = relu ? beta[c] : 0;
        }
    }

    // d = x − μ and g, of W neighbours.
    __device__ void read(const Stored* x, const Stored* gy, bool x_at_once, bool gy_at_once, Wide* d, Wide* g) const {
        load<W>(x, x_at_once, d);
        load<W>(gy, gy_at_once, g);
#pragma unroll
        for (int j = 0; j < W; j++) {
            d[j] -= mean[j];
            if (relu) g[j] = normed(d[j], scale[j], shift[j]) > 0 ? g[j] : 0;
        }
    }
};

template <int W>
__device__ __forceinline__ void partial_sums(const Stored* x, const Stored* gy, const Wide* mean, const Wide* variance, const Wide* gamma,
                                             const Wide* beta, Wide* partial, double eps, bool relu, long long rows, long long k,
                                             Wide* shared) {
    Place<W> at(k);
    Wide total[2 * W] = {}, d[W], g[W];
    if (at.inside) {
        Channels<W> channels(at.column, mean, variance, gamma, beta, eps, relu, relu);
        bool x_at_once = aligned(x), gy_at_once = aligned(gy);
        for (long long r = at.row; r < rows; r += at.step) {
            long long place = r * k + at.column;
            channels.read(x + place, gy + place, x_at_once, gy_at_once, d, g);
#pragma unroll
            for (int j = 0; j < W; j++) {
                total[j] += g[j];
                total[W + j] += g[j] * d[j];
            }
        }
    }
    add_up<2 * W>(total, shared);
    if (threadIdx.y == 0 && at.inside)
#pragma unroll
        for (int j = 0; j < W; j++) {
            partial[2 * blockIdx.y * k + at.column + j] = total[j];
            partial[(2 * blockIdx.y + 1) * k + at.column + j] = total[W + j];
        }
}

// partial[b,0,k] = Σ g and partial[b,1,k] = Σ g·d over the rows of block b. Without `relu` only x, gy and mean are read.
extern "C" __global__ void __launch_bounds__(THREADS) gradient_sums(
    const Stored* x, const Stored* gy, const Wide* mean, const Wide* variance, const Wide* gamma, const Wide* beta, Wide* partial,
    double eps, bool relu, long long rows, long long k) {
    __shared__ Wide shared[2 * V * THREADS];
    if (k % V == 0) partial_sums<V>(x, gy, mean, variance, gamma, beta, partial, eps, relu, rows, k, shared);
    else partial_sums<1>(x, gy, mean, variance, gamma, beta, partial, eps, relu, rows, k, shared);
}

// gβ = Σ_b partial[b,0] and gγ = Σ_b partial[b,1] / s; and what input_gradient needs of them, terms[0,k] = gβ/m and
// terms[1,k] = gγ/(s·m).
extern "C" __global__ void __launch_bounds__(THREADS) finish_gradient_sums(
    const Wide* partial, const Wide* variance, Wide* ggamma, Wide* gbeta, Wide* terms, double eps, long long blocks, long long rows,
    long long k) {
    __shared__ Wide shared[2 * THREADS];
    Place<1> at(k);
    Wide total[2] = {};
    if (at.inside)
        for (long long b = threadIdx.y; b < blocks; b += blockDim.y) {
            total[0] += partial[2 * b * k + at.column];
            total[1] += partial[(2 * b + 1) * k + at.column];
        }
    add_up<2>(total, shared);
    if (threadIdx.y == 0 && at.inside) {
        Wide s = deviation(variance[at.column], eps), along_normal = total[1] / s;
        gbeta[at.column] = total[0];
        ggamma[at.column] = along_normal;
        terms[at.column] = total[0] / (Wide)rows;
        terms[k + at.column] = along_normal / s / (Wide)rows;
    }
}

template <int W>
__device__ __forceinline__ void combine(const Stored* __restrict__ x, const Stored* __restrict__ gy, const Wide* mean, const Wide* variance,
                                        const Wide* gamma, const Wide* beta, const Wide* terms, Stored* __restrict__ gx, double eps,
                                        bool relu, long long rows, long long k) {
    Place<W> at(k);
    if (!at.inside) return;
    Channels<W> channels(at.column, mean, variance, gamma, beta, eps, relu, true);
    bool x_at_once = aligned(x), gy_at_once = aligned(gy), gx_at_once = aligned(gx);
    Wide along_one[W], along_d[W], d[W], g[W];
#pragma unroll
    for (int j = 0; j < W; j++) {
        along_one[j] = terms[at.column + j];
        along_d[j] = terms[k + at.column + j];
    }
    for (long long r = at.row; r < rows; r += at.step) {
        long long place = r * k + at.column;
        channels.read(x + place, gy + place, x_at_once, gy_at_once, d, g);
#pragma unroll
        for (int j = 0; j < W; j++) g[j] = channels.scale[j] * (g[j] - along_one[j] - d[j] * along_d[j]);
        save<W>(gx + place, gx_at_once, g);
    }
}

// gx, with the terms that finish_gradient_sums found.
extern "C" __global__ void __launch_bounds__(THREADS) input_gradient(
    const Stored* x, const Stored* gy, const Wide* mean, const Wide* variance, const Wide* gamma, const Wide* beta, const Wide* terms,
    Stored* gx, double eps, bool relu, long long rows, long long k) {
    if (k % V == 0) combine<V>(x, gy, mean, variance, gamma, beta, terms, gx, eps, relu, rows, k);
    else combine<1>(x, gy, mean, variance, gamma, beta, terms, gx, eps, relu, rows, k);
}
