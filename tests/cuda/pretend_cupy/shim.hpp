// Runs CUDA kernels on the CPU: the threads of a block are fibers of one thread, switched at barriers.
//
// A kernel's source is included unchanged behind this header. Barriers, warp shuffles and matrix instructions are functions
// here. A barrier that not all threads reach, or that they reach at different lines, is an error; so is a shuffle that not
// all lanes of the mask take part in. Threads start in the order that `shim_order` says, so that a test can run a kernel in
// several orders: results that differ tell of a missing barrier.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>
#include <ucontext.h>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__
#define __launch_bounds__(...)
#define __shared__ static
#define __constant__ static const
#define __restrict__ __restrict

struct dim3 { unsigned x = 1, y = 1, z = 1; };
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

const size_t stack_bytes = 128 << 10;
enum Waiting { nothing, block, warp };

struct Fiber {
    ucontext_t context;
    dim3 index;
    int number;  // in the block
    Waiting waiting;
    int line;
    bool done;
    unsigned long long slot[16];  // what this lane shows to the others of its warp
};

static std::vector<Fiber> fibers;
static std::vector<char> stacks;
static Fiber* current;
static ucontext_t scheduler;
static dim3 block_index, block_size, grid_size;
static char fault[512];
static void (*body)();

struct Fault {};

[[noreturn]] inline void fail(const char* text, int line) {
    if (!fault[0])
        snprintf(fault, sizeof fault, "%s (block %u,%u,%u, thread %u,%u,%u, line %d)", text, block_index.x, block_index.y, block_index.z,
                 current->index.x, current->index.y, current->index.z, line);
    current->done = true;
    swapcontext(&current->context, &scheduler);
    abort();
}

inline void wait(Waiting what, int line) {
    current->waiting = what;
    current->line = line;
    swapcontext(&current->context, &scheduler);
}

inline Fiber& lane(int number) { return fibers[current->number / 32 * 32 + number]; }

inline void entry() {
    body();
    current->done = true;
    swapcontext(&current->context, &scheduler);
}

// Let those go on that wait for one thing at one line; false if threads are left that wait for different things.
inline bool release(size_t from, size_t to, Waiting what, int warp_size) {
    int line = -1;
    for (size_t i = from; i < to; i++) {
        if (fibers[i].done) {
            if (what == block) return false;  // a barrier of the block is for all threads
            continue;
        }
        if (fibers[i].waiting != what || (line >= 0 && fibers[i].line != line)) return false;
        line = fibers[i].line;
    }
    if (line < 0) return false;
    for (size_t i = from; i < to; i++) fibers[i].waiting = nothing;
    return true;
}

inline void run_block(int order) {
    size_t count = (size_t)block_size.x * block_size.y * block_size.z;
    if (fibers.size() < count) fibers.resize(count);
    if (stacks.size() < count * stack_bytes) stacks.resize(count * stack_bytes);
    std::vector<size_t> turn(count);
    for (size_t i = 0; i < count; i++) {
        Fiber& f = fibers[i];
        f.index = {(unsigned)(i % block_size.x), (unsigned)(i / block_size.x % block_size.y), (unsigned)(i / block_size.x / block_size.y)};
        f.number = (int)i;
        f.waiting = nothing;
        f.done = false;
        memset(f.slot, 0xff, sizeof f.slot);
        getcontext(&f.context);
        f.context.uc_stack.ss_sp = &stacks[i * stack_bytes];
        f.context.uc_stack.ss_size = stack_bytes;
        f.context.uc_link = nullptr;
        makecontext(&f.context, entry, 0);
        turn[i] = order == 0 ? i : order == 1 ? count - 1 - i : (i * 7919 + 13) % count;
    }
    if (order > 1 && count % 7919 == 0) for (size_t i = 0; i < count; i++) turn[i] = i;
    while (!fault[0]) {
        bool left = false, moved = false;
        for (size_t i : turn) {
            if (fibers[i].done || fibers[i].waiting != nothing) continue;
            current = &fibers[i];
            moved = true;
            swapcontext(&scheduler, &current->context);
            if (fault[0]) return;
        }
        for (size_t i = 0; i < count; i++) left |= !fibers[i].done;
        if (!left) return;
        bool released = false;
        for (size_t w = 0; w < count; w += 32) released |= release(w, w + 32 < count ? w + 32 : count, warp, 32);
        if (!released) released = release(0, count, block, 0);
        if (!released && !moved) {
            for (size_t i = 0; i < count; i++)
                if (!fibers[i].done) { current = &fibers[i]; break; }
            snprintf(fault, sizeof fault, "not all threads reach one barrier (block %u,%u,%u; thread %d waits at line %d)", block_index.x,
                     block_index.y, block_index.z, current->number, current->line);
        }
    }
}

