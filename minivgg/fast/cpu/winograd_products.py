"""Winograd's convolution of whole batches, forwards and backwards: which tiles are at work when.

Tiles pass three stages: transform, multiply place by place, transform back. If the transformed filters are small, each thread
takes *portions* of its own through all three, and everything stays in its cache. If they are large (a²·C·K numbers: 38 MB for
512 by 512 filters), all threads work on one large portion, stage by stage: a thread then multiplies one place's filters with all
tiles of the portion, so that they are read once. Portions depend on shapes alone; sums over portions are taken in their order.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from ...backend import memory
from ...backend.arrays import Array
from ...backend.threads import run, split
from ..problem import Problem
from . import winograd
from .bands import LANES
from .ending import Ending, Upstream
from .portions import Portion, portions
from .winograd import Tiling

__all__ = ["forward", "gradients", "tiling"]

_OWN_FILTERS = 5 << 19  # bytes of transformed filters up to which each thread takes its own portions; half, backwards
_OWN_PORTION = 1 << 21  # bytes of transformed tiles in such a portion
_COMMON_PORTION = 32 << 20  # bytes of transformed tiles in a portion that all threads share, or two images
_PRODUCTS = 1 << 23  # multiply-adds in a thread's share of the places
_PIECE = 1 << 20  # bytes of tiles, or filters, that a thread transforms at a time


def tiling(problem: Problem, m: int) -> Tiling:
    """How F(m×m, 3×3) cuts a problem's images."""
    return Tiling(m, problem.size, problem.output, problem.geometry.padding)


