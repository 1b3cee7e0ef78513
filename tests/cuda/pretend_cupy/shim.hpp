// Runs CUDA kernels on the CPU: the threads of a block are fibers of one thread (shim_fibers.hpp), switched at barriers.
//
// A kernel's source is included unchanged behind this header. Barriers, warp shuffles and matrix instructions are functions
// here. A barrier that not all threads reach, or that they reach at different lines, is an error; so is a shuffle that not
// all lanes of the mask take part in. Blocks, and threads in a block, run in one of three orders, so that a test can run a kernel
// in several: results that differ tell of a missing barrier. Shared memory is filled with NaN before each block.
#include <cmath>
#include <tuple>
#include <type_traits>
#include <utility>
#ifdef __x86_64__
#include <xmmintrin.h>
#endif

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ static __attribute__((section("shim_shared")))
#define __constant__ static const
#define __restrict__ __restrict

struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) double2 { double x, y; };
struct alignas(8) int2 { int x, y; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

namespace shim {

// All shared memory of the module, between the linker's marks. Every byte 0xff: NaN in each type of float, -1 as an integer.
extern "C" __attribute__((weak, visibility("hidden"))) char __start_shim_shared[], __stop_shim_shared[];
__attribute__((no_sanitize("address"))) inline void poison_shared() {
    for (char* p = __start_shim_shared; p < __stop_shim_shared; p++) *(volatile char*)p = -1;
}

template <class P> void kind(char* out) {
    typedef std::remove_cv_t<std::remove_pointer_t<P>> V;
    const char* what = std::is_void_v<V> ? "void" : std::is_same_v<V, bool> ? "bool" : std::is_floating_point_v<V> ? "float" : std::is_integral_v<V> ? "int" : "struct";
    if constexpr (std::is_void_v<V>) sprintf(out, "void* ");
    else sprintf(out, "%s%zu%s ", what, sizeof(V), std::is_pointer_v<P> ? "*" : "");
}
template <class... P> void kinds(void (*)(P...), char* out) {
    out[0] = 0;
    (kind<P>(out + strlen(out)), ...);
}

constexpr unsigned bound(unsigned threads = 1024, unsigned = 0, unsigned = 0) { return threads; }  // what __launch_bounds__ says

template <class... P, size_t... I>
void launch(void (*function)(P...), void** arguments, bool barriers, int order, std::index_sequence<I...>) {
    static void (*f)(P...);
    static void** a;
    f = function;
    a = arguments;
    body = [] { f(*(P*)a[I]...); };
    Fiber only;
    size_t blocks = (size_t)grid_size.x * grid_size.y * grid_size.z;
    unsigned count = block_size.x * block_size.y * block_size.z;
    for (size_t n = 0; n < blocks; n++) {
        size_t b = turn(n, blocks, order);
        block_index = {(unsigned)(b % grid_size.x), (unsigned)(b / grid_size.x % grid_size.y), (unsigned)(b / grid_size.x / grid_size.y)};
        poison_shared();
        if (barriers) {
            run_block(order);
            if (fault[0]) return;
            continue;
        }
        current = &only;  // plain calls, one after the other
        for (unsigned t = 0; t < count; t++) {
            unsigned i = (unsigned)turn(t, count, order);
            only.index = {i % block_size.x, i / block_size.x % block_size.y, i / block_size.x / block_size.y};
            body();
        }
    }
}

// Run a kernel; what was wrong with it, or null. `flush`: subnormal floats are zeros, as in what CuPy compiles (-ftz=true).
template <class... P>
const char* start(void (*function)(P...), void** arguments, const unsigned* sizes, bool barriers, int order, bool flush, unsigned most) {
    grid_size = {sizes[0], sizes[1], sizes[2]};
    block_size = {sizes[3], sizes[4], sizes[5]};
    unsigned count = block_size.x * block_size.y * block_size.z;
    static char crowded[128];
    snprintf(crowded, sizeof crowded, "%u threads in a block, but __launch_bounds__ says %u", count, most);
    if (count > most) return crowded;
#ifdef __x86_64__
    unsigned before = _mm_getcsr();
    if (flush) _mm_setcsr(before | 0x8040);  // flush to zero, denormals are zero
#endif
    launch(function, arguments, barriers, order, std::index_sequence_for<P...>{});
#ifdef __x86_64__
    _mm_setcsr(before);
#endif
    return barriers && fault[0] ? fault : nullptr;
}

// What the lanes of a warp show each other: 8 bytes at a time.
template <class V> unsigned long long bits_of(V value) {
    unsigned long long out = 0;
    memcpy(&out, &value, sizeof value);
    return out;
}
template <class V> V value_of(unsigned long long bits) {
    V out;
    memcpy(&out, &bits, sizeof out);
    return out;
}
inline void lanes_of(unsigned mask, int line) {
    if (!(mask >> (current->number % 32) & 1)) fail("a lane that is not in the mask takes part", line);
    for (int i = 0; i < 32; i++) {
        bool there = (size_t)(current->number / 32 * 32 + i) < (size_t)block_size.x * block_size.y * block_size.z;
        if ((mask >> i & 1) && (!there || lane(i).done)) fail("the mask names a lane that has ended or does not exist", line);
    }
}
template <class V> V shuffle(unsigned mask, V value, int from, int line) {
    static_assert(sizeof(V) == 4 || sizeof(V) == 8, "shuffles take 4 or 8 bytes");
    lanes_of(mask, line);
    if (!(mask >> from & 1)) fail("a lane reads from one that is not in the mask", line);
    current->slot[0] = bits_of(value);
    wait(warp, line, mask, from);
    return value_of<V>(current->received);
}
inline int first_lane(int width) { return current->number % 32 & ~(width - 1); }
template <class V> V shuffle_from(unsigned mask, V value, int line, int from, int width = 32) {
    return shuffle(mask, value, first_lane(width) + (from & (width - 1)), line);
}
template <class V> V shuffle_xor(unsigned mask, V value, int line, int other, int width = 32) {
    int own = current->number % 32, from = own ^ other;
    return shuffle(mask, value, from >= first_lane(width) + width ? own : from, line);
}
template <class V> V shuffle_down(unsigned mask, V value, int line, unsigned by, int width = 32) {
    int own = current->number % 32, from = own + (int)by;
    return shuffle(mask, value, from >= first_lane(width) + width ? own : from, line);
}
template <class V> V shuffle_up(unsigned mask, V value, int line, unsigned by, int width = 32) {
    int own = current->number % 32, from = own - (int)by;
    return shuffle(mask, value, from < first_lane(width) ? own : from, line);
}

}  // namespace shim

#define threadIdx (shim::current->index)
#define blockIdx (shim::block_index)
#define blockDim (shim::block_size)
#define gridDim (shim::grid_size)
static const int warpSize = 32;

#define __syncthreads() shim::wait(shim::block, __LINE__)
#define __syncwarp(...) shim::wait(shim::warp, __LINE__ __VA_OPT__(,) __VA_ARGS__)
#define __shfl_sync(mask, value, ...) shim::shuffle_from(mask, value, __LINE__, __VA_ARGS__)
#define __shfl_xor_sync(mask, value, ...) shim::shuffle_xor(mask, value, __LINE__, __VA_ARGS__)
#define __shfl_down_sync(mask, value, ...) shim::shuffle_down(mask, value, __LINE__, __VA_ARGS__)
#define __shfl_up_sync(mask, value, ...) shim::shuffle_up(mask, value, __LINE__, __VA_ARGS__)

inline float __uint_as_float(unsigned x) { return shim::value_of<float>(x); }
inline unsigned __float_as_uint(float x) { return (unsigned)shim::bits_of(x); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) { return (unsigned long long)((unsigned __int128)a * b >> 64); }
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((unsigned long long)a * b >> 32); }
template <class V> inline V __ldg(const V* p) { return *p; }
inline float __expf(float x) { return expf(x); }
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __fmul_rn(float a, float b) { volatile float y = a * b; return y; }
inline float __fadd_rn(float a, float b) { volatile float y = a + b; return y; }
inline float __fsub_rn(float a, float b) { volatile float y = a - b; return y; }
inline double __dmul_rn(double a, double b) { volatile double y = a * b; return y; }
inline double __dadd_rn(double a, double b) { volatile double y = a + b; return y; }
// As on the card, the smaller and larger of floats pass over a NaN; other operands meet in their common type.
template <class A, class B> inline auto min(A a, B b) {
    typedef std::common_type_t<A, B> V;
    if constexpr (std::is_floating_point_v<V>) return std::fmin((V)a, (V)b);
    else return (V)a < (V)b ? (V)a : (V)b;
}
template <class A, class B> inline auto max(A a, B b) {
    typedef std::common_type_t<A, B> V;
    if constexpr (std::is_floating_point_v<V>) return std::fmax((V)a, (V)b);
    else return (V)a > (V)b ? (V)a : (V)b;
}

// --- the kernel's source follows ---
