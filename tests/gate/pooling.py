"""Wrong rules of pooling: ties, overlaps that are written instead of added, counts of windows over the edge."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minivgg import ops
from minivgg.autograd.core import broadcast_to
from minivgg.backend import layout
from minivgg.backend.arrays import array_module

from .planting import Case, constant, planted

PLAIN = ops.Geometry((2, 2), (2, 2))


def enlarged(rng: np.random.Generator) -> Iterator[Case]:
    """Each pixel four times: every window is a tie that stays one however x moves."""

    def pool_of_an_enlarged_image(x: Any) -> Any:
        fourfold = broadcast_to(x.reshape((1, 2, 2, 1, 2, 1)), (1, 2, 2, 2, 2, 2))
        return ops.max_pool2d(fourfold.reshape((1, 2, 4, 4)))

    yield pool_of_an_enlarged_image, (rng.standard_normal((1, 2, 2, 2)),)


def one_tie(rng: np.random.Generator) -> Iterator[Case]:
    """Windows without a tie, where derivatives exist, and one with: there the definition says who wins."""
    x = rng.permutation(16).reshape(1, 1, 4, 4) * 0.5
    x[0, 0, 0, 0] = x[0, 0, 1, 1] = 9.0
    yield ops.MaxPool2d(PLAIN), (x,)


@planted(ops.MaxPool2d, "grad_x")
def max_pool_spreads_evenly(self: Any, gy: Any, x_shape: Any) -> Any:
    """Every element of a window gets its share: the rule of average pooling."""
    return ops.AvgPool2dInput(self.geometry, x_shape)(gy)


@planted(ops.MaxPool2d, "grad_x", cases=enlarged)
def max_pool_sends_to_all_winners(self: Any, gy: Any, x: Any, y: Any) -> Any:
    """At a tie each of the winners gets all of gy (for windows of 2×2 that do not overlap)."""
    n, c, p, q = gy.shape
    blocks = constant(x).reshape((n, c, p, 2, q, 2))
    best = constant(y).reshape((n, c, p, 1, q, 1))
    return (gy.reshape((n, c, p, 1, q, 1)) * (blocks >= best)).reshape(x.shape)


@planted(ops.MaxPool2d, "grad_x", cases=one_tie)
def max_pool_sends_to_the_last_winner(self: Any, gy: Any, x: Any, y: Any) -> Any:
    """At a tie the last tap wins, where the definition says the first."""
    taps = [constant(x).data if hasattr(x, "node") else x for x in (x, y)]
    winners = array_module(taps[0]).zeros_like(taps[1], dtype="uint8")
    for i, tap in enumerate(taps[0][:, :, r::2, s::2] for r in (0, 1) for s in (0, 1)):
        array_module(tap).copyto(winners, winners.dtype.type(i), where=tap == taps[1])
    return ops.PoolScatter(self.geometry, x.shape)(gy, winners)


@planted(ops.MaxPool2d, "grad_x")
def max_pool_numbers_the_taps_down_the_columns(self: Any, gy: Any, x_shape: Any) -> Any:
    """Winners are numbered row by row and read column by column."""
    rows, columns = self.geometry.kernel
    read = self.winners // columns + (self.winners % columns) * rows
    return ops.PoolScatter(self.geometry, x_shape)(gy, read)


@planted(ops.MaxPool2d, "grad_x")
def max_pool_cuts_gy(self: Any, gy: Any, x_shape: Any) -> Any:
    """gy is read as a constant."""
    return ops.PoolScatter(self.geometry, x_shape)(constant(gy), self.winners)


@planted(ops.PoolScatter, "forward", cases=ops.MaxPool2d.examples)
def pool_scatter_writes_where_it_should_add(self: Any, u: Any, winners: Any) -> Any:
    """= for +=: a pixel that wins in two overlapping windows gets one gradient, or none."""
    n, c, h, w = self.shape
    (top, bottom), (left, right) = self.geometry.margins(h, w)
    y = layout.zeros((n, c, h + top + bottom, w + left + right), u)
    for i, (_, _, (rows, cols)) in enumerate(self.geometry.taps(*winners.shape[2:])):
        y[:, :, rows, cols] = u * (winners == i)
    return self.geometry.unpad(y, h, w)


@planted(ops.PoolScatter, "grad_u")
def pool_scatter_gathers_the_mean(self: Any, gy: Any) -> Any:
    """The mean of the window in place of the winner's element."""
    return ops.AvgPool2d(self.geometry)(gy)


