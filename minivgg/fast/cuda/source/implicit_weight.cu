// The filters' gradient of a 3×3 convolution of stride 1 on the tensor cores, without columns:
// gw (3, 3, C, K) = Σ over pixels m = (n, p, q) of x̃[m + (r, s), c] · gy[m, k], x̃ is x with zeros around it.
//
// As a product it has 9·C rows, K columns and a sum over millions of pixels. One block owns 32 channels, all nine taps, and 64 filters, 288×64
// sums, of some of the tiles of 8×ROWS pixels (ROWS: 4 for floats, 8 for halves). A tile's halo of x and its gy are brought to shared memory,
// two tiles deep: one is copied while the other is computed. The pixels are divided among `parts` blocks, by the shapes alone; each writes
// its sums for itself, and `sum_parts` adds them in order. So the same bits come out every time, on every card.
//
// Six warps, 3×2: each owns one row of taps r and 32 filters, 6×4 products of 16×8, so 96 sums a thread. In a step of 8 pixels (16 in half) it loads
// 6 fragments of A, stored by columns, and 4 of B: 4 KB for 96·32·8 multiply-adds, 0.17 bytes each; in half 0.08. Shared memory would
// allow 770 a cycle and multiprocessor, in half 1540: more than the products take, 610 and 1230.
//
// Traffic of a tile of 32 pixels of floats: 60·32 of x, 32·64 of gy, 15.9 KB for 590,000 multiply-adds. For conv1_2 of VGG-16 at batch 64 (237 GFLOP in
// TF32): from the L2 cache 3.2 GB, 0.6 ms at 5.5 TB/s; memory 1.64 GB, 0.38 ms; products 0.8 ms at 300 TFLOP/s. Expect 1.0-1.3 ms, in half 0.6.
// None was measured.
//
// Shared memory: 2·(60·160 + 32·288) bytes = 37.6 KB for floats, 2·(100·80 + 64·144) = 34.4 KB for halves; at most 170 registers: two blocks a
// multiprocessor. Banks: a pixel of x is padded from 32 to 40 numbers, one of gy from 64 to 72: 8 more than a multiple of 32 words for
// floats, 4 more than one for pairs of halves, which is what the loads of fragments want.
#include "numbers.cuh"
#include "mma.cuh"

const int VECTOR = 16 / sizeof(Stored), STEP = 2 * VECTOR;  // pixels of a product instruction: 8 or 16
const int ROWS = VECTOR, COLUMNS = 8, HALO = COLUMNS + 2, CHANNELS = 32, FILTERS = 64, PIXEL = CHANNELS + 8, GRADIENT = FILTERS + 8, THREADS = 192;

struct alignas(16) Tile {
    Stored x[(ROWS + 2) * HALO * PIXEL];
    Stored gy[ROWS * COLUMNS * GRADIENT];
};

// 16 channels of 8 or 16 neighbouring pixels as an A: rows are channels, columns pixels; pixel i of the second row of 8 is `down` numbers further.
__device__ __forceinline__ void load_a(unsigned (&a)[4], const float* from, int down, int lane) {
#pragma unroll
    for (int i = 0; i < 4; i++) a[i] = to_tf32(__float_as_uint(from[(lane % 4 + i / 2 * 4) * PIXEL + lane / 4 + i % 2 * 8]));
}
template <class Half> __device__ __forceinline__ void load_a(unsigned (&a)[4], const Half* from, int down, int lane) {
    load_four_transposed(a, from + lane / 16 * down + lane % 8 * PIXEL + lane / 8 % 2 * 8);
}

