// The tensor cores' instructions and asynchronous copies on the CPU, for kernels that include mma.cuh. Before the kernel's source.
//
// Where the elements of A, B and C lie among the lanes is written as in NVIDIA's PTX ISA manual, "Matrix Fragments for mma.m16n8k8" (.tf32)
// and "... mma.m16n8k16 with floating point type", and "ldmatrix": groupID = lane >> 2, threadID_in_group = lane % 4.
namespace tensor_cores {
using namespace shim;

// What each lane shows the others of its warp. Two sets by turns: who shows something in the first set again has passed
// the meeting for the second, which all lanes reach only after they have read the first.
struct Shown { unsigned registers[6]; const void* row; };
static Shown shown[2][1024];
static bool turn_of[1024];

inline const Shown* show(const unsigned* registers, int count, const void* row, int line) {
    int number = current->number, turn = turn_of[number] = !turn_of[number];
    lanes_of(0xffffffffu, line);
    for (int i = 0; i < count; i++) shown[turn][number].registers[i] = registers[i];
    shown[turn][number].row = row;
    wait(warp, line);
    return &shown[turn][number / 32 * 32];
}

inline float half_value(unsigned short bits) {
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    float size = exponent == 31 ? (fraction ? NAN : INFINITY) : exponent ? ldexpf(1024 + fraction, exponent - 25) : ldexpf(fraction, -24);
    return bits & 0x8000 ? -size : size;
}

enum Kind { tf32, half, bfloat };

// Who holds which element, by the manual's formulas for the row and column of a_i and b_i in each lane; and all halves' values.
struct Owner { unsigned char lane, i; };
struct Layout {
    Owner a[16][16], b[16][8];
    explicit Layout(bool halves) {
        for (int lane = 0; lane < 32; lane++) {
            int group = lane >> 2, inside = lane % 4;
            for (int i = 0; i < (halves ? 8 : 4); i++) {
                bool upper = halves ? (0 <= i && i < 2) || (4 <= i && i < 6) : i == 0 || i == 2;
                int column = halves ? inside * 2 + (i & 1) + (i < 4 ? 0 : 8) : i < 2 ? inside : inside + 4;
                a[upper ? group : group + 8][column] = {(unsigned char)lane, (unsigned char)i};
            }
            for (int i = 0; i < (halves ? 4 : 2); i++) {
                int row = halves ? inside * 2 + (i & 1) + (i < 2 ? 0 : 8) : i == 0 ? inside : inside + 4;
                b[row][group] = {(unsigned char)lane, (unsigned char)i};
            }
        }
    }
};
static const Layout layouts[2] = {Layout(false), Layout(true)};
static const std::vector<float> half_values = [] {
    std::vector<float> all(65536);
    for (int bits = 0; bits < 65536; bits++) all[bits] = half_value((unsigned short)bits);
    return all;
}();

template <Kind kind> float element(const Shown* lanes, Owner owner, int first) {  // of the fragment that begins at a register
    if (kind == tf32) {
        unsigned bits = lanes[owner.lane].registers[first + owner.i];
        if (bits & 0x1fff) fail("an operand of a TF32 product was not rounded to TF32", 0);
        return value_of<float>(bits);
    }
    unsigned short bits = (unsigned short)(lanes[owner.lane].registers[first + owner.i / 2] >> 16 * (owner.i % 2));
    return kind == half ? half_values[bits] : value_of<float>((unsigned)bits << 16);
}

template <Kind kind> void multiply(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    unsigned all[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
    const Shown* lanes = show(all, 6, nullptr, 1000001 + kind);
    const Layout& layout = layouts[kind != tf32];
    int depth = kind == tf32 ? 8 : 16, group = current->number % 32 >> 2, inside = current->number % 4;
    for (int k = 0; k < depth; k++) {  // c_i is in row groupID (+ 8 for i >= 2), column threadID_in_group * 2 + (i & 1)
        float upper = element<kind>(lanes, layout.a[group][k], 0), lower = element<kind>(lanes, layout.a[group + 8][k], 0);
        float left = element<kind>(lanes, layout.b[k][inside * 2], 4), right = element<kind>(lanes, layout.b[k][inside * 2 + 1], 4);
        c[0] += upper * left, c[1] += upper * right, c[2] += lower * left, c[3] += lower * right;
    }
}

inline void load_matrices(unsigned (&to)[4], const void* row, bool transposed) {
    if ((uintptr_t)row % 16) fail("a row of ldmatrix does not begin at a multiple of 16 bytes", 0);
    const Shown* lanes = show(nullptr, 0, row, transposed ? 1000004 : 1000005);
    int group = current->number % 32 >> 2, inside = current->number % 4;
    for (int matrix = 0; matrix < 4; matrix++) {
        unsigned short halves[2];
        for (int i = 0; i < 2; i++) {
            int r = transposed ? inside * 2 + i : group, column = transposed ? group : inside * 2 + i;
            memcpy(&halves[i], (const char*)lanes[matrix * 8 + r].row + 2 * column, 2);
        }
        to[matrix] = halves[0] | (unsigned)halves[1] << 16;
    }
}

// Copies under way. What they will overwrite is spoiled at once, and is right only after the wait.
struct Copy { void* to; unsigned char bytes[16]; };
struct Copies { std::vector<std::vector<Copy>> groups; std::vector<Copy> open; dim3 block; };
static Copies copies[1024];

inline Copies& my_copies() {
    Copies& mine = copies[current->number];
    bool same = mine.block.x == block_index.x && mine.block.y == block_index.y && mine.block.z == block_index.z;
    if (!same) {
        mine.groups.push_back(std::move(mine.open));
        for (auto& group : mine.groups)
            if (!group.empty()) fail("the block before left copies that were never waited for", 0);
        mine.groups.clear();
        mine.open.clear();
    }
    mine.block = block_index;
    return mine;
}

inline void wait_for_copies(size_t left) {
    Copies& mine = my_copies();
    while (mine.groups.size() > left) {
        for (Copy& copy : mine.groups[0]) memcpy(copy.to, copy.bytes, 16);
        mine.groups.erase(mine.groups.begin());
    }
}

}  // namespace tensor_cores

inline void copy_async(void* to, const void* from, bool there) {
    if ((uintptr_t)to % 16 || (uintptr_t)from % 16) tensor_cores::fail("a copy of 16 bytes does not begin at a multiple of 16", 0);
    tensor_cores::Copy copy = {to, {}};
    if (there) memcpy(copy.bytes, from, 16);
    memset(to, 0xff, 16);
    tensor_cores::my_copies().open.push_back(copy);
}
inline void copy_commit() {
    tensor_cores::Copies& mine = tensor_cores::my_copies();
    mine.groups.push_back(std::move(mine.open));
    mine.open.clear();
}
template <int left> void copy_wait() { tensor_cores::wait_for_copies(left); }
inline void load_four(unsigned (&to)[4], const void* row) { tensor_cores::load_matrices(to, row, false); }
inline void load_four_transposed(unsigned (&to)[4], const void* row) { tensor_cores::load_matrices(to, row, true); }
inline unsigned to_tf32(unsigned bits) {  // to nearest, halves away from zero
    return (bits & 0x7f800000u) == 0x7f800000u ? bits & ~0x1fffu : (bits + 0x1000u) & ~0x1fffu;
}
inline void multiply_tf32(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) { tensor_cores::multiply<tensor_cores::tf32>(c, a, b); }
inline void multiply_half(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) { tensor_cores::multiply<tensor_cores::half>(c, a, b); }
inline void multiply_bfloat(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) { tensor_cores::multiply<tensor_cores::bfloat>(c, a, b); }
