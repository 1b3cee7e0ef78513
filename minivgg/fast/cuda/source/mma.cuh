// Instructions of the tensor cores, and copies that go around the registers (compute capability 8.0 and later).
//
// A warp multiplies a 16×8 (TF32) or 16×16 (half, bfloat16) matrix A by B with 8 columns and adds it to C, 16×8 floats. The matrices are
// spread over the lanes: with g = lane / 4 and t = lane % 4 a lane holds, in registers of 32 bits (PTX ISA, "Matrix Fragments"),
//
//     A, TF32:  A[g][t], A[g+8][t], A[g][t+4], A[g+8][t+4]            half: the same, with pairs of neighbouring columns 2t, 2t+1
//                                                                     for t and 2t+8, 2t+9 for t+4
//     B, TF32:  B[t][g], B[t+4][g]                                    half: B[2t, 2t+1][g], B[2t+8, 2t+9][g]
//     C:        C[g][2t], C[g][2t+1], C[g+8][2t], C[g+8][2t+1]
//
// `load_four` (ldmatrix) reads four matrices of 8 rows of 16 bytes; lane l names row l % 8 of matrix l / 8. A lane receives from
// each the 4 bytes number t of row g: of two matrices above and two beside each other, just what it needs of A. Transposed, it gets the
// two halves number g of rows 2t and 2t+1: what it needs of a B, or of an A that is stored by columns.
//
// Copies (cp.async) move 16 bytes from global to shared memory, or write zeros. They are gathered in groups by `copy_commit`; `copy_wait<n>`
// waits until at most the last n groups of this thread are under way. Other threads see them after the next barrier.

#ifdef __CUDA_ARCH__

__device__ __forceinline__ unsigned shared_address(const void* place) { return (unsigned)__cvta_generic_to_shared(place); }

// 16 bytes, or zeros if they are not there; the whole line of 128 bytes is fetched to the L2 cache.
__device__ __forceinline__ void copy_async(void* to, const void* from, bool there) {
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(there ? 16 : 0) : "memory");
}
__device__ __forceinline__ void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int left> __device__ __forceinline__ void copy_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(left) : "memory"); }

__device__ __forceinline__ void load_four(unsigned (&to)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(shared_address(row)) : "memory");
}
__device__ __forceinline__ void load_four_transposed(unsigned (&to)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(shared_address(row)) : "memory");
}

// A float's bits rounded to TF32, 10 bits behind the point, to nearest.
__device__ __forceinline__ unsigned to_tf32(unsigned bits) {
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(__uint_as_float(bits)));
    return bits;
}

#define MULTIPLY(name, shape)                                                                                                       \
    __device__ __forceinline__ void name(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {                          \
        asm volatile("mma.sync.aligned." shape " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"                    \
                     : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])                                                              \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));                                           \
    }
MULTIPLY(multiply_tf32, "m16n8k8.row.col.f32.tf32.tf32.f32")
MULTIPLY(multiply_half, "m16n8k16.row.col.f32.f16.f16.f32")
MULTIPLY(multiply_bfloat, "m16n8k16.row.col.f32.bf16.bf16.f32")
#undef MULTIPLY

#else  // the host pass of nvcc, and kernels that run on the CPU: these are defined there

__device__ void copy_async(void* to, const void* from, bool there);
__device__ void copy_commit();
template <int left> __device__ void copy_wait();
__device__ void load_four(unsigned (&to)[4], const void* row);
__device__ void load_four_transposed(unsigned (&to)[4], const void* row);
__device__ unsigned to_tf32(unsigned bits);
__device__ void multiply_tf32(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]);
__device__ void multiply_half(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]);
__device__ void multiply_bfloat(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]);

#endif

// What was loaded as an A, rounded to TF32 if it consists of floats.
__device__ __forceinline__ void round_a(unsigned (&a)[4], float) {
#pragma unroll
    for (int i = 0; i < 4; i++) a[i] = to_tf32(a[i]);
}
template <class Half> __device__ __forceinline__ void round_a(unsigned (&)[4], Half) {}

// c += a·b, by the type of what is stored.
__device__ __forceinline__ void multiply(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2], float) { multiply_tf32(c, a, b); }
__device__ __forceinline__ void multiply(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2], half_t) { multiply_half(c, a, b); }
__device__ __forceinline__ void multiply(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2], bfloat_t) { multiply_bfloat(c, a, b); }

// B of 8 (float) or 16 (half) rows and 32 columns, as four fragments, from rows of `stride` numbers whose neighbours are columns.
// A warp's reads hit every bank once if the stride is 8 more than a multiple of 32 words (float), or 4 more than one (half).
__device__ __forceinline__ void load_b(unsigned (&b)[4][2], const float* from, int stride, int lane) {
#pragma unroll
    for (int j = 0; j < 4; j++)
#pragma unroll
        for (int i = 0; i < 2; i++) b[j][i] = to_tf32(__float_as_uint(from[(lane % 4 + 4 * i) * stride + 8 * j + lane / 4]));
}
template <class Half> __device__ __forceinline__ void load_b(unsigned (&b)[4][2], const Half* from, int stride, int lane) {
#pragma unroll
    for (int j = 0; j < 4; j += 2) {
        unsigned four[4];
        load_four_transposed(four, from + lane % 16 * stride + 8 * j + lane / 16 * 8);
        b[j][0] = four[0], b[j][1] = four[1], b[j + 1][0] = four[2], b[j + 1][1] = four[3];
    }
}
