// A table of arrays that comes with the launch, by value: COLUMNS addresses and a size for each of up to MOST rows.
//
// Kernel arguments may have 4 KB in all and are read through the constant cache. 120 rows of three addresses and a size are 3,840 bytes;
// a VGG-16 with batch norm has 58 parameters. The blocks share out all rows together, in tiles of TILE elements, so that a matrix of 10^8
// elements and a bias of 64 are one launch.
#include "numbers.cuh"

#define MOST 120
#define TILE 4096

struct table_t {
    Stored* address[COLUMNS][MOST];
    long long size[MOST];
    long long rows;
};

// Calls work(row, from, to) for each tile of this block: elements [from, to) of the arrays in `row`.
template <class Work> __device__ __forceinline__ void for_each_tile(const table_t& table, Work work) {
    long long passed = 0;  // tiles of the rows before `row`
    int row = 0;
    for (long long tile = blockIdx.x;; tile += gridDim.x) {
        while (row < table.rows && tile - passed >= (table.size[row] + TILE - 1) / TILE) passed += (table.size[row++] + TILE - 1) / TILE;
        if (row >= table.rows) return;
        long long from = (tile - passed) * TILE;
        work(row, from, from + TILE < table.size[row] ? from + TILE : table.size[row]);
    }
}