def transformed_filters(w: Array, m: int) -> Array:
    """U (a², C, K) from filters w (3, 3, C, K)."""
    _, _, c, k = w.shape
    flat, out = w.reshape(9, c * k), memory.scratch(((m + 2) ** 2, c, k), w.dtype)
    whole = out.reshape(-1, c * k)
    run(lambda part: winograd.filters(flat[:, part], m, whole[:, part]), split(c * k, _PIECE // (len(out) * w.itemsize)))
    return out


def forward(x: Array, w: Array, problem: Problem, m: int, ending: Ending) -> Array:
    """y (N, P, Q, K) from x (N, H, W, C) and filters w (3, 3, C, K)."""
    g, u = tiling(problem, m), transformed_filters(w, m)
    (places, c, k), across = u.shape, g.tiles[1]
    y, every = memory.empty((problem.n, *problem.output, k), x.dtype), slice(0, problem.n)

    def transform(v: Array, whole: Portion, part: Portion) -> None:
        winograd.gather(x[part.images], g, part.band, v[:, part.place(whole, across)])

    def finish(product: Array, whole: Portion, part: Portion) -> None:
        winograd.scatter(product[:, part.place(whole, across)], g, part.band, ending.bias, y[part.images])
        ending.rectify(y[part.images, g.written(part.band)])

    def buffers(count: int) -> tuple[Array, Array]:
        return memory.scratch((places, count, c), x.dtype), memory.scratch((places, count, k), x.dtype)

    def alone(portion: Portion) -> None:
        v, product = buffers(portion.count(across))
        transform(v, portion, portion)
        np.matmul(v, u, out=product)
        finish(product, portion, portion)

    if u.nbytes <= _OWN_FILTERS:
        run(alone, portions(every, g, max(c, k), x.itemsize, _OWN_PORTION))
        return y
    cut = portions(every, g, max(c, k), x.itemsize, _COMMON_PORTION, least=2)
    whole_v, whole_product = buffers(max(portion.count(across) for portion in cut))
    for portion in cut:
        v, product = whole_v[:, : portion.count(across)], whole_product[:, : portion.count(across)]
        run(partial(transform, v, portion), portions(portion.images, g, c, x.itemsize, _PIECE))
        run(partial(_multiply, v, u, product), _places(places, portion.count(across) * c * k))
        run(partial(finish, product, portion), portions(portion.images, g, k, x.itemsize, _PIECE))
    return y


def gradients(upstream: Upstream, x: Array | None, w: Array | None, problem: Problem, m: int) -> tuple[Array | None, Array | None]:
    """(gx, gw): gx (N, H, W, C) if filters w (3, 3, C, K) are given, gw (3, 3, C, K) if images x are given."""
    job = _Backward(upstream, x, w, problem, m)
    job.alone() if job.places * problem.c * problem.k * job.dtype.itemsize <= _OWN_FILTERS // 2 else job.together()
    return job.gx, job.filter_gradient()


class _Backward:
    """What both ways of going backwards share: U, and the sums of U̇."""

    def __init__(self, upstream: Upstream, x: Array | None, w: Array | None, problem: Problem, m: int) -> None:
        self.upstream, self.x, self.problem, self.m = upstream, x, problem, m
        self.g, self.places, self.dtype = tiling(problem, m), (m + 2) ** 2, upstream.gy.dtype
        self.u = None if w is None else transformed_filters(w, m)
        self.gx = None if w is None else memory.empty((problem.n, *problem.size, problem.c), self.dtype)
        self.sums: list[Array] = []

    def buffers(self, cut: list[Portion]) -> Iterator[tuple[Portion, Array, Array]]:
        """Each portion with room for its Ṁ (a², T, K) and V (a², T, C), which V̇ takes over: the same memory for all."""
        largest, (c, k) = max(portion.count(self.g.tiles[1]) for portion in cut), (self.problem.c, self.problem.k)
        gm, v = memory.scratch((self.places, largest, k), self.dtype), memory.scratch((self.places, largest, c), self.dtype)
        for portion in cut:
            count = portion.count(self.g.tiles[1])
            yield portion, gm[:, :count], v[:, :count]

    def arrive(self, gm: Array, whole: Portion, part: Portion) -> None:
        """Ṁ of a part."""
        gy = self.upstream.part(part.images, self.g.written(part.band))
        winograd.scatter_transposed(gy, self.g, part.band, gm[:, part.place(whole, self.g.tiles[1])])

    def gather(self, v: Array, whole: Portion, part: Portion) -> None:
        """V of a part."""
        assert self.x is not None
        winograd.gather(self.x[part.images], self.g, part.band, v[:, part.place(whole, self.g.tiles[1])])

    def leave(self, v: Array, whole: Portion, part: Portion) -> None:
        """The images' gradient of a part, from V̇."""
        assert self.gx is not None
        winograd.gather_transposed(v[:, part.place(whole, self.g.tiles[1])], self.g, part.band, self.gx[part.images])

    def alone(self) -> None:
        """Each thread takes whole images, in portions, all the way; sums go into LANES accumulators."""
        n, tiles = self.problem.n, self.g.tiles[0] * self.g.tiles[1]
        image = self.places * tiles * max(self.problem.c, self.problem.k) * self.dtype.itemsize
        self.sums = [a for a in run(self.lane, split(n, max(-(-n // LANES), _OWN_PORTION // image))) if a is not None]

    def lane(self, images: slice) -> Array | None:
        """One accumulator's images, portion by portion."""
        c, k = self.problem.c, self.problem.k
        total = part = None
        for portion, gm, v in self.buffers(portions(images, self.g, max(c, k), self.dtype.itemsize, _OWN_PORTION)):
            self.arrive(gm, portion, portion)
            if self.x is not None:
                self.gather(v, portion, portion)
                if total is None:
                    total, part = memory.scratch((self.places, c, k), self.dtype), memory.scratch((self.places, c, k), self.dtype)
                    np.matmul(v.transpose(0, 2, 1), gm, out=total)
                else:
                    total += np.matmul(v.transpose(0, 2, 1), gm, out=part)
            if self.u is not None:
                np.matmul(gm, self.u.transpose(0, 2, 1), out=v)
                self.leave(v, portion, portion)
        return total

    def together(self) -> None:
        """All threads work on one portion at a time, stage by stage."""
        c, k, size = self.problem.c, self.problem.k, self.dtype.itemsize
        total = None if self.x is None else memory.scratch((self.places, c, k), self.dtype)
        cut = portions(slice(0, self.problem.n), self.g, max(c, k), size, _COMMON_PORTION, least=2)
        for portion, gm, v in self.buffers(cut):
            run(partial(self.arrive, gm, portion), portions(portion.images, self.g, k, size, _PIECE))
            if total is not None:
                run(partial(self.gather, v, portion), portions(portion.images, self.g, c, size, _PIECE))
                multiply = _multiply if portion is cut[0] else _multiply_and_add
                run(partial(multiply, v.transpose(0, 2, 1), gm, total), _places(self.places, gm.shape[1] * c * k))
            if self.u is not None:
                run(partial(_multiply, gm, self.u.transpose(0, 2, 1), v), _places(self.places, gm.shape[1] * c * k))
                limit = max(_PIECE, self.places * self.g.tiles[0] * self.g.tiles[1] * c * size)  # whole images: tiles overlap
                run(partial(self.leave, v, portion), portions(portion.images, self.g, c, size, limit))
        self.sums = [] if total is None else [total]

    def filter_gradient(self) -> Array | None:
        """gw (3, 3, C, K): the sums' sum, transformed back."""
        if not self.sums:
            return None
        c, k = self.problem.c, self.problem.k
        out = memory.empty((9, c * k), self.dtype)

        def part(columns: slice) -> None:
            total = self.sums[0].reshape(self.places, -1)[:, columns]
            for other in self.sums[1:]:
                total += other.reshape(self.places, -1)[:, columns]
            winograd.filters_transposed(total, self.m, out[:, columns])

        run(part, split(c * k, _PIECE // (self.places * self.dtype.itemsize)))
        return out.reshape(3, 3, c, k)


def _places(count: int, multiply_adds: int) -> list[slice]:
    """The places of a tile, some at a time, with _PRODUCTS multiply-adds or more for a thread to do."""
    return split(count, max(_PRODUCTS // multiply_adds, 1))


def _multiply(a: Array, b: Array, out: Array, places: slice) -> None:
    """out_f = a_f b_f for some places f."""
    np.matmul(a[places], b[places], out=out[places])


def _multiply_and_add(a: Array, b: Array, out: Array, places: slice) -> None:
    """out_f += a_f b_f for some places f."""
    out[places] += np.matmul(a[places], b[places])
