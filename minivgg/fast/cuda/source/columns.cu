// im2col and its transpose, for images stored channels-last, and any geometry. Both are gathers: each number is written once.
//
//   columns (N·P·Q, R·S·C)    columns[(n,p,q), (r,s,c)] = x̃[n, p·stride + r·dilation, q·stride + s·dilation, c]
//
// A thread takes one pixel of the result, that is a window or an image's pixel, and one vector of channels, and goes through all taps, so that
// the divisions that find its place are shared by R·S vectors. Neighbouring threads take neighbouring channels: with 16 bytes a thread,
// 64 channels of float32 are two full lines of 128 bytes per tap.
//
// Bytes  gather: writes R·S·C numbers a window, reads them mostly from the caches, from memory about C.
//        add: reads R·S·C numbers a window, writes C numbers a pixel.
#include "numbers.cuh"

struct Shape {  // of one convolution: see Problem
    long long h, w, c, p, q, r, s, stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w;
};

// Neighbouring numbers that are moved at once.
template <int COUNT> struct alignas(COUNT * sizeof(Stored)) Pack { Stored value[COUNT]; };

template <int COUNT> __device__ __forceinline__ void gather(const Stored* x, Stored* columns, long long windows, const Shape& g) {
    typedef Pack<COUNT> Vector;
    const Vector* from = (const Vector*)x;
    Vector* to = (Vector*)columns;
    Vector zero;
    for (int e = 0; e < COUNT; e++) zero.value[e] = stored(0);
    const long long vectors = g.c / COUNT;
    for (long long i = first(); i < windows * vectors; i += all()) {
        long long v = i % vectors, window = i / vectors, q = window % g.q, p = window / g.q % g.p, n = window / g.q / g.p;
        Vector* out = to + window * g.r * g.s * vectors + v;
        for (long long r = 0; r < g.r; r++) {
            long long y = p * g.stride_h - g.padding_h + r * g.dilation_h;
            for (long long s = 0; s < g.s; s++, out += vectors) {
                long long z = q * g.stride_w - g.padding_w + s * g.dilation_w;
                bool inside = y >= 0 && y < g.h && z >= 0 && z < g.w;
                *out = inside ? from[((n * g.h + y) * g.w + z) * vectors + v] : zero;
            }
        }
    }
}

// gx[n, i, j, c] = the sum of all columns that were read there, taps in their order, in wide numbers.
template <int COUNT> __device__ __forceinline__ void add(const Stored* columns, Stored* gx, long long pixels, const Shape& g) {
    typedef Pack<COUNT> Vector;
    const Vector* from = (const Vector*)columns;
    Vector* to = (Vector*)gx;
    const long long vectors = g.c / COUNT;
    for (long long i = first(); i < pixels * vectors; i += all()) {
        long long v = i % vectors, pixel = i / vectors, x = pixel % g.w, y = pixel / g.w % g.h, n = pixel / g.w / g.h;
        Wide sum[COUNT];
        for (int e = 0; e < COUNT; e++) sum[e] = 0;
        for (long long r = 0; r < g.r; r++) {
            long long down = y + g.padding_h - r * g.dilation_h, p = down / g.stride_h;
            if (down < 0 || p >= g.p || p * g.stride_h != down) continue;
            for (long long s = 0; s < g.s; s++) {
                long long across = x + g.padding_w - s * g.dilation_w, q = across / g.stride_w;
                if (across < 0 || q >= g.q || q * g.stride_w != across) continue;
                Vector part = from[((((n * g.p + p) * g.q + q) * g.r + r) * g.s + s) * vectors + v];
                for (int e = 0; e < COUNT; e++) sum[e] += wide(part.value[e]);
            }
        }
        Vector out;
        for (int e = 0; e < COUNT; e++) out.value[e] = stored(sum[e]);
        to[i] = out;
    }
}

#define SHAPE                                                                                                                       \
    long long h, long long w, long long c, long long p, long long q, long long r, long long s, long long stride_h, long long stride_w, \
        long long padding_h, long long padding_w, long long dilation_h, long long dilation_w
#define GIVEN Shape{h, w, c, p, q, r, s, stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w}
const int FULL = 16 / sizeof(Stored);

extern "C" __global__ void columns_gather(const Stored* x, Stored* columns, long long windows, SHAPE) { gather<1>(x, columns, windows, GIVEN); }

// C a multiple of FULL, addresses of 16.
extern "C" __global__ void columns_gather_packed(const Stored* x, Stored* columns, long long windows, SHAPE) {
    gather<FULL>(x, columns, windows, GIVEN);
}

extern "C" __global__ void columns_add(const Stored* columns, Stored* gx, long long pixels, SHAPE) { add<1>(columns, gx, pixels, GIVEN); }

extern "C" __global__ void columns_add_packed(const Stored* columns, Stored* gx, long long pixels, SHAPE) {
    add<FULL>(columns, gx, pixels, GIVEN);
}
