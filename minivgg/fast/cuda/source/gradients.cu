// Facts about all gradients together: 4 bytes an element in float32, which are read once.
#define COLUMNS 1
#include "table.cuh"

// *finite becomes false if a number is NaN or infinite; it is true before. Threads that write all write the same.
extern "C" __global__ void all_finite(const table_t table, bool* finite) {
    for_each_tile(table, [&](int row, long long from, long long to) {
        bool found = false;
        #pragma unroll 4
        for (long long i = from + threadIdx.x; i < to; i += blockDim.x) {
            Wide x = wide(table.address[0][row][i]);
            found |= !(x - x == 0);
        }
        if (found) *finite = false;
    });
}

// partial[block] = the sum of the squares of the block's tiles, in float64. Always in the same order, whatever the card.
extern "C" __global__ void squares(const table_t table, double* partial) {
    __shared__ double sums[256];
    double sum = 0;
    for_each_tile(table, [&](int row, long long from, long long to) {
        #pragma unroll 4
        for (long long i = from + threadIdx.x; i < to; i += blockDim.x) {
            double x = (double)wide(table.address[0][row][i]);
            sum += x * x;
        }
    });
    sums[threadIdx.x] = sum;
    for (int half = 128; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    }
    if (threadIdx.x == 0) partial[blockIdx.x] = sums[0];
}
