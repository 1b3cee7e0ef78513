// A 3×3 convolution of stride 1 on the tensor cores, without columns: y (N, P, Q, K) = x (N, H, W, C) ⋆ w (3, 3, C, K), + bias, rectified.
//
// One block computes 16×16 pixels of y and 64 filters. Of the image it needs 18×18 pixels, its halo: these are brought to shared memory
// once, 32 bytes of channels at a time (a chunk: 8 floats or 16 halves, the depth of one product instruction), and all nine taps read them
// there, shifted. The filters of a chunk come row of taps by row of taps, 3·8·64 floats or 3·16·64 halves. So one step is (chunk, row
// of taps); what step + 2 and the next chunk need is copied while a step is computed, three stages of filters and two halos deep.
//
// Eight warps, 4×2: each owns 4 rows of 16 pixels and 32 filters, 4×4 products of 16×8, so 64 sums a thread. For each tap it loads 4
// fragments of A (one ldmatrix each) and 4 of B, 3 KB, for 64·32·8 multiply-adds in TF32, 64·32·16 in half: 0.19 or 0.09 bytes
// each. At 128 bytes a cycle shared memory so allows 680 or 1360 multiply-adds a cycle and multiprocessor; mma.sync is believed
// to reach about 60 % of wgmma's 1024 or 2048 on Hopper, 610 or 1230. Both are nearly in balance.
//
// Traffic of a block: halo 1.27·256·C numbers, filters 9·C·64, result 256·64. For conv1_2 of VGG-16 (64 → 64 at 224², batch 64: 3.2 million
// pixels, 237 GFLOP) in TF32: memory 0.82 GB read and 0.82 GB written, 0.38 ms at 4.3 TB/s; from the L2 cache 1.04 GB of halos and
// 1.85 GB of filters, 0.5 ms at 5.5 TB/s; products 0.8 ms at 300 TFLOP/s. Bound by the products, then: 0.8 ms is the floor, 1.0-1.2 ms what to
// expect. In half: 0.19 and 0.26 ms, products 0.4 ms at 600 TFLOP/s; expect 0.5-0.6. (Columns: 7.4 GB written and read, 3.5 ms.) None was measured.
//
// Shared memory: halos 2·18·24·32 bytes = 27.6 KB, filters 3·24·72 floats (or 3·48·72 halves) = 20.7 KB: 48.4 of 49.2 KB, two blocks a
// multiprocessor, hence at most 128 registers a thread. Banks: a row of filters is padded by 8 numbers; the two 16-byte parts of a pixel
// change places if bit 2 of its column is set, so that 8 neighbouring pixels' parts are in different banks. A row of the halo takes
// the place of 24 pixels, for then this depends on the column alone, and a thread needs three addresses, one for each s.
#include "numbers.cuh"
#include "mma.cuh"

const int TILE = 16, HALO = TILE + 2, HALO_ROW = 24, FILTERS = 64, ROW = FILTERS + 8;
const int VECTOR = 16 / sizeof(Stored), CHUNK = 2 * VECTOR;
const int FILTER_PARTS = FILTERS / VECTOR;  // of 16 bytes, for each channel
const int STAGING = 32 + VECTOR;  // numbers of a row of results on their way out

struct Tiles {
    uint4 halo[2][HALO * HALO_ROW * 2];
    Stored filters[3][3 * CHUNK * ROW];
};

__device__ __forceinline__ int place(int row, int column, int part) { return (row * HALO_ROW + column) * 2 + (part ^ (column >> 2 & 1)); }