@planted(ops.PoolScatter, "grad_u")
def pool_scatter_gathers_the_next_tap(self: Any, gy: Any, winners: Any) -> Any:
    """Off by one: the tap behind the winner is read."""
    return ops.PoolGather(self.geometry)(gy, (winners + 1) % self.geometry.size)


@planted(ops.PoolGather, "grad_x")
def pool_gather_scatters_to_the_first_tap(self: Any, gy: Any, winners: Any, x_shape: Any) -> Any:
    """The winners are forgotten: the first tap of each window gets the gradient."""
    return ops.PoolScatter(self.geometry, x_shape)(gy, winners * 0)


@planted(ops.PoolGather, "grad_x")
def pool_gather_counts_every_tap_behind_the_winner(self: Any, gy: Any, winners: Any, x_shape: Any) -> Any:
    """A scatter for each tap up to the winner, as with >= for ==."""
    g = ops.PoolScatter(self.geometry, x_shape)(gy, winners)
    return g + ops.PoolScatter(self.geometry, x_shape)(gy * (winners > 0), winners * 0)


@planted(ops.AvgPool2d, "grad_x")
def avg_pool_forgets_to_divide(self: Any, gy: Any, x_shape: Any) -> Any:
    """Every element of a window gets all of gy: the rule of a sum."""
    return ops.AvgPool2dInput(self.geometry, x_shape)(gy) * self.geometry.size


@planted(ops.AvgPool2d, "grad_x")
def avg_pool_counts_taps_over_the_edge(self: Any, gy: Any, x_shape: Any) -> Any:
    """R·S in the denominator everywhere, also for windows that hang over the edge."""
    (n, c), size = x_shape[:2], self.geometry.size
    share = gy.reshape((n, c, 1, gy.shape[2] * gy.shape[3])) / size
    columns = broadcast_to(share, (n, c, size, share.shape[3])).reshape((n, c * size, share.shape[3]))
    return ops.Col2im(self.geometry, x_shape)(columns)


@planted(ops.AvgPool2d, "grad_x")
def avg_pool_crops_at_the_corner(self: Any, gy: Any, x_shape: Any) -> Any:
    """The gradient of the padded image is cropped from its corner, not from behind the padding."""
    (n, c, height, width), g = x_shape, self.geometry
    padded = (n, c, height + 2 * g.padding[0], width + 2 * g.padding[1])
    plain = ops.Geometry(g.kernel, g.stride, ceil_mode=g.ceil_mode)
    return ops.AvgPool2dInput(plain, padded)(gy)[:, :, :height, :width]


@planted(ops.AvgPool2dInput, "forward", cases=ops.AvgPool2d.examples)
def avg_pool_input_writes_where_it_should_add(self: Any, u: Any) -> Any:
    """= for +=: of overlapping windows the last one counts (the denominators are those of whole windows)."""
    n, c, h, w = self.shape
    (top, bottom), (left, right) = self.geometry.margins(h, w)
    y = layout.zeros((n, c, h + top + bottom, w + left + right), u)
    for _, _, (rows, cols) in self.geometry.taps(*u.shape[2:]):
        y[:, :, rows, cols] = u / self.geometry.size
    return self.geometry.unpad(y, h, w)


@planted(ops.AvgPool2dInput, "grad_u")
def avg_pool_input_takes_the_maximum(self: Any, gy: Any) -> Any:
    """The wrong pooling: the largest element of the window in place of its mean."""
    return ops.MaxPool2d(self.geometry)(gy)


@planted(ops.AvgPool2dInput, "grad_u")
def avg_pool_input_forgets_to_divide(self: Any, gy: Any) -> Any:
    """The sum of the window in place of its mean."""
    return ops.AvgPool2d(self.geometry)(gy) * self.geometry.size