extern "C" __global__ void __launch_bounds__(192, 2)
    implicit_weight(const Stored* images, const Stored* gradients, float* sums_of_parts, long long n_, long long height_, long long width_, long long c_,
                    long long p_, long long q_, long long k_, long long top, long long left) {
    __shared__ Tile tiles[2];
    const int height = (int)height_, width = (int)width_, channels = (int)c_, p = (int)p_, q = (int)q_, k = (int)k_;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int sorts = (k + FILTERS - 1) / FILTERS, c0 = blockIdx.y / sorts * CHANNELS, k0 = blockIdx.y % sorts * FILTERS;
    const int across = (q + COLUMNS - 1) / COLUMNS, down = (p + ROWS - 1) / ROWS;
    const long long count = n_ * down * across;
    const int begin = (int)(count * blockIdx.x / gridDim.x), end = (int)(count * (blockIdx.x + 1) / gridDim.x);

    auto copy = [&](Tile& tile, int number) {
        const int x0 = number % across * COLUMNS, y0 = number / across % down * ROWS;
        const long long n = number / across / down;
        const Stored* image = images + n * height * width * channels;
        const Stored* gradient = gradients + n * p * q * k;
        for (int i = threadIdx.x; i < (ROWS + 2) * HALO * (CHANNELS / VECTOR); i += THREADS) {
            int pixel = i / (CHANNELS / VECTOR), channel = i % (CHANNELS / VECTOR) * VECTOR;
            int row = y0 - (int)top + pixel / HALO, column = x0 - (int)left + pixel % HALO;
            bool there = (unsigned)row < height && (unsigned)column < width && c0 + channel < channels;
            copy_async(tile.x + pixel * PIXEL + channel, image + (there ? (row * width + column) * channels + c0 + channel : 0), there);
        }
        for (int i = threadIdx.x; i < ROWS * COLUMNS * (FILTERS / VECTOR); i += THREADS) {
            int pixel = i / (FILTERS / VECTOR), filter = i % (FILTERS / VECTOR) * VECTOR;
            int row = y0 + pixel / COLUMNS, column = x0 + pixel % COLUMNS;
            bool there = row < p && column < q && k0 + filter < k;
            copy_async(tile.gy + pixel * GRADIENT + filter, gradient + (there ? (row * q + column) * k + k0 + filter : 0), there);
        }
        copy_commit();
    };

    const int r = warp / 2, first_filter = warp % 2 * 32;
    float sums[3][2][4][4] = {};
    if (begin < end) copy(tiles[0], begin);
    for (int number = begin; number < end; number++) {
        const Tile& tile = tiles[(number - begin) % 2];
        copy_wait<0>();   // this tile is there ...
        __syncthreads();  // ... from all threads, and nobody reads the other any longer
        if (number + 1 < end) copy(tiles[(number - begin + 1) % 2], number + 1);
#pragma unroll 1  // unrolled it would want more registers than there are
        for (int first = 0; first < ROWS * COLUMNS; first += STEP) {
            const Stored* x = tile.x + (first / COLUMNS + r) * HALO * PIXEL;
            unsigned b[4][2];
            load_b(b, tile.gy + first * GRADIENT + first_filter, GRADIENT, lane);
#pragma unroll
            for (int s = 0; s < 3; s++)
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    unsigned a[4];
                    load_a(a, x + s * PIXEL + half * 16, HALO * PIXEL, lane);
#pragma unroll
                    for (int j = 0; j < 4; j++) multiply(sums[s][half][j], a, b[j], Stored());
                }
        }
    }

    float* part = sums_of_parts + (long long)blockIdx.x * 9 * channels * k;
#pragma unroll
    for (int s = 0; s < 3; s++)
#pragma unroll
        for (int half = 0; half < 2; half++)
#pragma unroll
            for (int j = 0; j < 4; j++)
#pragma unroll
                for (int e = 0; e < 4; e += 2) {
                    int channel = c0 + half * 16 + lane / 4 + e / 2 * 8, filter = k0 + first_filter + 8 * j + lane % 4 * 2;
                    if (channel < channels && filter < k)  // k is a multiple of 4: two neighbours are both there or both not
                        *reinterpret_cast<float2*>(part + ((3 * r + s) * channels + channel) * k + filter) =
                            make_float2(sums[s][half][j][e], sums[s][half][j][e + 1]);
                }
}
