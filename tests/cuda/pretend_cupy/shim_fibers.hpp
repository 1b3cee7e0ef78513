// The threads of a block as fibers: each has a stack of its own, and runs until it waits for others.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>
#include <sys/mman.h>

struct dim3 { unsigned x = 1, y = 1, z = 1; };

namespace shim {

#if defined(__x86_64__) && !defined(SHIM_UCONTEXT)
// A switch keeps what a called function has to keep, on the stack, and takes up the other stack: no system call, as swapcontext makes.
typedef void* Context;
extern "C" __attribute__((visibility("hidden"))) void shim_switch(Context* from, Context to);
asm(R"(
    .pushsection .text
    .globl shim_switch
    .hidden shim_switch
    .type shim_switch, @function
shim_switch:
    pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
    ret
    .size shim_switch, .-shim_switch
    .popsection
)");
inline void switch_to(Context& from, Context& to) { shim_switch(&from, to); }
inline void begin(Context& context, char* stack, size_t bytes, void (*entry)()) {
    void** top = (void**)((uintptr_t)(stack + bytes) & ~(uintptr_t)15);
    *--top = nullptr;  // entry never returns
    *--top = (void*)entry;
    context = top - 6;  // six registers, of any value
    memset(context, 0, 6 * sizeof(void*));
}
#else
}
#include <ucontext.h>
namespace shim {
typedef ucontext_t Context;
inline void switch_to(Context& from, Context& to) { swapcontext(&from, &to); }
inline void begin(Context& context, char* stack, size_t bytes, void (*entry)()) {
    getcontext(&context);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = bytes;
    context.uc_link = nullptr;
    makecontext(&context, entry, 0);
}
#endif

const size_t stack_bytes = (128 << 10) + 320;  // not a power of two: or all tops fall into the same sets of the cache
enum Waiting { nothing, block, warp };

struct Fiber {
    Context context;
    dim3 index;
    int number;  // in the block
    Waiting waiting;
    int line;       // where it waits,
    unsigned mask;  // for which lanes,
    int from;       // and from which lane it then receives slot[0]; -1: from none
    bool done;
    unsigned long long slot[16], received;  // what this lane shows to the others of its warp, and what it was given
};

static std::vector<Fiber> fibers;
static char* stacks;
static size_t stack_count;
static Fiber* current;
static Context scheduler;
static dim3 block_index, block_size, grid_size;
static char fault[512];
static void (*body)();

inline void fail(const char* text, int line) {  // does not return, but AddressSanitizer must not prepare for that: it looks for the stack
    snprintf(fault, sizeof fault, "%s (block %u,%u,%u, thread %u,%u,%u, line %d)", text, block_index.x, block_index.y, block_index.z,
             current->index.x, current->index.y, current->index.z, line);
    switch_to(current->context, scheduler);
    abort();
}

inline void wait(Waiting what, int line, unsigned mask = ~0u, int from = -1) {
    current->waiting = what;
    current->line = line;
    current->mask = mask;
    current->from = from;
    switch_to(current->context, scheduler);
}

inline Fiber& lane(int number) { return fibers[current->number / 32 * 32 + number]; }

inline void entry() {
    body();
    current->done = true;
    switch_to(current->context, scheduler);
}

#ifdef __SANITIZE_ADDRESS__
extern "C" void __asan_unpoison_memory_region(const volatile void*, size_t);
#else
inline void __asan_unpoison_memory_region(const volatile void*, size_t) {}
#endif

inline void begin_block(size_t count) {
    if (fault[0]) __asan_unpoison_memory_region(stacks, stack_count * stack_bytes);  // an earlier launch left its frames there
    fault[0] = 0;
    if (stack_count < count) {
        if (stacks) munmap(stacks, stack_count * stack_bytes);
        void* memory = mmap(nullptr, count * stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) abort();
        stacks = (char*)memory;
        stack_count = count;
        fibers.resize(count);
    }
    for (size_t i = 0; i < count; i++) {
        Fiber& f = fibers[i];
        f.index = {(unsigned)(i % block_size.x), (unsigned)(i / block_size.x % block_size.y), (unsigned)(i / block_size.x / block_size.y)};
        f.number = (int)i;
        f.waiting = nothing;
        f.done = false;
        memset(f.slot, 0xff, sizeof f.slot);
        begin(f.context, stacks + i * stack_bytes, stack_bytes, entry);
    }
}

// Let go on, and hand over what they shuffle, the lanes of a warp of which all that their masks name wait at one line. Those that
// have ended are not waited for.
inline bool release_warp(size_t first, size_t end) {
    bool released = false;
    for (size_t i = first; i < end; i++) {
        Fiber& f = fibers[i];
        if (f.done || f.waiting != warp) continue;
        auto named = [&](size_t j) { return (f.mask >> (j - first) & 1) && !fibers[j].done; };
        bool all = true;
        for (size_t j = first; j < end; j++)
            if (named(j) && (fibers[j].waiting != warp || fibers[j].line != f.line || fibers[j].mask != f.mask)) all = false;
        if (!all) continue;
        for (size_t j = first; j < end; j++) {
            if (!named(j)) continue;
            if (fibers[j].from >= 0) fibers[j].received = fibers[first + fibers[j].from].slot[0];
            fibers[j].waiting = nothing;
        }
        released = true;
    }
    return released;
}

// Let all threads go on if all wait for the block at one line.
inline bool release_block(size_t count) {
    for (size_t i = 0; i < count; i++)
        if (fibers[i].done || fibers[i].waiting != block || fibers[i].line != fibers[0].line) return false;
    for (size_t i = 0; i < count; i++) fibers[i].waiting = nothing;
    return true;
}

inline void describe(char* out, size_t size, const Fiber& f) {
    if (f.done) snprintf(out, size, "thread %u,%u,%u has ended", f.index.x, f.index.y, f.index.z);
    else snprintf(out, size, "thread %u,%u,%u waits for its %s at line %d", f.index.x, f.index.y, f.index.z, f.waiting == warp ? "warp" : "block", f.line);
}

// The i-th of `count` in one of three orders: upwards, downwards, scattered.
inline size_t turn(size_t i, size_t count, int order) {
    return order == 0 ? i : order == 1 || count % 7919 == 0 ? count - 1 - i : (i * 7919 + 13) % count;
}

// Upwards, all warps go on step by step together; in the other orders each goes as far as it can before the next one begins, so
// that where no barrier holds it, it is ahead of all others.
inline void run_block(int order) {
    size_t count = (size_t)block_size.x * block_size.y * block_size.z, warps = (count + 31) / 32;
    begin_block(count);
    for (;;) {
        for (size_t n = 0; n < warps; n++) {
            size_t first = 32 * turn(n, warps, order), end = first + 32 < count ? first + 32 : count;
            do {
                for (size_t i = 0; i < end - first; i++) {
                    current = &fibers[first + turn(i, end - first, order)];
                    if (current->done || current->waiting != nothing) continue;
                    switch_to(scheduler, current->context);
                    if (fault[0]) return;
                }
            } while (order && release_warp(first, end));
        }
        bool left = false, released = false;
        for (size_t i = 0; i < count; i++) left |= !fibers[i].done;
        if (!left) return;
        for (size_t w = 0; w < count; w += 32) released |= release_warp(w, w + 32 < count ? w + 32 : count);
        if (released || release_block(count)) continue;
        size_t other = 0;  // a thread that is not where the first is
        while (other + 1 < count && fibers[other].done == fibers[0].done && fibers[other].waiting == fibers[0].waiting &&
               fibers[other].line == fibers[0].line)
            other++;
        char one[128], two[128];
        describe(one, sizeof one, fibers[0]);
        describe(two, sizeof two, fibers[other]);
        snprintf(fault, sizeof fault, "not all threads reach one barrier (block %u,%u,%u: %s, %s)", block_index.x, block_index.y, block_index.z, one, two);
        return;
    }
}

}  // namespace shim
