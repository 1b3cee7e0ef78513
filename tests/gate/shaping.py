"""Wrong rules of ops that move numbers: slices off by one, permutations not inverted, repeated places written once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minivgg import ops
from minivgg.autograd.core import Tensor
from minivgg.backend import layout
from minivgg.backend.arrays import array_module

from .planting import Case, constant, planted


def cube(rng: np.random.Generator) -> Iterator[Case]:
    """Axes of one length, so that a wrong permutation has the right shape."""
    yield ops.Transpose((2, 0, 1)), (rng.standard_normal((2, 2, 2)),)


def square_windows(rng: np.random.Generator) -> Iterator[Case]:
    """Windows as high as wide, which may be transposed by mistake."""
    yield ops.Im2col(ops.Geometry((2, 2))), (rng.standard_normal((1, 2, 3, 3)),)


@planted(ops.Reshape, "grad_x")
def reshape_runs_column_by_column(self: Any, gy: Any, x_shape: Any) -> Any:
    """The gradient is put back in column-major order."""
    return gy.transpose().reshape(tuple(reversed(x_shape))).transpose()


@planted(ops.Reshape, "grad_x")
def reshape_cuts_gy(self: Any, gy: Any, x_shape: Any) -> Any:
    """A view of gy's array, outside the graph."""
    return constant(gy).reshape(x_shape)


@planted(ops.Transpose, "grad_x", cases=cube)
def transpose_applies_the_same_permutation(self: Any, gy: Any) -> Any:
    """The permutation is applied again instead of its inverse: right for exchanges of two axes only."""
    return gy.transpose(self.axes)


@planted(ops.Transpose, "grad_x", cases=cube)
def transpose_reverses_the_axes(self: Any, gy: Any) -> Any:
    """All axes are reversed, whatever the permutation was."""
    return gy.transpose()


@planted(ops.Pad, "grad_x")
def pad_begins_at_the_wrong_border(self: Any, gy: Any, x_shape: Any) -> Any:
    """The slice begins after as many elements as were added behind."""
    return gy[tuple(slice(after, after + n) for (_, after), n in zip(self.widths, x_shape, strict=True))]


@planted(ops.Pad, "grad_x")
def pad_begins_at_the_corner(self: Any, gy: Any, x_shape: Any) -> Any:
    """The padding in front is forgotten: the slice begins at 0."""
    return gy[tuple(slice(0, n) for n in x_shape)]


@planted(ops.Index, "grad_x")
def index_forgets_the_direction(self: Any, gy: Any, x_shape: Any) -> Any:
    """A slice with a negative step is scattered back forwards."""
    key = tuple(slice(k.start, k.stop, abs(k.step or 1)) if isinstance(k, slice) else k for k in self.key)
    return ops.ScatterIndex(key, x_shape)(gy)


@planted(ops.Index, "grad_x")
def index_cuts_gy(self: Any, gy: Any, x_shape: Any) -> Any:
    """What is scattered back is a constant."""
    return ops.ScatterIndex(self.key, x_shape)(constant(gy))


@planted(ops.ScatterIndex, "forward", cases=ops.Index.examples)
def scatter_writes_where_it_should_add(self: Any, u: Any) -> Any:
    """= for +=: of the gradients of a place that was read twice only the last arrives."""
    out = array_module(u).zeros(self.shape, u.dtype)
    out[self.key] = u
    return out


@planted(ops.ScatterIndex, "grad_u")
def scatter_reads_backwards(self: Any, gy: Any) -> Any:
    """The elements are fetched in reverse order."""
    return gy[self.key][::-1]


@planted(ops.ScatterIndex, "grad_u")
def scatter_reads_the_first_rows(self: Any, gy: Any, u_shape: Any) -> Any:
    """The key is forgotten: the first rows are fetched, not the ones that were written."""
    return gy[: u_shape[0]]


@planted(ops.Concatenate, "grad_xs")
def concatenate_forgets_the_offset(self: Any, gy: Any, index: int, xs_shape: Any) -> Any:
    """Every operand gets the gradient from the beginning on."""
    axis = self.axis % gy.ndim
    return gy[(slice(None),) * axis + (slice(0, xs_shape[index][axis]),)]


@planted(ops.Concatenate, "grad_xs")
def concatenate_counts_operands(self: Any, gy: Any, index: int, xs_shape: Any) -> Any:
    """An operand's part begins at its number, not behind the sizes of those before."""
    axis = self.axis % gy.ndim
    return gy[(slice(None),) * axis + (slice(index, index + xs_shape[index][axis]),)]


@planted(ops.Col2im, "forward", cases=ops.Im2col.examples)
def col2im_writes_where_it_should_add(self: Any, u: Any) -> Any:
    """= for +=: of the windows that overlap in a pixel only the last one counts."""
    n, c, h, w = self.shape
    p, q = self.geometry.output(h, w)
    (top, bottom), (left, right) = self.geometry.margins(h, w)
    out = layout.zeros((n, c, h + top + bottom, w + left + right), u)
    columns = u.reshape(n, c, *self.geometry.kernel, p, q)
    for r, s, (rows, cols) in self.geometry.taps(p, q):
        out[:, :, rows, cols] = columns[:, :, r, s]
    return self.geometry.unpad(out, h, w)


@planted(ops.Im2col, "grad_x", cases=square_windows)
def im2col_exchanges_rows_and_columns_of_a_window(self: Any, gy: Any, x_shape: Any) -> Any:
    """Tap (r, s) is taken for tap (s, r)."""
    n, c = x_shape[:2]
    turned = gy.reshape((n, c, *self.geometry.kernel, gy.shape[2])).transpose((0, 1, 3, 2, 4))
    return ops.Col2im(self.geometry, x_shape)(turned.reshape(gy.shape))


@planted(ops.Im2col, "grad_x")
def im2col_takes_the_channel_for_the_last_index(self: Any, gy: Any, x_shape: Any) -> Any:
    """Rows of columns are read as (r, s, c) where they are (c, r, s)."""
    n, c = x_shape[:2]
    mixed = gy.reshape((n, self.geometry.size, c, gy.shape[2])).transpose((0, 2, 1, 3))
    return ops.Col2im(self.geometry, x_shape)(mixed.reshape(gy.shape))


@planted(ops.Col2im, "grad_u")
def col2im_divides_by_the_taps(self: Any, gy: Any) -> Any:
    """As if pixels in several windows had been averaged."""
    return ops.Im2col(self.geometry)(gy) / self.geometry.size


@planted(ops.Col2im, "grad_u")
def col2im_is_right_without_a_graph_only(self: Any, gy: Any) -> Any:
    """The branch for tensors, taken only while a graph is recorded, was written later, and doubles."""
    columns = ops.Im2col(self.geometry)(gy)
    return columns * 2.0 if isinstance(gy, Tensor) else columns
