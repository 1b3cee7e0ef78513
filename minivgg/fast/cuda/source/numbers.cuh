// Numbers: `Stored` is what lies in memory, `Wide` is what is computed with: float for half and bfloat16.
//
// half and bfloat16 are their bits here, so that no header of the CUDA toolkit is needed.

#ifndef STORED
#define STORED float
#endif

struct half_t { unsigned short bits; };
struct bfloat_t { unsigned short bits; };

template <class S> struct Numbers { typedef S Wide; };
template <> struct Numbers<half_t> { typedef float Wide; };
template <> struct Numbers<bfloat_t> { typedef float Wide; };

typedef STORED Stored;
typedef Numbers<Stored>::Wide Wide;

__device__ __forceinline__ float wide(float x) { return x; }
__device__ __forceinline__ double wide(double x) { return x; }
__device__ __forceinline__ float wide(bfloat_t x) { return __uint_as_float((unsigned)x.bits << 16); }

__device__ __forceinline__ void narrow(float x, float& out) { out = x; }
__device__ __forceinline__ void narrow(double x, double& out) { out = x; }

#ifdef __CUDA_ARCH__
__device__ __forceinline__ float wide(half_t x) {
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
    return y;
}
__device__ __forceinline__ void narrow(float x, half_t& out) { asm("cvt.rn.f16.f32 %0, %1;" : "=h"(out.bits) : "f"(x)); }
__device__ __forceinline__ void narrow(float x, bfloat_t& out) { asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(out.bits) : "f"(x)); }
#else  // the host pass of nvcc, and kernels that run on the CPU: these are defined there
__device__ float wide(half_t x);
__device__ void narrow(float x, half_t& out);
__device__ void narrow(float x, bfloat_t& out);
#endif

// x rounded to what can be stored.
__device__ __forceinline__ Stored stored(Wide x) {
    Stored out;
    narrow(x, out);
    return out;
}

// The number of this thread among all of the grid, and how many there are: for loops of the form
// for (long long i = first(); i < count; i += all()).
__device__ __forceinline__ long long first() { return (long long)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ __forceinline__ long long all() { return (long long)gridDim.x * blockDim.x; }
