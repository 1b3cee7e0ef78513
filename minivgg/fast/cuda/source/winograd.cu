// Winograd's convolution F(4×4, 3×3): the transforms of tiles and filters around 36 matrix products (see winograd.py).
//
//   V = Bᵀ d B    of image tiles d (6×6)            U = G g Gᵀ    of filters g (3×3)            y = Aᵀ M A    of products M
//   Ṁ = A ẏ Aᵀ    of gradient tiles ẏ (4×4)         ġ = Gᵀ U̇ G    of products U̇
//
// A thread takes one tile of one channel and holds it in registers; neighbouring threads take neighbouring channels, so that all reads and
// writes are full lines. Pixels beyond the image read as zero, outputs beyond it are not written.
//
// Bytes  each transform of tiles writes 36 numbers a tile and channel and reads 16 from memory (or the reverse; 36 in all with the
//        overlap, which the caches serve): 52 numbers moved. Work: 264 multiply-adds, about 5 a number moved, so memory is the limit.
#include "numbers.cuh"

// The matrices for the points 0, ±5/8, ±3/2, ∞: those of fast/cpu/winograd_points.py. Bᵀ and Aᵀ are exact in float.
#define BT                                      \
    {                                           \
        {225. / 256, 0, -169. / 64, 0, 1, 0},   \
        {0, -45. / 32, -9. / 4, 5. / 8, 1, 0},  \
        {0, 45. / 32, -9. / 4, -5. / 8, 1, 0},  \
        {0, -75. / 128, -25. / 64, 3. / 2, 1, 0}, \
        {0, 75. / 128, -25. / 64, -3. / 2, 1, 0}, \
        {0, 225. / 256, 0, -169. / 64, 0, 1},   \
    }
#define AT                                              \
    {                                                   \
        {1, 1, 1, 1, 1, 0},                             \
        {0, 5. / 8, -5. / 8, 3. / 2, -3. / 2, 0},       \
        {0, 25. / 64, 25. / 64, 9. / 4, 9. / 4, 0},     \
        {0, 125. / 512, -125. / 512, 27. / 8, -27. / 8, 1}, \
    }
#define G                                         \
    {                                             \
        {256. / 225, 0, 0},                       \
        {-2048. / 2975, -256. / 595, -32. / 119}, \
        {-2048. / 2975, 256. / 595, -32. / 119},  \
        {128. / 1071, 64. / 357, 32. / 119},      \
        {128. / 1071, -64. / 357, 32. / 119},     \
        {0, 0, 1},                                \
    }

// out = matrix · in. The matrix is known to the compiler: zeros cost nothing.
template <int ROWS, int COLUMNS, class Number>
__device__ __forceinline__ void times(const double (&matrix)[ROWS][COLUMNS], const Number* in, Number* out) {
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        Number sum = 0;
#pragma unroll
        for (int j = 0; j < COLUMNS; j++)
            if (matrix[i][j] != 0) sum += (Number)matrix[i][j] * in[j];
        out[i] = sum;
    }
}

// out = matrixᵀ · in.
template <int ROWS, int COLUMNS, class Number>
__device__ __forceinline__ void transposed_times(const double (&matrix)[ROWS][COLUMNS], const Number* in, Number* out) {
#pragma unroll
    for (int j = 0; j < COLUMNS; j++) {
        Number sum = 0;
#pragma unroll
        for (int i = 0; i < ROWS; i++)
            if (matrix[i][j] != 0) sum += (Number)matrix[i][j] * in[i];
        out[j] = sum;
    }
}

// Tiles in rows: tile = (n·down + its row)·across + its column; `images` are (n, h, w, c).
struct Tile {
    long long n, row, column;
    __device__ __forceinline__ Tile(long long tile, long long down, long long across)
        : n(tile / across / down), row(4 * (tile / across % down)), column(4 * (tile % across)) {}
};

