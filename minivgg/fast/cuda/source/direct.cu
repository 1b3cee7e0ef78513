// A 3×3 convolution of stride 1 and its filters' gradient by ordinary multiply-adds of float32, without columns: for images of few channels.
//
// It is meant for the first layer, 3 channels to 64 filters: 27 products a sum, too few for the tensor cores, whose instructions would multiply
// mostly padding, and in strict float32 they can't be used. Any number of channels is served, four at a time.
//
// direct_forward: a block computes 8×16 pixels and 64 filters; 128 threads, each 8 neighbouring pixels by 8 filters, 64 sums. For a channel
// and a row of taps a thread reads 12 pixels, 16 bytes at a time, and for each tap 8 filters: 9 reads for 192 multiply-adds.
// conv1_1 at 224², batch 64: 11.1 GFLOP, 0.17 ms at 67 TFLOP/s; memory 0.04 GB read, 0.82 GB written, 0.2 ms at 4.3 TB/s. Expect 0.3 ms.
// Shared memory 3.2 + 9.2 KB; at most 168 registers, three blocks a multiprocessor.
//
// direct_weight: a block owns 4 channels, 9 taps and 64 filters, of some of the tiles of 8×16 pixels. 192 threads: two halves of the tile's rows, times
// 12 pairs (channel, r), times 8 groups of 8 filters; a thread has 3·8 sums, for the three s. Per pixel it reads one number of x, keeping
// the two before, and 8 of gy: 3 reads for 24 multiply-adds. With 3 channels a quarter of the threads has nothing to do. conv1_1: 0.82 GB
// of gy read, 0.2 ms, products 0.22 ms at full rate; expect 0.5 ms. Each half of each block is a part for `sum_parts`.
// Shared memory 3.2 + 32.8 KB: at most 85 registers, so that four blocks or more a multiprocessor hide the time of loads. Nothing here was measured.
#include "numbers.cuh"

const int ROWS = 8, COLUMNS = 16, HALO_ROWS = ROWS + 2, HALO = COLUMNS + 2, LINE = 20, CHANNELS = 4, FILTERS = 64;

struct alignas(16) Image { float x[CHANNELS][HALO_ROWS][LINE]; };

// Which tile: its image, first row and first column.
struct Where { long long n; int row, column; };
__device__ __forceinline__ Where tile(long long number, int p, int q) {
    int across = (q + COLUMNS - 1) / COLUMNS, down = (p + ROWS - 1) / ROWS;
    return {number / across / down, (int)(number / across % down) * ROWS, (int)(number % across) * COLUMNS};
}

// A tile's halo, four channels from c0, plane by plane; zeros around the image.
__device__ __forceinline__ void load_halo(Image& to, const Stored* image, int height, int width, int channels, int c0, int row0, int column0) {
    for (int i = threadIdx.x; i < HALO_ROWS * LINE * CHANNELS; i += blockDim.x) {
        int c = i % CHANNELS, column = i / CHANNELS % LINE, row = i / CHANNELS / LINE;
        int y = row0 + row, x = column0 + column;
        bool there = (unsigned)y < height && (unsigned)x < width && c0 + c < channels && column < HALO;
        to.x[c][row][column] = there ? wide(image[(y * width + x) * channels + c0 + c]) : 0.0f;
    }
}

// Filters f and f + 32 for f in 0 .. 3 from a place: two reads of 16 bytes, by neighbouring threads from neighbouring places.
__device__ __forceinline__ void load_eight(float (&to)[8], const float* from) {
    float4 low = *reinterpret_cast<const float4*>(from), high = *reinterpret_cast<const float4*>(from + 32);
    to[0] = low.x, to[1] = low.y, to[2] = low.z, to[3] = low.w, to[4] = high.x, to[5] = high.y, to[6] = high.z, to[7] = high.w;
}

struct alignas(4 * sizeof(Stored)) Four { Stored of[4]; };

// As many of four neighbours as are there, then zeros; at once if each row has a multiple of four.
__device__ __forceinline__ float4 load_up_to_four(const Stored* from, int there, int row) {
    if (there <= 0) return make_float4(0, 0, 0, 0);
    if (row % 4)
        return make_float4(wide(from[0]), there > 1 ? wide(from[1]) : 0, there > 2 ? wide(from[2]) : 0, there > 3 ? wide(from[3]) : 0);
    const Four four = *reinterpret_cast<const Four*>(from);
    return make_float4(wide(four.of[0]), wide(four.of[1]), wide(four.of[2]), wide(four.of[3]));
}

