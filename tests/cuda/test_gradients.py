"""What is asked of all gradients at once: are they finite, and how long are they."""

from __future__ import annotations

import numpy as np
import pytest

from minivgg.autograd.core import Tensor
from minivgg.optim import SGD, all_finite, clip_grad_norm, gradient_norm
from minivgg.testing import pretend

from .pretend_cupy.raw_module import LAUNCHES, order


def parameters(card, arrays):
    """(name, Tensor) pairs with these gradients, and one without."""
    pairs = [("without", Tensor(card.asarray(np.ones(3, "float32")), requires_grad=True))]
    for k, g in enumerate(arrays):
        w = Tensor(card.asarray(np.zeros(g.shape, g.dtype)), requires_grad=True)
        w.grad = card.asarray(g)
        pairs.append((str(k), w))
    return pairs


@pytest.fixture(params=[0, 1, 2])
def any_order(request):
    """Threads run in each of the three orders."""
    order[0] = request.param
    yield
    order[0] = 0


@pytest.mark.parametrize("bad", [None, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_one_bad_number_is_found_anywhere(card, bad, dtype):
    """In the first, the last and a middle element of arrays of all sizes; the host does not wait for the answer."""
    for where in [(0, 0), (1, 4999), (1, 4096), (2, 0), (3, 5)]:
        arrays = [np.full(n, 3.0, dtype) for n in (7, 5000, 1, 6)]
        arrays[0][1] = np.finfo(dtype).max  # finite
        if bad is not None:
            arrays[where[0]][where[1]] = bad
        pairs = parameters(card, [a.reshape(2, 3) if a.size == 6 else a for a in arrays])
        LAUNCHES.clear()
        pretend.synchronisations = 0
        finite = all_finite(pairs)
        assert LAUNCHES == ["all_finite"]
        assert pretend.synchronisations == 0
        assert finite.shape == () and finite.dtype == bool
        assert bool(finite) == (bad is None)


def test_an_optimiser_tells_of_its_own_gradients(card):
    """`SGD.finite()` looks at the gradients of its parameters, with gaps or without; without any it is True."""
    good = parameters(card, [np.ones(4, "float32")])
    assert bool(SGD(good).finite())
    good[1][1].grad = card.asarray(np.array([1, np.nan] * 4, "float32"))[::2]
    assert bool(SGD(good).finite())
    good[1][1].grad = card.asarray(np.array([1, np.nan] * 4, "float32"))[1::2]
    assert not bool(SGD(good).finite())
    assert bool(SGD(good[:1]).finite())


@pytest.mark.parametrize("bad", [None, np.nan, np.inf, -np.inf])
def test_the_cpu_looks_at_the_sum(bad):
    """On NumPy arrays the same question has the same answer."""
    w = Tensor(np.zeros(5, "float32"), requires_grad=True)
    assert bool(all_finite([("w", w)]))
    w.grad = np.array([1, 2, 3 if bad is None else bad, 4, 5], "float32")
    assert bool(SGD([("w", w)]).finite()) == (bad is None)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_norm_is_that_of_all_gradients_together(card, any_order, dtype):
    """√(Σ g²) in float64, rounded once, in any order of threads, for one tile and several, and for more than 120 arrays."""
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(n).astype(dtype) for n in (9001, 1, 256, 257, *[3] * 121)]
    exact = np.sqrt(sum(float((a.astype("float64") ** 2).sum()) for a in arrays))
    pairs = parameters(card, arrays)
    LAUNCHES.clear()
    pretend.synchronisations = 0
    norm = gradient_norm(pairs)
    assert LAUNCHES == ["squares", "squares"]
    assert pretend.synchronisations == 0
    assert norm.dtype == dtype and norm.shape == ()
    assert float(norm) == pytest.approx(exact, rel=6e-8 if dtype == "float32" else 1e-14)


def test_clipping_shortens_by_that_norm(card):
    """Gradients (3, 0) and (0, 4) have the norm 5: clipped to 1 they are a fifth, and to 10 themselves."""
    for most, factor in [(1.0, 0.2), (10.0, 1.0)]:
        pairs = parameters(card, [np.array([3, 0], "float32"), np.array([[0], [4]], "float32")])
        assert float(clip_grad_norm(pairs, most)) == 5.0
        np.testing.assert_allclose(pairs[1][1].grad.get(), [3 * factor, 0], rtol=1e-6)
        np.testing.assert_allclose(pairs[2][1].grad.get(), [[0], [4 * factor]], rtol=1e-6)