// t[6·i + j] = Σ_r Bᵀ[i][r] · d[r][j]: the first half of V, for a tile that begins at (row, column) of an image.
__device__ __forceinline__ void image_columns(const Stored* image, long long row, long long column, long long c, long long h, long long w, Wide* t) {
    const double matrix[6][6] = BT;
#pragma unroll
    for (int j = 0; j < 6; j++) {
        Wide d[6], out[6];
        bool across = column + j >= 0 && column + j < w;
#pragma unroll
        for (int r = 0; r < 6; r++) {
            bool inside = across && row + r >= 0 && row + r < h;
            d[r] = inside ? wide(image[((row + r) * w + column + j) * c]) : (Wide)0;
        }
        times(matrix, d, out);
#pragma unroll
        for (int i = 0; i < 6; i++) t[6 * i + j] = out[i];
    }
}

// V (36, tiles, C) of images (n, H, W, C).
extern "C" __global__ void __launch_bounds__(256) winograd_images(const Stored* x, Stored* v, long long tiles, long long c, long long h, long long w,
                                                                  long long down, long long across, long long padding_h, long long padding_w) {
    const double matrix[6][6] = BT;
    for (long long i = first(); i < tiles * c; i += all()) {
        Tile tile(i / c, down, across);
        Wide t[36], out[6];
        image_columns(x + tile.n * h * w * c + i % c, tile.row - padding_h, tile.column - padding_w, c, h, w, t);
#pragma unroll
        for (int f = 0; f < 6; f++) {
            times(matrix, t + 6 * f, out);
#pragma unroll
            for (int g = 0; g < 6; g++) v[(6 * f + g) * tiles * c + i] = stored(out[g]);
        }
    }
}

// Vᵀ (groups, 36, C, length) of images: for the filter's gradient, whose products sum over tiles, `length` of them in each group, a
// multiple of 8; those that do not exist are zero. A block takes 8 tiles of 32 channels, and turns them in shared memory, 6 places at a
// time: it reads 32 channels, and writes 8 tiles, 32 bytes, side by side.
extern "C" __global__ void __launch_bounds__(256) winograd_images_turned(const Stored* x, Stored* v, long long tiles, long long length, long long c,
                                                                         long long h, long long w, long long down, long long across,
                                                                         long long padding_h, long long padding_w) {
    const double matrix[6][6] = BT;
    __shared__ Wide places[6][8][36];  // 32 channels and room, so that reading has no bank conflicts
    const long long blocks = (c + 31) / 32, channel = blockIdx.x % blocks * 32, begin = blockIdx.x / blocks * 8;
    const int own = threadIdx.x % 32, lane = threadIdx.x / 32, to = threadIdx.x / 8, side = threadIdx.x % 8;
    const bool real = channel + own < c && begin + lane < tiles;
    Stored* out = v + (begin / length * 36 * c + channel + to) * length + begin % length + side;
    Wide t[36], place[6];
    if (real) {
        Tile tile(begin + lane, down, across);
        image_columns(x + tile.n * h * w * c + channel + own, tile.row - padding_h, tile.column - padding_w, c, h, w, t);
    }
#pragma unroll
    for (int f = 0; f < 6; f++) {
        if (real) times(matrix, t + 6 * f, place);
#pragma unroll
        for (int g = 0; g < 6; g++) places[g][lane][own] = real ? place[g] : (Wide)0;
        __syncthreads();
#pragma unroll
        for (int g = 0; g < 6; g++)
            if (channel + to < c) out[(6 * f + g) * c * length] = stored(places[g][side][to]);
        __syncthreads();
    }
}

// Ṁ (groups, 36, length, K) of gradients (n, P, Q, K), for `rows` = groups · length tiles, of which `tiles` exist.
extern "C" __global__ void __launch_bounds__(256) winograd_gradients(const Stored* gy, Stored* m, long long tiles, long long rows, long long length,
                                                                     long long k, long long p, long long q, long long down, long long across) {
    const double matrix[4][6] = AT;
    for (long long i = first(); i < rows * k; i += all()) {
        long long number = i / k;
        Tile tile(number, down, across);
        const Stored* image = gy + tile.n * p * q * k + i % k;
        Wide t[24], out[6];
#pragma unroll
        for (int j = 0; j < 4; j++) {
            Wide d[4];
#pragma unroll
            for (int r = 0; r < 4; r++) {
                bool inside = number < tiles && tile.row + r < p && tile.column + j < q;
                d[r] = inside ? wide(image[((tile.row + r) * q + tile.column + j) * k]) : (Wide)0;
            }
            transposed_times(matrix, d, out);
#pragma unroll
            for (int f = 0; f < 6; f++) t[4 * f + j] = out[f];
        }
        Stored* to = m + ((number / length * 36) * length + number % length) * k + i % k;
#pragma unroll
        for (int f = 0; f < 6; f++) {
            transposed_times(matrix, t + 4 * f, out);
#pragma unroll
            for (int g = 0; g < 6; g++) to[(6 * f + g) * length * k] = stored(out[g]);
        }
    }
}

