// 2×2 max pooling with stride 2, channels-last: forwards each number is read once; backwards each is written once, as a gather.
//
// A thread takes a window of W channels, 16 bytes where C allows; neighbouring threads take neighbouring channels, then the next
// window of the row. Bytes of a 4-byte image number: 4 read for 1 + ¼ written, and on the way back 1 + ¼ read for 4 written.
#include "rows.cuh"

// Rows of windows are shared among blocks along y, a row's windows and channels among threads along x.
#define FOR_EACH_WINDOW(rows, columns)                                          \
    for (unsigned row = blockIdx.y; row < (rows); row += gridDim.y)             \
        for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < (columns); i += gridDim.x * blockDim.x)

// Which tap won, of W neighbouring windows: stored at once too.
template <int W> struct alignas(W) Taps {
    unsigned char of[W];
};

template <int W> __device__ __forceinline__ Taps<W> load_taps(const unsigned char* p) {
    if ((unsigned long long)p % W == 0) return *(const Taps<W>*)p;
    Taps<W> taps;
#pragma unroll
    for (int j = 0; j < W; j++) taps.of[j] = p[j];
    return taps;
}

template <int W>
__device__ __forceinline__ void largest(const Stored* __restrict__ x, Stored* __restrict__ y, unsigned char* __restrict__ winners,
                                        long long n, long long h, long long w, long long c) {
    bool x_at_once = aligned(x), y_at_once = aligned(y);
    unsigned p = (unsigned)(h / 2), q = (unsigned)(w / 2), parts = (unsigned)(c / W);
    FOR_EACH_WINDOW((unsigned)n * p, q * parts) {
        unsigned column = i / parts, channel = i % parts * W;
        long long image = row / p, line = row % p;
        const Stored* corner = x + ((image * h + 2 * line) * w + 2 * column) * c + channel;
        Wide best[W], v[W];
        Taps<W> winner = {};
        load<W>(corner, x_at_once, best);
#pragma unroll
        for (int tap = 1; tap < 4; tap++) {
            load<W>(corner + (tap / 2 * w + tap % 2) * c, x_at_once, v);
#pragma unroll
            for (int j = 0; j < W; j++)
                if (v[j] > best[j] || v[j] != v[j]) {  // so the first wins a tie, and a NaN stays: nothing is larger
                    best[j] = v[j];
                    winner.of[j] = tap;
                }
        }
        long long place = ((long long)row * q + column) * c + channel;
        save<W>(y + place, y_at_once, best);
#pragma unroll
        for (int j = 0; j < W; j++) winner.of[j] = best[j] == best[j] ? winner.of[j] : 0;  // of a NaN the first tap, as in the op
        *(Taps<W>*)(winners + place) = winner;
    }
}

// y (N, P, Q, C) of x (N, H, W, C), P = H/2, Q = W/2, and which tap of each window won, 0 … 3.
// These begin at a multiple of 8 bytes.
extern "C" __global__ void __launch_bounds__(THREADS) max_pool2d(
    const Stored* x, Stored* y, unsigned char* winners, long long n, long long h, long long w, long long c) {
    if (c % V == 0) largest<V>(x, y, winners, n, h, w, c);
    else largest<1>(x, y, winners, n, h, w, c);
}

template <int W>
__device__ __forceinline__ void put_back(const Stored* __restrict__ u, const unsigned char* __restrict__ winners, Stored* __restrict__ y,
                                         long long n, long long h, long long w, long long c) {
    bool u_at_once = aligned(u), y_at_once = aligned(y);
    unsigned p = (unsigned)(h / 2), q = (unsigned)(w / 2), lines = (unsigned)((h + 1) / 2), columns = (unsigned)((w + 1) / 2);
    unsigned parts = (unsigned)(c / W);
    FOR_EACH_WINDOW((unsigned)n * lines, columns * parts) {
        unsigned column = i / parts, channel = i % parts * W;
        long long image = row / lines, line = row % lines;
        bool whole = line < p && column < q;  // else it is half a window, at an odd edge: zeros
        Wide value[W] = {}, out[W];
        Taps<W> winner = {};
        if (whole) {
            long long place = ((image * p + line) * q + column) * c + channel;
            load<W>(u + place, u_at_once, value);
            winner = load_taps<W>(winners + place);
        }
#pragma unroll
        for (int tap = 0; tap < 4; tap++) {
            long long r = 2 * line + tap / 2, s = 2 * (long long)column + tap % 2;
            if (r < h && s < w) {
#pragma unroll
                for (int j = 0; j < W; j++) out[j] = value[j] * (Wide)(winner.of[j] == tap);  // the op's product: NaN·0 is NaN
                save<W>(y + ((image * h + r) * w + s) * c + channel, y_at_once, out);
            }
        }
    }
}

// y (N, H, W, C): u (N, P, Q, C) where the winners are, zero elsewhere.
extern "C" __global__ void __launch_bounds__(THREADS) pool_scatter(
    const Stored* u, const unsigned char* winners, Stored* y, long long n, long long h, long long w, long long c) {
    if (c % V == 0) put_back<V>(u, winners, y, n, h, w, c);
    else put_back<1>(u, winners, y, n, h, w, c);
}
