// y = x * mask * scale: 2 * sizeof(Stored) + 1 bytes an element. A NaN that is dropped stays NaN, as in the op's formula.
#include "numbers.cuh"

extern "C" __global__ void dropout(const Stored* x, const bool* mask, Stored* y, long long count, double scale) {
    for (long long i = first(); i < count; i += all()) y[i] = stored(wide(x[i]) * (Wide)mask[i] * (Wide)scale);
}