// y (n, P, Q, K) of products M (36, tiles, K); plus the bias (K,) if there is one, and rectified if `relu`: a NaN goes through.
extern "C" __global__ void __launch_bounds__(256) winograd_outputs(const Stored* m, const Stored* bias, Stored* y, bool biased, bool relu,
                                                                   long long tiles, long long k, long long p, long long q, long long down,
                                                                   long long across) {
    const double matrix[4][6] = AT;
    for (long long i = first(); i < tiles * k; i += all()) {
        Tile tile(i / k, down, across);
        Wide t[24], out[4], add = biased ? wide(bias[i % k]) : (Wide)0;
#pragma unroll
        for (int g = 0; g < 6; g++) {
            Wide d[6];
#pragma unroll
            for (int f = 0; f < 6; f++) d[f] = wide(m[(6 * f + g) * tiles * k + i]);
            times(matrix, d, out);
#pragma unroll
            for (int r = 0; r < 4; r++) t[6 * r + g] = out[r];
        }
        Stored* image = y + tile.n * p * q * k + i % k;
#pragma unroll
        for (int r = 0; r < 4; r++) {
            times(matrix, t + 6 * r, out);
#pragma unroll
            for (int j = 0; j < 4; j++) {
                Wide value = out[j] + add;
                if (tile.row + r < p && tile.column + j < q)
                    image[((tile.row + r) * q + tile.column + j) * k] = stored(relu && value < 0 ? (Wide)0 : value);
            }
        }
    }
}

// U (36, pairs) of filters (9, pairs), pairs = C·K. In double, since G is not exact in float: it is little work.
extern "C" __global__ void __launch_bounds__(256) winograd_filters(const Stored* w, Stored* u, long long pairs) {
    const double matrix[6][3] = G;
    for (long long i = first(); i < pairs; i += all()) {
        double t[18], out[6];
#pragma unroll
        for (int s = 0; s < 3; s++) {
            double tap[3];
#pragma unroll
            for (int r = 0; r < 3; r++) tap[r] = wide(w[(3 * r + s) * pairs + i]);
            times(matrix, tap, out);
#pragma unroll
            for (int f = 0; f < 6; f++) t[3 * f + s] = out[f];
        }
#pragma unroll
        for (int f = 0; f < 6; f++) {
            times(matrix, t + 3 * f, out);
#pragma unroll
            for (int g = 0; g < 6; g++) u[(6 * f + g) * pairs + i] = stored((Wide)out[g]);
        }
    }
}

// gw (9, pairs) of products U̇ (groups, 36, pairs), summed over the groups in their order, in double; added to gw if `add`.
extern "C" __global__ void __launch_bounds__(256) winograd_filter_gradient(const Stored* u, Stored* gw, long long pairs, long long groups, bool add) {
    const double matrix[6][3] = G;
    for (long long i = first(); i < pairs; i += all()) {
        double t[18], out[3];
#pragma unroll
        for (int g = 0; g < 6; g++) {
            double d[6];
#pragma unroll
            for (int f = 0; f < 6; f++) {
                d[f] = 0;
                for (long long group = 0; group < groups; group++) d[f] += wide(u[(36 * group + 6 * f + g) * pairs + i]);
            }
            transposed_times(matrix, d, out);
#pragma unroll
            for (int r = 0; r < 3; r++) t[6 * r + g] = out[r];
        }
#pragma unroll
        for (int r = 0; r < 3; r++) {
            transposed_times(matrix, t + 6 * r, out);
#pragma unroll
            for (int s = 0; s < 3; s++) {
                Stored* place = gw + (3 * r + s) * pairs + i;
                *place = stored((Wide)(out[s] + (add ? wide(*place) : 0)));
            }
        }
    }
}
