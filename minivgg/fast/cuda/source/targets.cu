// What each class counts for in each row of a cross-entropy: two small kernels, where array operations take some twenty-five.
//
// With w the classes' weights, ε the smoothing and t the row's label: q[n,c] = ((1−ε)·[c = t] + ε/C)·w[c], divided by Σ w[t] over the
// kept rows for a mean. A row whose label is to be ignored has q = 0, one whose label is out of range q = NaN.
#include "rows.cuh"

__device__ __forceinline__ bool kept(long long label, bool ignoring, long long ignored) { return !(ignoring && label == ignored); }

// total[0] = Σ w[t] over the kept rows with labels in range, or 1 if that is not positive. One block.
extern "C" __global__ void __launch_bounds__(THREADS) total_weight(
    const long long* labels, const Wide* weights, Wide* total, bool weighted, bool ignoring, long long ignored, long long rows, long long c) {
    __shared__ Wide shared[THREADS];
    Wide sum[1] = {};
    for (long long row = threadIdx.y; row < rows; row += blockDim.y) {
        long long label = labels[row];
        if (label >= 0 && label < c && kept(label, ignoring, ignored)) sum[0] += weighted ? weights[label] : 1;
    }
    add_up<1>(sum, shared);
    if (threadIdx.y == 0) total[0] = sum[0] > 0 ? sum[0] : 1;
}

// q (N, C); `total` is read if `mean`.
extern "C" __global__ void __launch_bounds__(THREADS) targets(
    const long long* labels, const Wide* weights, const Wide* total, Wide* q, bool weighted, bool mean, double smoothing, bool ignoring,
    long long ignored, long long rows, long long c) {
    Wide share = (Wide)(smoothing / (double)c), whole = (Wide)(1.0 - smoothing), by = mean ? total[0] : 1;
    for (long long i = first(); i < rows * c; i += all()) {
        long long row = i / c, column = i % c, label = labels[row];
        Wide value = ((label == column ? whole : 0) + share) * (weighted ? weights[column] : 1) / by;
        if (!kept(label, ignoring, ignored)) value = 0;
        else if (label < 0 || label >= c) value = (Wide)__uint_as_float(0x7fffffffu);
        q[i] = value;
    }
}