extern "C" __global__ void __launch_bounds__(128, 3)
    direct_forward(const Stored* images, const Stored* filters, const Stored* bias, Stored* y, long long height_, long long width_, long long c_,
                   long long p_, long long q_, long long k_, long long top, long long left, bool with_bias, bool relu) {
    __shared__ Image image;
    __shared__ __align__(16) float weights[CHANNELS][9][FILTERS];
    const int height = (int)height_, width = (int)width_, channels = (int)c_, p = (int)p_, q = (int)q_, k = (int)k_;
    const int sorts = (k + FILTERS - 1) / FILTERS, k0 = blockIdx.x % sorts * FILTERS;
    const Where at = tile(blockIdx.x / sorts, p, q);
    const int group = threadIdx.x % 8 * 4, row = threadIdx.x / 16, column = threadIdx.x / 8 % 2 * 8;

    float sums[8][8] = {};  // pixel, filter
    for (int c0 = 0; c0 < channels; c0 += CHANNELS) {
        __syncthreads();
        load_halo(image, images + at.n * height * width * channels, height, width, channels, c0, at.row - (int)top, at.column - (int)left);
        for (int i = threadIdx.x; i < CHANNELS * 9 * FILTERS; i += 128) {
            int filter = i % FILTERS, c = i / FILTERS % CHANNELS, tap = i / FILTERS / CHANNELS;
            bool there = k0 + filter < k && c0 + c < channels;
            weights[c][tap][filter] = there ? wide(filters[((long long)tap * channels + c0 + c) * k + k0 + filter]) : 0.0f;
        }
        __syncthreads();
        const int last = min(CHANNELS, channels - c0);
#pragma unroll 1
        for (int c = 0; c < last; c++)
#pragma unroll
            for (int r = 0; r < 3; r++) {
                float x[12];
#pragma unroll
                for (int i = 0; i < 12; i += 4) {
                    float4 four = *reinterpret_cast<const float4*>(&image.x[c][row + r][column + i]);
                    x[i] = four.x, x[i + 1] = four.y, x[i + 2] = four.z, x[i + 3] = four.w;
                }
#pragma unroll
                for (int s = 0; s < 3; s++) {
                    float w[8];
                    load_eight(w, &weights[c][3 * r + s][group]);
#pragma unroll
                    for (int i = 0; i < 8; i++)
#pragma unroll
                        for (int f = 0; f < 8; f++) sums[i][f] += x[i + s] * w[f];
                }
            }
    }

    const int out = at.row + row;
#pragma unroll
    for (int part = 0; part < 2; part++) {
        const int filter = k0 + group + 32 * part;
        float add[4];
#pragma unroll
        for (int f = 0; f < 4; f++) add[f] = with_bias && filter + f < k ? wide(bias[filter + f]) : 0.0f;
#pragma unroll
        for (int i = 0; i < 8; i++) {
            if (out >= p || at.column + column + i >= q) continue;
            Stored* to = y + ((at.n * p + out) * q + at.column + column + i) * k + filter;
            Four four;
#pragma unroll
            for (int f = 0; f < 4; f++) {
                float value = sums[i][4 * part + f] + add[f];
                four.of[f] = stored(relu && value < 0 ? 0 : value);
            }
            if (k % 4 == 0) {
                if (filter < k) *reinterpret_cast<Four*>(to) = four;
            } else {
#pragma unroll
                for (int f = 0; f < 4; f++)
                    if (filter + f < k) to[f] = four.of[f];
            }
        }
    }
}

extern "C" __global__ void __launch_bounds__(192, 4)
    direct_weight(const Stored* images, const Stored* gradients, float* sums_of_parts, long long n_, long long height_, long long width_, long long c_,
                  long long p_, long long q_, long long k_, long long top, long long left) {
    __shared__ Image image;
    __shared__ __align__(16) float gy[ROWS][COLUMNS][FILTERS];
    const int height = (int)height_, width = (int)width_, channels = (int)c_, p = (int)p_, q = (int)q_, k = (int)k_;
    const int sorts = (k + FILTERS - 1) / FILTERS, k0 = blockIdx.y % sorts * FILTERS, c0 = blockIdx.y / sorts * CHANNELS;
    const int group = threadIdx.x % 8 * 4, pair = threadIdx.x / 8 % 12, c = pair % CHANNELS, r = pair / CHANNELS, half = threadIdx.x / 96;
    const long long count = n_ * ((p + ROWS - 1) / ROWS) * ((q + COLUMNS - 1) / COLUMNS);

    float sums[3][8] = {};
    const long long end = count * (blockIdx.x + 1) / gridDim.x;
    for (long long number = count * blockIdx.x / gridDim.x; number < end; number++) {
        const Where at = tile(number, p, q);
        __syncthreads();
        load_halo(image, images + at.n * height * width * channels, height, width, channels, c0, at.row - (int)top, at.column - (int)left);
#pragma unroll 4
        for (int i = threadIdx.x; i < ROWS * COLUMNS * FILTERS / 4; i += 192) {
            int filter = i % (FILTERS / 4) * 4, column = i / (FILTERS / 4) % COLUMNS, row = i / (FILTERS / 4) / COLUMNS;
            int there = at.row + row < p && at.column + column < q ? k - k0 - filter : 0;  // how many filters, if positive
            float4 four = load_up_to_four(gradients + ((at.n * p + at.row + row) * q + at.column + column) * k + k0 + filter, there, k);
            *reinterpret_cast<float4*>(&gy[row][column][filter]) = four;
        }
        __syncthreads();
        if (c0 + c >= channels) continue;
#pragma unroll 1
        for (int row = half * (ROWS / 2); row < (half + 1) * (ROWS / 2); row++) {
            const float* line = image.x[c][row + r];
            float x[3] = {0, line[0], line[1]};
#pragma unroll
            for (int column = 0; column < COLUMNS; column++) {
                x[0] = x[1], x[1] = x[2], x[2] = line[column + 2];
                float g[8];
                load_eight(g, &gy[row][column][group]);
#pragma unroll
                for (int s = 0; s < 3; s++)
#pragma unroll
                    for (int f = 0; f < 8; f++) sums[s][f] += x[s] * g[f];
            }
        }
    }
    if (c0 + c >= channels) return;
    float* part = sums_of_parts + (2LL * blockIdx.x + half) * 9 * channels * k;
#pragma unroll
    for (int s = 0; s < 3; s++)
#pragma unroll
        for (int f = 0; f < 8; f++) {
            int filter = k0 + group + f % 4 + f / 4 * 32;
            if (filter < k) part[((3 * r + s) * channels + c0 + c) * k + filter] = sums[s][f];
        }
}
