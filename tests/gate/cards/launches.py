"""Bugs in what launches the kernels: too few blocks, the wrong variant, arrays forgotten, filters as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from minivgg.backend.arrays import array_module
from minivgg.fast.cuda import activation, batch_norm, columns, cross_entropy, implicit, philox, rows, sgd, table, winograd

from . import cases
from .planting import wrong_launch
from .witnesses import Case

__all__: list[str] = []

LAYOUT, PARTS, TABLES = rows.layout, implicit._parts, table.tables


def bug(functions: str, case: Case, attribute: str, *modules: Any) -> Callable[..., Any]:
    """Enter the decorated function, to stand in for the modules' `attribute`; its docstring states the slip."""

    def enter(wrong: Callable[..., Any]) -> Callable[..., Any]:
        wrong_launch(wrong.__name__, functions, case, modules, attribute, wrong, " ".join((wrong.__doc__ or "").split()))
        return wrong

    return enter


@bug("finish_stored_sums", cases.DIRECT, "column_blocks", rows, activation, batch_norm)
def second_stage_has_whole_blocks_only(k: int) -> int:
    """⌊K / 8⌋ blocks: the columns left over behind whole blocks are not summed."""
    return max(k // rows.COLUMN_THREADS[0], 1)


@bug("add_bias_relu", cases.ONE_BY_ONE, "layout", rows, activation, batch_norm)
def rows_are_counted_in_vectors(x: Any, each: int, most: int) -> Any:
    """The grid is that of whole vectors, though channels are no multiple of 16 bytes and threads take one number each."""
    blocks, (across, high) = LAYOUT(x, each=each, most=most)
    return blocks, (max(across // 4, 1), high)


@bug("direct_forward", cases.DIRECT, "_tiles", implicit)
def tiles_are_whole_ones_only(n: int, output: tuple[int, int], high: int, wide: int) -> int:
    """⌊P / rows⌋·⌊Q / columns⌋ blocks: what is left over at the edges belongs to none."""
    return n * max(output[0] // high, 1) * max(output[1] // wide, 1)


@bug("direct_weight sum_parts", cases.DIRECT, "_parts", implicit)
def halves_of_tiles_have_no_room(problem: Any, itemsize: int) -> Any:
    """A block sums two halves of its tiles apart, but there is room for one sum a block."""
    blocks, parts, partial = PARTS(problem, itemsize)
    return blocks, parts, partial // 2


@bug("direct_forward", cases.UNEVEN, "image_gradient", implicit)
def image_gradient_pads_as_the_images(gy: Any, filters: Any, problem: Any) -> Any:
    """The gradient is padded by the padding, not by 2 − padding: the same only where that is 1."""
    xp = array_module(gy)
    gx = xp.empty((problem.n, *problem.size, problem.c), gy.dtype)
    turned = xp.ascontiguousarray(filters[::-1, ::-1].transpose(0, 1, 3, 2))
    implicit._convolve(gy, turned, None, gx, problem.geometry.padding, False)
    return gx


@bug("winograd_filters", cases.WINOGRAD, "flipped", columns, winograd)
def filters_are_not_turned(w: Any) -> Any:
    """The image gradient with the filters as they are: only their channel axes are exchanged."""
    return array_module(w).ascontiguousarray(w.transpose(0, 1, 3, 2))


@bug("cross_entropy", cases.CROSS_ENTROPY, "_shared", cross_entropy)
def blocks_end_amid_a_warp(count: int, classes: int) -> Any:
    """A thread for four classes, not rounded up to a warp: lanes that do not exist are asked for their sums."""
    return count, min(-(-classes // 4), rows.THREADS)


@bug("sgd", cases.MANY, "tables", table, sgd)
def update_takes_one_launch(entries: Any) -> Iterator[Any]:
    """Of more than 120 parameters only the first 120 are updated."""
    yield next(iter(TABLES(entries)))


@bug("keep", cases.DRAWS, "_skip", philox)
def draws_leave_the_generator_where_it_was(rng: Any, state: Any, count: int) -> None:
    """The next mask is drawn from the same place."""


wrong_launch(
    "columns_are_packed_whatever_their_channels", "columns_gather_packed", cases.COLUMNS, (columns,), "_VECTOR", 4,
    "The variant for whole vectors is taken for 5 channels, of which it moves 4.",
)  # fmt: skip
