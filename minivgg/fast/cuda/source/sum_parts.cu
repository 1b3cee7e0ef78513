// Sums that blocks computed in parts, (parts, count), added in order: total[i] = Σ over parts of sums[part][i]. One thread an element; reads each
// number once, so the time is that of memory.
#include "numbers.cuh"

extern "C" __global__ void sum_parts(const float* sums, Stored* total, long long parts, long long count) {
    for (long long i = first(); i < count; i += all()) {
        float sum = 0;
#pragma unroll 8
        for (long long part = 0; part < parts; part++) sum += sums[part * count + i];
        total[i] = stored(sum);
    }
}
