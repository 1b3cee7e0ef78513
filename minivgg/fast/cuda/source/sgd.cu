// SGD with momentum, a group's parameters in one launch, up to 120: rows are (w, g, v), or (w, g, null) without momentum.
//
// Bytes an element, in float32: w, g and v are read, w and v are written, 20; without momentum 12. The gradients lie where the sweep left
// them: gathering them into one buffer first would move 8 more. For the 138 million parameters of VGG-16 this is 2.8 GB.
//
// Products and sums are rounded one by one, in the order of the NumPy code, and never contracted into fused multiply-adds: the result has
// its bits.
#define COLUMNS 3
#include "table.cuh"

__device__ __forceinline__ float times(float a, float b) { return __fmul_rn(a, b); }
__device__ __forceinline__ float plus(float a, float b) { return __fadd_rn(a, b); }
__device__ __forceinline__ double times(double a, double b) { return __dmul_rn(a, b); }
__device__ __forceinline__ double plus(double a, double b) { return __dadd_rn(a, b); }

// guard: null, or where *guard is false nothing changes; scale: null, or gradients are divided by *scale.
extern "C" __global__ void sgd(const table_t table, const bool* guard, const float* scale, double lr, double momentum, double weight_decay,
                               bool nesterov, bool torch) {
    if (guard && !*guard) return;
    const Wide eta = (Wide)lr, mu = (Wide)momentum, decay = (Wide)weight_decay, divisor = scale ? (Wide)*scale : 1;
    for_each_tile(table, [&](int row, long long from, long long to) {
        Stored* __restrict__ w = table.address[0][row];
        const Stored* __restrict__ g = table.address[1][row];
        Stored* __restrict__ v = table.address[2][row];
        #pragma unroll 4
        for (long long i = from + threadIdx.x; i < to; i += blockDim.x) {
            Wide gradient = wide(g[i]);
            if (scale) gradient = gradient / divisor;
            if (decay != 0) gradient = plus(gradient, times(decay, wide(w[i])));
            Wide move = torch ? gradient : times(-eta, gradient);
            if (v) {
                Wide velocity = plus(times(wide(v[i]), mu), move);
                v[i] = stored(velocity);
                move = nesterov ? plus(move, times(mu, velocity)) : velocity;
            }
            w[i] = stored(plus(wide(w[i]), torch ? -times(eta, move) : move));
        }
    });
}
