"""Batch norm, local response normalisation and dropout against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

from minivgg import ops

torch = pytest.importorskip("torch", reason="PyTorch is not installed: run scripts/oracles")
F = pytest.importorskip("torch.nn.functional")

BATCHES = [(4, 3, 5, 6), (2, 3, 1, 1), (1, 2, 3, 3), (6, 4), (3, 2, 5), (8, 1, 2, 2)]


def operands(rng, shape):
    """Images with a mean and a variance that differ by channel, a scale and a shift."""
    c = shape[1]
    per_channel = (1, c) + (1,) * (len(shape) - 2)
    x = rng.standard_normal(shape) * rng.uniform(0.5, 3.0, per_channel) + rng.standard_normal(per_channel) * 2
    return x, rng.uniform(0.5, 2.0, c), rng.standard_normal(c)


@pytest.mark.parametrize("eps", [1e-5, 0.1])
@pytest.mark.parametrize("shape", BATCHES, ids=str)
def test_batch_norm_in_training(agree, rng, shape, eps):
    """Through the statistics of the batch too; two values per channel leave little but ε."""
    agree(
        lambda x, gamma, beta: ops.batch_norm(x, gamma, beta, eps=eps),
        lambda x, gamma, beta: F.batch_norm(x, None, None, gamma, beta, training=True, eps=eps),
        *operands(rng, shape),
    )


@pytest.mark.parametrize("shape", BATCHES, ids=str)
def test_batch_norm_with_its_relu(agree, rng, shape):
    """One op of ours against two of torch's, whose second derivative takes the mask as constant, too."""
    agree(
        ops.batch_norm_relu,
        lambda x, gamma, beta: F.relu(F.batch_norm(x, None, None, gamma, beta, training=True)),
        *operands(rng, shape),
    )


@pytest.mark.parametrize("shape", BATCHES, ids=str)
def test_batch_norm_in_evaluation(agree, rng, shape):
    """Given statistics are constants: an affine map."""
    mean, var = rng.standard_normal(shape[1]), rng.uniform(0.1, 4.0, shape[1])
    agree(
        lambda x, gamma, beta: ops.batch_norm(x, gamma, beta, mean=mean, var=var),
        lambda x, gamma, beta: F.batch_norm(x, torch.tensor(mean), torch.tensor(var), gamma, beta, training=False),
        *operands(rng, shape),
    )


def test_batch_norm_of_a_constant_channel(agree, rng):
    """A variance of zero is kept from dividing by ε."""
    x, gamma, beta = operands(rng, (3, 2, 2, 2))
    x[:, 0] = 0.5
    agree(
        lambda x, gamma, beta: ops.batch_norm(x, gamma, beta, eps=0.1),
        lambda x, gamma, beta: F.batch_norm(x, None, None, gamma, beta, training=True, eps=0.1),
        x,
        gamma,
        beta,
    )


@pytest.mark.parametrize("constants", [{"alpha": 5e-4, "beta": 0.75, "k": 2.0}, {"alpha": 0.5, "beta": 1.5, "k": 1.0}], ids=str)
@pytest.mark.parametrize(("size", "channels"), [(5, 8), (4, 6), (1, 3), (3, 2), (9, 4)])
def test_local_response_norm(agree, rng, size, channels, constants):
    """torch divides α by the size; windows are cut off at the first and last channel, an even one reaches further back."""
    agree(
        lambda x: ops.local_response_norm(x, size=size, alpha_over_n=True, **constants),
        lambda x: F.local_response_norm(x, size, **constants),
        rng.standard_normal((2, channels, 3, 2)) * 3,
    )


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_by_torchs_mask(agree, rng, p):
    """The mask that torch draws, given to our op, gives torch's result: the same scale 1/(1 − p)."""
    shape = (4, 5, 6)

    def theirs(x):
        with torch.random.fork_rng():
            torch.manual_seed(7)
            return F.dropout(x, p, training=True)

    mask = theirs(torch.ones(shape)).numpy() > 0
    assert 0 < mask.sum() < mask.size
    agree(lambda x: ops.Dropout(p)(x, mask), theirs, rng.standard_normal(shape))


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_dropout_of_nothing_and_of_everything(agree, rng, p):
    """The two ends need no mask."""
    agree(
        lambda x: ops.dropout(x * x, p, rng=np.random.default_rng(0)),
        lambda x: F.dropout(x * x, p, training=True),
        rng.standard_normal((3, 4)),
    )