template <class... P> struct Kernel {
    void (*function)(P...);
    std::tuple<P...> arguments;
};

template <class P> const char* kind() {
    if constexpr (std::is_pointer_v<P>) {
        static char text[16];
        snprintf(text, sizeof text, "pointer%zu", sizeof(std::remove_pointer_t<P>));
        return text;
    } else {
        static char text[16];
        const char* what = std::is_same_v<P, bool> ? "bool" : std::is_floating_point_v<P> ? "float" : std::is_integral_v<P> ? "int" : "struct";
        snprintf(text, sizeof text, "%s%zu", what, sizeof(P));
        return text;
    }
}

template <class... P, size_t... I>
const char* launch(void (*function)(P...), void** arguments, bool barriers, int order, std::index_sequence<I...>) {
    static void (*f)(P...);
    static void** a;
    f = function;
    a = arguments;
    body = [] { f(*(P*)a[I]...); };
    fault[0] = 0;
    Fiber only;
    for (block_index.z = 0; block_index.z < grid_size.z; block_index.z++)
        for (block_index.y = 0; block_index.y < grid_size.y; block_index.y++)
            for (block_index.x = 0; block_index.x < grid_size.x; block_index.x++) {
                if (barriers) {
                    run_block(order);
                } else {  // plain calls, one after the other
                    current = &only;
                    unsigned count = block_size.x * block_size.y * block_size.z;
                    for (unsigned t = 0; t < count; t++) {
                        unsigned i = order == 0 ? t : count - 1 - t;
                        only.index = {i % block_size.x, i / block_size.x % block_size.y, i / block_size.x / block_size.y};
                        body();
                    }
                }
                if (fault[0]) return fault;
            }
    return nullptr;
}

template <class... P>
const char* start(void (*function)(P...), void** arguments, const unsigned* sizes, bool barriers, int order) {
    grid_size = {sizes[0], sizes[1], sizes[2]};
    block_size = {sizes[3], sizes[4], sizes[5]};
    return launch(function, arguments, barriers, order, std::index_sequence_for<P...>{});
}

template <class... P> void kinds(void (*)(P...), char* out) {
    out[0] = 0;
    ((strcat(out, kind<P>()), strcat(out, " ")), ...);
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
    lanes_of(mask, line);
    current->slot[0] = bits_of(value);
    wait(warp, line);
    V out = from < 0 || from > 31 ? value : value_of<V>(lane(from).slot[0]);
    wait(warp, line);
    return out;
}

}  // namespace shim

#define threadIdx (shim::current->index)
#define blockIdx (shim::block_index)
#define blockDim (shim::block_size)
#define gridDim (shim::grid_size)
static const int warpSize = 32;

#define __syncthreads() shim::wait(shim::block, __LINE__)
#define __syncwarp(...) shim::wait(shim::warp, __LINE__)
#define __shfl_sync(mask, value, from) shim::shuffle(mask, value, (from) & 31, __LINE__)
#define __shfl_xor_sync(mask, value, other) shim::shuffle(mask, value, (shim::current->number % 32) ^ (other), __LINE__)
#define __shfl_down_sync(mask, value, by) shim::shuffle(mask, value, shim::current->number % 32 + (by), __LINE__)
#define __shfl_up_sync(mask, value, by) shim::shuffle(mask, value, shim::current->number % 32 - (by), __LINE__)

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
template <class A, class B> inline auto min(A a, B b) { return a < b ? a : b; }
template <class A, class B> inline auto max(A a, B b) { return a > b ? a : b; }

// --- the kernel's source follows ---
