// The rectifier and its gradient, element by element.
#include "numbers.cuh"

// y = max(x, 0); a NaN goes through.
extern "C" __global__ void relu(const Stored* x, Stored* y, long long count) {
    for (long long i = first(); i < count; i += all()) {
        Wide value = wide(x[i]);
        y[i] = value < 0 ? stored(0) : x[i];
    }
}

// gx = gy where y > 0, else 0.
extern "C" __global__ void relu_gradient(const Stored* gy, const Stored* y, Stored* gx, long long count) {
    for (long long i = first(); i < count; i += all()) gx[i] = wide(y[i]) > 0 ? gy[i] : stored(0);
}
