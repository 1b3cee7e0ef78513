"""Sum, mean, maximum, log-sum-exp and broadcasting's adjoint pair against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

from minivgg import ops
from minivgg.autograd.core import broadcast_to, sum_to

torch = pytest.importorskip("torch", reason="PyTorch is not installed: run scripts/oracles")

AXES = [None, 0, -1, 1, (0, 2), (-1, 0), (2, 1, 0)]

axes_and_keepdims = pytest.mark.parametrize(("axis", "keepdims"), [(axis, keep) for axis in AXES for keep in (False, True)], ids=str)


def torch_max(x, axis, keepdims):
    """torch's maximum over one dimension, whose gradient goes to the first of equals.

    `torch.amax`, and `torch.max` of a whole tensor, share it among them, so several axes are made one first.
    """
    axes = tuple(range(x.ndim)) if axis is None else tuple(a % x.ndim for a in np.atleast_1d(axis).tolist())
    rest = [i for i in range(x.ndim) if i not in axes]
    y = x.permute(*rest, *sorted(axes)).reshape(*(x.shape[i] for i in rest), -1).max(-1).values
    return y.reshape([1 if i in axes else n for i, n in enumerate(x.shape)]) if keepdims else y


def dims(x, axis):
    """The axes as torch wants them."""
    return tuple(range(x.ndim)) if axis is None else axis


@axes_and_keepdims
def test_sum(agree, rng, axis, keepdims):
    """Any axes, kept or dropped."""
    agree(
        lambda x: ops.sum(x, axis, keepdims),
        lambda x: torch.sum(x, dims(x, axis), keepdim=keepdims),
        rng.standard_normal((3, 4, 2)),
    )


@axes_and_keepdims
def test_mean(agree, rng, axis, keepdims):
    """Any axes, kept or dropped."""
    agree(
        lambda x: ops.mean(x, axis, keepdims),
        lambda x: torch.mean(x, dims(x, axis), keepdim=keepdims),
        rng.standard_normal((3, 4, 2)),
    )


@axes_and_keepdims
def test_logsumexp(agree, rng, axis, keepdims):
    """Any axes, kept or dropped."""
    agree(
        lambda x: ops.logsumexp(x, axis, keepdims),
        lambda x: torch.logsumexp(x, dims(x, axis), keepdim=keepdims),
        rng.standard_normal((3, 4, 2)) * 3,
    )


@pytest.mark.parametrize("shift", [-1000.0, 1000.0])
def test_logsumexp_of_large_numbers(agree, rng, shift):
    """eˣ alone would overflow, or vanish."""
    agree(lambda x: ops.logsumexp(x, 1), lambda x: torch.logsumexp(x, 1), rng.standard_normal((3, 4)) + shift)


def test_logsumexp_with_a_logit_of_minus_infinity(compare):
    """An element that counts for nothing gets no gradient."""
    import minivgg as mv

    x = np.array([[0.5, -np.inf, 1.5], [2.0, 0.0, -1.0]])
    ours, theirs = mv.Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, z = ops.logsumexp(ours, 1), torch.logsumexp(theirs, 1)
    compare("forward", y, z)
    gy = np.array([0.7, -1.3])
    compare("gradient", mv.grad(y, ours, gy), list(torch.autograd.grad(z, theirs, torch.tensor(gy))))


@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
@axes_and_keepdims
def test_max(agree, rng, axis, keepdims, ties):
    """The gradient goes to the winner, at a tie to the first in row-major order."""
    x = rng.integers(0, 3, (3, 4, 2)).astype(float) if ties else rng.standard_normal((3, 4, 2))
    agree(lambda x: ops.max(x, axis, keepdims), lambda x: torch_max(x, axis, keepdims), x)


@pytest.mark.parametrize("axis", [None, (0, 1), (1, 0), (-1, 0)], ids=str)
def test_max_at_a_tie_is_the_first_however_axes_are_ordered(agree, axis):
    """Of the two ones the upper comes first in row-major order, and the order in which the axes are named is no matter."""
    agree(lambda x: ops.max(x, axis), lambda x: torch_max(x, axis, False), np.array([[0.0, 1.0], [1.0, 0.0]]))


@pytest.mark.parametrize(("small", "large"), [((3, 1), (2, 3, 4)), ((), (2, 2)), ((1, 1), (1, 5))], ids=str)
def test_broadcast_to_and_sum_to(agree, rng, small, large):
    """torch's expand and sum_to_size."""
    agree(lambda x: broadcast_to(x, large), lambda x: x.expand(large), np.asarray(rng.standard_normal(small)))
    agree(lambda x: sum_to(x, small), lambda x: x.sum_to_size(small), rng.standard_normal(large))


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (4, 3), (2, 3, 4)], ids=str)
def test_channel_sum(agree, rng, shape):
    """The sum over everything but the channels."""
    others = (0, *range(2, len(shape)))
    agree(ops.channel_sum, lambda x: x.sum(others), rng.standard_normal(shape))


def test_variance_by_hand(agree, rng):
    """A composite of reductions, as in batch norm."""

    def variance(x):
        return ((x - x.mean(0, keepdims=True)) ** 2).mean(0)

    agree(variance, lambda x: torch.var(x, 0, correction=0), rng.standard_normal((5, 3)) + 4)
