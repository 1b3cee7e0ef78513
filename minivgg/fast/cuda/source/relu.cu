// The rectifier and its gradient, element by element, 16 bytes at a time: one read and one write, two reads and one write.
#include "rows.cuh"

template <int W, bool GRADIENT>
__device__ __forceinline__ void rectify(const Stored* x, const Stored* mask, Stored* out, long long from, long long to, bool at_once) {
    Wide v[W], m[W];
    for (long long i = from + first() * W; i < to; i += all() * W) {
        load<W>(x + i, at_once, v);
        load<W>(mask + i, at_once, m);
#pragma unroll
        for (int j = 0; j < W; j++) v[j] = (GRADIENT ? m[j] > 0 : !(m[j] < 0)) ? v[j] : 0;
        save<W>(out + i, at_once, v);
    }
}

// y = max(x, 0); a NaN goes through.
extern "C" __global__ void __launch_bounds__(THREADS) relu(const Stored* x, Stored* y, long long count) {
    bool at_once = aligned(x) && aligned(y);
    rectify<V, false>(x, x, y, 0, count / V * V, at_once);
    rectify<1, false>(x, x, y, count / V * V, count, false);
}

// gx = gy where y > 0, else 0.
extern "C" __global__ void __launch_bounds__(THREADS) relu_gradient(const Stored* gy, const Stored* y, Stored* gx, long long count) {
    bool at_once = aligned(gy) && aligned(y) && aligned(gx);
    rectify<V, true>(gy, y, gx, 0, count / V * V, at_once);
    rectify<1, true>(gy, y, gx, count / V * V, count, false);
}
