"""Convolutions without columns, on the pretend card, against a sum over taps in float64."""

from __future__ import annotations

import numpy as np
import pytest

from minivgg.backend.precision import precision
from minivgg.fast.cuda import implicit
from minivgg.fast.problem import Problem
from minivgg.ops.windows import geometry

from .pretend_cupy import raw_module

_BOUNDS = {"fp32": 1e-5, "tf32": 1e-3, "fp16": 2e-3}


def _taps(problem, images):
    """The nine shifted images (R, S, N, P, Q, C), in float64, zero in the padding."""
    (p, q), (top, left) = problem.output, problem.geometry.padding
    padded = np.pad(images.astype(np.float64), ((0, 0), (top, top), (left, left), (0, 0)))
    return np.array([[padded[:, r : r + p, s : s + q] for s in range(3)] for r in range(3)])


def _problem(n, size, c, k, padding):
    return Problem(n, size, c, k, geometry(3, padding=padding))


def _arrays(problem, name):
    """Images, filters, bias and gradient of the precision's dtype."""
    rng, dtype = np.random.default_rng(0), np.float16 if name == "fp16" else np.float32
    (h, w), (p, q) = problem.size, problem.output
    shapes = (problem.n, h, w, problem.c), (3, 3, problem.c, problem.k), (problem.k,), (problem.n, p, q, problem.k)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def _close(found, expected, name):
    return found.shape == expected.shape and np.abs(found.get() - expected).max() <= _BOUNDS[name] * np.abs(expected).max()


_TENSOR = [
    _problem(1, (5, 7), 16, 8, (1, 1)),
    _problem(2, (9, 18), 24, 72, (0, 1)),
    _problem(3, (1, 1), 8, 8, (1, 1)),
    _problem(1, (3, 17), 8, 16, (2, 3)),
]


@pytest.mark.parametrize("name", ["tf32", "fp16"])
@pytest.mark.parametrize("problem", _TENSOR, ids=str)
def test_forward_is_the_sum_over_taps(card, problem, name):
    """y = Σ shifted images · filters, + bias, rectified or not, at the edges of tiles and images."""
    x, w, b, _ = _arrays(problem, name)
    plain = np.einsum("rsnpqc,rsck->npqk", _taps(problem, x), w.astype(np.float64))
    with precision(name):
        images, filters, bias = map(card.asarray, (x, w, b))
        assert _close(implicit.forward(images, filters, problem, None, False), plain, name)
        assert _close(implicit.forward(images, filters, problem, bias, True), np.maximum(plain + b, 0), name)


@pytest.mark.parametrize("name", ["tf32", "fp16"])
@pytest.mark.parametrize("problem", _TENSOR, ids=str)
def test_image_gradient_is_the_transpose(card, problem, name):
    """gx holds, for every pixel, the gradients of all windows it lies in, times their filters: the adjoint of the sum over taps."""
    _, w, _, gy = _arrays(problem, name)
    (h, w_), (p, q), (top, left) = problem.size, problem.output, problem.geometry.padding
    padded = np.zeros((problem.n, h + 2 * top, w_ + 2 * left, problem.c))
    for r in range(3):
        for s in range(3):
            padded[:, r : r + p, s : s + q] += gy.astype(np.float64) @ w[r, s].astype(np.float64).T
    with precision(name):
        found = implicit.image_gradient(card.asarray(gy), card.asarray(w), problem)
    assert _close(found, padded[:, top : top + h, left : left + w_], name)


@pytest.mark.parametrize("name", ["tf32", "fp16"])
def test_the_order_of_threads_does_not_matter(card, name, monkeypatch):
    """The same bits twice, and whatever order a block's threads run in: no barrier and no wait for a copy is missing."""
    problem = _problem(1, (4, 5), 24, 8, (1, 1))
    x, w, b, _ = _arrays(problem, name)
    seen = set()
    for turn in (0, 1, 2, 0):
        monkeypatch.setattr(raw_module, "order", [turn])
        with precision(name):
            images, filters, bias = map(card.asarray, (x, w, b))
            seen.add(implicit.forward(images, filters, problem, bias, True).get().tobytes())
    assert len(seen) == 1