extern "C" __global__ void __launch_bounds__(256, 2)
    implicit_forward(const Stored* images, const Stored* filters, const Stored* bias, Stored* y, long long height_, long long width_, long long c_,
                     long long p_, long long q_, long long k_, long long top, long long left, bool with_bias, bool relu) {
    __shared__ Tiles tiles;
    __shared__ int4 origin;  // image, row, column, filter: the first of this block
    const int height = (int)height_, width = (int)width_, channels = (int)c_, p = (int)p_, q = (int)q_, k = (int)k_;
    const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;

    // Which tile: filters vary fastest, so that blocks that need the same pixels run together. It is kept for the end in shared memory: every
    // register is needed until then.
    if (thread == 0) {
        const unsigned across = (q + TILE - 1) / TILE, down = (p + TILE - 1) / TILE, sorts = (k + FILTERS - 1) / FILTERS;
        const unsigned pixels = blockIdx.x / sorts;
        origin = make_int4(pixels / across / down, pixels / across % down * TILE, pixels % across * TILE, blockIdx.x % sorts * FILTERS);
    }
    __syncthreads();
    const int y0 = origin.y, x0 = origin.z, k0 = origin.w;
    const Stored* image = images + (long long)origin.x * height * width * channels;

    // Of each chunk this thread copies 16 bytes of the halo three times, 7 rows apart: 7·36 threads of 256 do.
    const int down = thread / (2 * HALO), part = thread % 2, column = thread % (2 * HALO) / 2;
    const int in_row = y0 - (int)top + down, in_column = x0 - (int)left + column, halo_channel = part * VECTOR;
    const int pixel = (in_row * width + in_column) * channels + halo_channel;
    auto copy_halo = [&](int i, int chunk) {
        if (down >= min(7, HALO - 7 * i)) return;
        bool there = (unsigned)in_column < width && (unsigned)(in_row + 7 * i) < height && halo_channel + chunk * CHUNK < channels;
        const Stored* from = image + (there ? pixel + 7 * i * width * channels + chunk * CHUNK : 0);
        copy_async(&tiles.halo[chunk % 2][place(down + 7 * i, column, part)], from, there);
    };

    // Of the filters it copies one place in two taps (the first threads) or in one: THREADS / FILTER_PARTS = 2·CHUNK rows at a time.
    const int channel = thread / FILTER_PARTS % CHUNK, filter = thread % FILTER_PARTS * VECTOR, row = thread / FILTER_PARTS;
    const int source = (row / CHUNK * channels + channel) * k + k0 + filter, tap = channels * k;
    auto copy_filters = [&](int r, int chunk) {
        bool there = k0 + filter < k && chunk * CHUNK + channel < channels;
        const Stored* from = filters + (there ? source + 3 * r * tap + chunk * CHUNK * k : 0);
        Stored* to = tiles.filters[r] + row * ROW + filter;
        copy_async(to, from, there);
        if (row < CHUNK) copy_async(to + 2 * CHUNK * ROW, from + 2 * tap, there);
    };

    const int chunks = (channels + CHUNK - 1) / CHUNK;
#pragma unroll
    for (int i = 0; i < 3; i++) copy_halo(i, 0);
    copy_filters(0, 0);
    copy_commit();
    copy_filters(1, 0);
    copy_commit();

    const int first_row = warp / 2 * 4, first_filter = warp % 2 * 32;
    float sums[4][4][4] = {};
    for (int chunk = 0; chunk < chunks; chunk++) {
#pragma unroll 1  // unrolled it would want more than 128 registers
        for (int r = 0; r < 3; r++) {
            copy_wait<1>();   // what this step needs is there ...
            __syncthreads();  // ... from all threads, and nobody reads any longer what is overwritten next
            const int later = chunk + (r + 2) / 3;
            if (later < chunks) copy_filters((r + 2) % 3, later);
            if (r < 2 && chunk + 1 < chunks) {
                copy_halo(r, chunk + 1);
                if (r == 1) copy_halo(2, chunk + 1);
            }
            copy_commit();
#pragma unroll
            for (int s = 0; s < 3; s++) {
                unsigned b[4][2];
                load_b(b, tiles.filters[r] + s * CHUNK * ROW + first_filter, ROW, lane);
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    unsigned a[4];
                    load_four(a, &tiles.halo[chunk % 2][place(first_row + i + r, lane % 16 + s, lane / 16)]);
                    round_a(a, Stored());
#pragma unroll
                    for (int j = 0; j < 4; j++) multiply(sums[i][j], a, b[j], Stored());
                }
            }
        }
    }
    __syncthreads();

    // Out: each warp brings a row of 16 pixels by 32 filters into order in its own shared memory, then writes 16 bytes a lane.
    const int4 at = origin;
    Stored* rows = reinterpret_cast<Stored*>(&tiles) + warp * 16 * STAGING;
    const int lanes = 32 / VECTOR, out = lane % lanes * VECTOR, to = at.w + first_filter + out;
    float add[4][2];
#pragma unroll
    for (int j = 0; j < 4; j++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            int filter = at.w + first_filter + 8 * j + lane % 4 * 2 + i;
            add[j][i] = with_bias && filter < k ? wide(bias[filter]) : 0.0f;
        }
#pragma unroll
    for (int i = 0; i < 4; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                float value = sums[i][j][e] + add[j][e % 2];
                rows[(lane / 4 + e / 2 * 8) * STAGING + 8 * j + lane % 4 * 2 + e % 2] = stored(relu && value < 0 ? 0 : value);
            }
        __syncwarp();
        const int row = at.y + first_row + i;
#pragma unroll
        for (int column = lane / lanes; column < TILE; column += 32 / lanes)
            if (row < p && at.z + column < q && to < k)
                *reinterpret_cast<uint4*>(y + (((long long)at.x * p + row) * q + at.z + column) * k + to) =
                    *reinterpret_cast<const uint4*>(rows + column * STAGING + out);
        __syncwarp();
    }
}
