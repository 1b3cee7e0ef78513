"""Batches of no images, and other empty arrays: shapes as for any other size, gradients of the operands' shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minivgg import ops
from minivgg.autograd.core import Tensor, grad
from minivgg.errors import ShapeError

Shape = tuple[int, ...]

CASES: list[tuple[str, Callable[..., Any], list[Shape], Shape]] = [
    ("conv2d", lambda x, w: ops.conv2d(x, w, padding=1), [(0, 3, 4, 4), (4, 3, 3, 3)], (0, 4, 4, 4)),
    ("conv2d, gathered gradient", lambda x, w: ops.conv2d(x, w, padding=1), [(0, 3, 8, 8), (4, 3, 3, 3)], (0, 4, 8, 8)),
    ("max_pool2d", ops.max_pool2d, [(0, 3, 4, 4)], (0, 3, 2, 2)),
    ("max_pool2d, overlapping", lambda x: ops.max_pool2d(x, 3, stride=1, padding=1), [(0, 3, 4, 4)], (0, 3, 4, 4)),
    ("avg_pool2d", ops.avg_pool2d, [(0, 3, 4, 4)], (0, 3, 2, 2)),
    ("adaptive_avg_pool2d", lambda x: ops.adaptive_avg_pool2d(x, 3), [(0, 3, 4, 4)], (0, 3, 3, 3)),
    ("relu", ops.relu, [(0, 3)], (0, 3)),
    ("linear", ops.linear, [(0, 3), (2, 3)], (0, 2)),
    ("local_response_norm", ops.local_response_norm, [(0, 6, 2, 2)], (0, 6, 2, 2)),
    ("local_response_norm, no channels", ops.local_response_norm, [(2, 0, 2, 2)], (2, 0, 2, 2)),
    ("softmax", ops.softmax, [(0, 3)], (0, 3)),
    ("cross_entropy", lambda x: ops.cross_entropy(x, np.zeros(0, int)), [(0, 3)], ()),
    ("sum", ops.sum, [(0, 3)], ()),
    ("logsumexp", lambda x: ops.logsumexp(x, 0), [(3, 0)], (0,)),
    ("im2col", lambda x: ops.im2col(x, 2), [(0, 3, 4, 4)], (0, 12, 9)),
    ("matmul", ops.matmul, [(0, 3), (3, 2)], (0, 2)),
    ("matmul of no terms", ops.matmul, [(2, 0), (0, 2)], (2, 2)),
    ("reshape", lambda x: ops.reshape(x, (-1, 3)), [(0, 3)], (0, 3)),
    ("concatenate", lambda x, w: ops.concatenate([x, w]), [(0, 3), (2, 3)], (2, 3)),
    ("dropout", lambda x: ops.dropout(x, 0.5, rng=np.random.default_rng(0)), [(0, 3)], (0, 3)),
    ("flatten", ops.flatten, [(0, 3, 2, 2)], (0, 12)),
]


@pytest.mark.parametrize(("function", "shapes", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_empty_operands_keep_their_shapes(function: Callable[..., Any], shapes: list[Shape], expected: Shape) -> None:
    """The result has the shape that the formula says, finite values, and gradients of the operands' shapes."""
    tensors = [Tensor(np.ones(shape), requires_grad=True) for shape in shapes]
    y = function(*tensors)
    assert y.shape == expected and np.isfinite(y.data).all()
    assert [g.shape for g in grad(y, tensors, np.ones(expected))] == shapes


def test_what_has_no_value_is_refused() -> None:
    """The mean and the maximum of nothing, batch norm of nothing and a convolution without filters are ShapeErrors."""
    for function in (
        lambda: ops.mean(np.ones((0, 3)), 0),
        lambda: ops.max(np.ones((0, 3))),
        lambda: ops.batch_norm(np.ones((0, 3, 2, 2)), np.ones(3), np.ones(3)),
        lambda: ops.conv2d(np.ones((1, 2, 3, 3)), np.ones((0, 2, 3, 3))),
    ):
        with pytest.raises(ShapeError):
            function()


def test_numpy_integers_are_integers() -> None:
    """Axes, sizes and groups that come out of NumPy serve like Python's; a soft-max over nothing is refused."""
    x = np.ones((1, 2, 3, 3))
    assert ops.sum(x, np.int64(1)).shape == (1, 3, 3)
    assert ops.reshape(x, np.int64(18)).shape == (18,)
    assert ops.conv2d(x, np.ones((2, 1, 1, 1)), groups=np.int64(2)).shape == x.shape
    with pytest.raises(ShapeError, match="nothing to share out"):
        ops.softmax(np.ones((2, 0)))


def test_log_sum_exp_of_no_elements_is_refused() -> None:
    """As the mean and the maximum of none are: with shape and axes."""
    with pytest.raises(ShapeError, match=r"log-sum-exp of no elements does not exist: shape \(3, 0\), axes \(1,\)"):
        ops.logsumexp(np.ones((3, 0)), 1)
