"""Images as rows of K numbers, and how the threads of a kernel share them: the other half of `source/rows.cuh`."""

from __future__ import annotations

from ...backend.arrays import Array, array_module

__all__ = ["COLUMN_THREADS", "THREADS", "VECTOR", "WARP", "as_rows", "column_blocks", "from_rows", "layout", "served"]

THREADS = 256
COLUMN_THREADS = (8, THREADS // 8)  # of a second stage's blocks: 8 columns, since 32 bytes of a row are the least that is fetched
VECTOR = 16  # bytes of one access
WARP = 32


def served(*arrays: Array) -> bool:
    """Whether kernels have the number types of all the arrays, and none is empty."""
    return all(a.size > 0 and a.dtype.name in {"float16", "bfloat16", "float32", "float64"} for a in arrays)


def as_rows(x: Array) -> Array:
    """x (N, C, …) as contiguous rows (N·…, C); images that are stored channels-last are not copied."""
    last = array_module(x).ascontiguousarray(x.transpose((0, *range(2, x.ndim), 1)))
    return last.reshape(-1, x.shape[1])


def from_rows(rows: Array, shape: tuple[int, ...]) -> Array:
    """Rows (N·…, C) seen as an array of the given shape (N, C, …)."""
    n, c, *rest = shape
    return rows.reshape(n, *rest, c).transpose((0, len(shape) - 1, *range(1, len(shape) - 1)))


def layout(rows: Array, each: int, most: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """(blocks, threads) for contiguous rows (…, K): both are (across K, along the rows).

    A thread is given `each` rows or more, and there are about `most` blocks or fewer. A function of the sizes only, so that sums
    are added in the same order every time, on every card.
    """
    k = rows.shape[-1]
    count, vector = rows.size // max(k, 1), VECTOR // rows.itemsize
    columns = k // vector if k % vector == 0 else k
    across = min(WARP, 1 << max(columns - 1, 0).bit_length())
    groups, high = -(-columns // across), THREADS // across
    return (groups, max(min(-(-count // (high * each)), most // groups), 1)), (across, high)


def column_blocks(k: int) -> int:
    """How many blocks of COLUMN_THREADS a second stage over K columns takes."""
    return -(-k // COLUMN_THREADS[0])
