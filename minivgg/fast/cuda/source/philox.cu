// Dropout's mask from Philox4x64-10, the words that NumPy's generator gives for the same key and counter.
//
// Block c of the stream is a bijection of the 256-bit counter c, keyed by 128 bits (Salmon et al. 2011): ten rounds of
//     (c0, c1, c2, c3) <- (hi(M1 c2) ^ c1 ^ k0,  lo(M1 c2),  hi(M0 c0) ^ c3 ^ k1,  lo(M0 c0)),
// with k0, k1 raised by constants between rounds. A block has four 64-bit words, and each is two 32-bit words, the low half first. A float32
// number is (word >> 8) / 2^24, so that number >= p  <=>  (word >> 8) >= ceil(p 2^24): an element is decided by integers alone.
//
// Blocks do not depend on each other: a thread makes one block, which is eight elements. 20 wide products for 8 bytes written, 1 byte
// an element; a mask of 64 x 4096 takes 32,768 threads.

typedef unsigned long long word_t;

struct block_t { word_t word[4]; };

__device__ __forceinline__ block_t philox(block_t c, word_t k0, word_t k1) {
    for (int round = 0; round < 10; round++) {
        const word_t m0 = 0xD2E7470EE14C6C93ull, m1 = 0xCA5A826395121157ull;
        word_t high0 = __umul64hi(m0, c.word[0]), low0 = m0 * c.word[0];
        word_t high1 = __umul64hi(m1, c.word[2]), low1 = m1 * c.word[2];
        c = block_t{{high1 ^ c.word[1] ^ k0, low1, high0 ^ c.word[3] ^ k1, low0}};
        k0 += 0x9E3779B97F4A7C15ull;
        k1 += 0xBB67AE8584CAA73Bull;
    }
    return c;
}

// mask[i] = whether the 32-bit word number start + i, counted from block (c0, c1, c2, c3) on, is kept; 0 <= start < 8.
extern "C" __global__ void keep(unsigned char* mask, long long count, long long start, long long threshold, word_t c0, word_t c1, word_t c2,
                                word_t c3, word_t k0, word_t k1) {
    for (long long block = (long long)blockIdx.x * blockDim.x + threadIdx.x; 8 * block < start + count;
         block += (long long)gridDim.x * blockDim.x) {
        block_t c{{c0 + (word_t)block, c1, c2, c3}};
        if (c.word[0] < c0 && ++c.word[1] == 0 && ++c.word[2] == 0) ++c.word[3];  // the carry
        c = philox(c, k0, k1);
        word_t kept = 0;  // a byte for each element
        for (int j = 0; j < 8; j++) {
            unsigned word = (unsigned)(c.word[j / 2] >> (j % 2 * 32));
            kept |= (word_t)((long long)(word >> 8) >= threshold) << (8 * j);
        }
        long long i = 8 * block - start;
        if (start == 0 && i + 8 <= count) {
            *(word_t*)(mask + i) = kept;
        } else {
            for (int j = 0; j < 8; j++)
                if (i + j >= 0 && i + j < count) mask[i + j] = (unsigned char)(kept >> (8 * j) & 1);
        }
    }
}
