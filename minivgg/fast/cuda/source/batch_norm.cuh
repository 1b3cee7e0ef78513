// Batch norm of one number, by the operations of the op in the op's order, each rounded on its own and never fused to a multiply-add:
// the bits are those of the op, and the rectifier's mask y > 0, computed anew from x on the way back, is that of the forward pass.
#include "rows.cuh"

__device__ __forceinline__ float times(float a, float b) { return __fmul_rn(a, b); }
__device__ __forceinline__ double times(double a, double b) { return __dmul_rn(a, b); }
__device__ __forceinline__ float plus(float a, float b) { return __fadd_rn(a, b); }
__device__ __forceinline__ double plus(double a, double b) { return __dadd_rn(a, b); }

__device__ __forceinline__ Wide deviation(Wide variance, double eps) {
    Wide root = sqrt(variance + (Wide)eps);
    return root;
}

// γ·x̂ + β as the op rounds it.
__device__ __forceinline__ Wide normed(Wide centred, Wide scale, Wide beta) { return plus(times(centred, scale), beta); }
