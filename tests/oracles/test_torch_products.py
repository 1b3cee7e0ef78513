"""Matrix products and the fully connected layer against PyTorch."""

from __future__ import annotations

import pytest

from minivgg import ops

torch = pytest.importorskip("torch", reason="PyTorch is not installed: run scripts/oracles")
F = pytest.importorskip("torch.nn.functional")

MATRICES = [
    ((2, 3), (3, 4)),
    ((5, 2, 3), (5, 3, 4)),
    ((2, 3), (5, 3, 4)),
    ((5, 2, 3), (3, 4)),
    ((2, 1, 2, 3), (4, 3, 1)),
    ((1, 5, 2, 3), (6, 1, 3, 2)),
    ((3,), (3,)),
    ((3,), (3, 4)),
    ((2, 3), (3,)),
    ((3,), (5, 3, 4)),
    ((5, 2, 3), (3,)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 3)),
]


@pytest.mark.parametrize("shapes", MATRICES, ids=str)
def test_matmul(agree, rng, shapes):
    """Single and batched products, leading axes that broadcast, and vectors on either side."""
    agree(lambda x, w: x @ w, torch.matmul, *(rng.standard_normal(shape) for shape in shapes))


def test_matmul_with_itself(agree, rng):
    """xᵀx: both rules add to one gradient."""
    agree(lambda x: x.T @ x, lambda x: x.T @ x, rng.standard_normal((4, 3)))


@pytest.mark.parametrize("shape", [(4, 3), (1, 3), (2, 5, 3), (3,), (0, 3)], ids=str)
def test_linear(agree, rng, shape):
    """Any leading axes, with a bias."""
    agree(ops.linear, F.linear, rng.standard_normal(shape), rng.standard_normal((5, 3)), rng.standard_normal(5))


def test_linear_without_bias(agree, rng):
    """The product alone."""
    agree(ops.linear, F.linear, rng.standard_normal((4, 3)), rng.standard_normal((5, 3)))
