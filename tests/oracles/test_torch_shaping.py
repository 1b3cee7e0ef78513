"""Reshape, transpose, pad, index, concatenate, and im2col with col2im, against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

from minivgg import ops

torch = pytest.importorskip("torch", reason="PyTorch is not installed: run scripts/oracles")
F = pytest.importorskip("torch.nn.functional")

INTEGERS = np.array([[2, 0, 2], [1, 1, -1]])
KEYS = [
    1,
    -1,
    slice(1, None),
    (slice(None), slice(0, 3, 2)),
    (Ellipsis, 0),
    (slice(None), None, 1),
    INTEGERS,
    (INTEGERS, slice(None), np.array(1)),
    (slice(None), np.array([3, 0, 3])),
    (np.array([0, 0, 2]), np.array([1, 1, 3])),
    np.array([True, False, True]),
    (slice(None), np.array([False, True, True, False])),
]
WINDOWS = [
    {"kernel": 3, "padding": 1},
    {"kernel": (2, 3), "stride": (2, 1), "padding": (0, 1), "dilation": (2, 1)},
    {"kernel": (1, 2), "stride": (3, 2)},
    {"kernel": 2, "stride": 2},
    {"kernel": (3, 1), "stride": (1, 2), "padding": (2, 0), "dilation": (1, 3)},
]


@pytest.mark.parametrize("shape", [(4, 6), (24,), (2, -1, 3), (1, 24, 1)], ids=str)
def test_reshape(agree, rng, shape):
    """The numbers keep their row-major order; one size may be left out."""
    agree(lambda x: x.reshape(shape), lambda x: x.reshape(shape), rng.standard_normal((2, 3, 4)))


def test_reshape_after_transpose(agree, rng):
    """Row-major order of the transposed axes."""
    agree(lambda x: x.transpose(2, 0, 1).reshape(4, 6), lambda x: x.permute(2, 0, 1).reshape(4, 6), rng.standard_normal((2, 3, 4)))


def test_flatten(agree, rng):
    """Everything but the batch becomes one axis."""
    agree(ops.flatten, lambda x: torch.flatten(x, 1), rng.standard_normal((2, 3, 4, 5)))


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (-1, 0, 1)], ids=str)
def test_transpose(agree, rng, axes):
    """torch's permute."""
    agree(lambda x: x.transpose(axes), lambda x: x.permute(axes), rng.standard_normal((2, 3, 4)))


@pytest.mark.parametrize("value", [0.0, -2.5])
@pytest.mark.parametrize("widths", [((0, 0), (0, 0), (1, 2), (3, 0)), ((1, 0), (0, 2), (1, 1), (0, 0))], ids=str)
def test_pad(agree, rng, widths, value):
    """torch names the pairs from the last axis to the first."""
    theirs = [n for pair in reversed(widths) for n in pair]
    agree(lambda x: ops.pad(x, widths, value), lambda x: F.pad(x, theirs, value=value), rng.standard_normal((2, 3, 4, 2)))


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_index(agree, rng, key):
    """Integers, slices, and arrays that name a place several times: it receives all gradients."""
    keys = key if isinstance(key, tuple) else (key,)
    theirs = tuple(torch.tensor(k) if isinstance(k, np.ndarray) else k for k in keys)
    agree(lambda x: x[key], lambda x: x[theirs], rng.standard_normal((3, 4, 2)))


def test_scatter_index_is_torchs_accumulating_put(agree, rng):
    """Places named twice receive two summands."""
    rows = np.array([0, 2, 0])
    agree(
        lambda u: ops.ScatterIndex((rows,), (4, 2))(u),
        lambda u: torch.zeros(4, 2, dtype=u.dtype).index_put((torch.tensor(rows),), u, accumulate=True),
        rng.standard_normal((3, 2)),
    )


@pytest.mark.parametrize(
    ("shapes", "axis"),
    [([(2, 3), (2, 1), (2, 4)], -1), ([(2, 3), (0, 3), (1, 3)], 0), ([(2, 1, 3)] * 2, 1)],
    ids=str,
)
def test_concatenate(agree, rng, shapes, axis):
    """Each operand gets its own part of the gradient."""
    arrays = [rng.standard_normal(shape) for shape in shapes]
    agree(lambda *xs: ops.concatenate(xs, axis), lambda *xs: torch.cat(xs, axis), *arrays)


def test_concatenate_of_one_operand_twice(agree, rng):
    """Both parts' gradients meet in it."""
    agree(lambda x: ops.concatenate([x, x * x], 1), lambda x: torch.cat([x, x * x], 1), rng.standard_normal((2, 3)))


@pytest.mark.parametrize("options", WINDOWS, ids=str)
def test_im2col_is_unfold(agree, rng, options):
    """The same order of channels and taps in a column."""
    theirs = {"kernel_size" if name == "kernel" else name: value for name, value in options.items()}
    agree(lambda x: ops.im2col(x, **options), lambda x: F.unfold(x, **theirs), rng.standard_normal((2, 3, 5, 6)))


@pytest.mark.parametrize("options", WINDOWS, ids=str)
def test_col2im_is_fold(agree, rng, options):
    """Where windows overlap, columns are added."""
    shape = (2, 3, 5, 6)
    theirs = {"kernel_size" if name == "kernel" else name: value for name, value in options.items()}
    columns = F.unfold(torch.zeros(shape, dtype=torch.float64), **theirs).shape
    agree(lambda u: ops.col2im(u, shape, **options), lambda u: F.fold(u, shape[2:], **theirs), rng.standard_normal(tuple(columns)))
