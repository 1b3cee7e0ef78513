"""Convolutions to test kernels with: drawn arrays, and what must come out, by the definition in float64."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from minivgg.fast.problem import Problem
from minivgg.ops.windows import Geometry

from .pretend_cupy.raw_module import order


class Case:
    """Images x (N, H, W, C), filters w (R, S, C, K), a bias and an upstream gradient, of unit variance (w: He's), in a dtype."""

    def __init__(self, problem: Problem, dtype: Any = "float64", seed: int = 0) -> None:
        rng, g = np.random.default_rng(seed), problem.geometry
        self.problem = problem
        self.x = rng.standard_normal((problem.n, *problem.size, problem.c)).astype(dtype)
        self.w = (rng.standard_normal((*g.kernel, problem.c, problem.k)) * (2 / (g.size * problem.c)) ** 0.5).astype(dtype)
        self.b = rng.standard_normal(problem.k).astype(dtype)
        self.gy = rng.standard_normal((problem.n, *problem.output, problem.k)).astype(dtype)

    def naive(self) -> list[Any]:
        """[y without the bias, gx, gw] in float64: window by window, tap by tap."""
        g, x, w, gy = self.problem.geometry, *(a.astype(np.float64) for a in (self.x, self.w, self.gy))
        y, gx, gw = np.zeros(gy.shape), np.zeros(x.shape), np.zeros(w.shape)
        for p, q, r, s in np.ndindex(*gy.shape[1:3], *g.kernel):
            i, j = (at * g.stride[a] + tap * g.dilation[a] - g.padding[a] for a, (at, tap) in enumerate(((p, r), (q, s))))
            if 0 <= i < x.shape[1] and 0 <= j < x.shape[2]:
                y[:, p, q] += x[:, i, j] @ w[r, s]
                gx[:, i, j] += gy[:, p, q] @ w[r, s].T
                gw[r, s] += x[:, i, j].T @ gy[:, p, q]
        return [y, gx, gw]

    def run(self, card: Any, algorithm: Any) -> list[Any]:
        """[y without the bias, gx, gw] by an algorithm's kernels, on the card."""
        x, w, gy = (card.asarray(a) for a in (self.x, self.w, self.gy))
        found = [
            algorithm.forward(x, w, self.problem, None, False),
            algorithm.image_gradient(gy, w, self.problem),
            algorithm.weight_gradient(gy, x, self.problem),
        ]
        return [a.get() for a in found]


def problem(size: tuple[int, int], c: int, k: int, n: int = 2, **geometry: Any) -> Problem:
    """A 3×3 convolution with padding 1, unless said otherwise."""
    return Problem(n, size, c, k, Geometry(**{"kernel": (3, 3), "padding": (1, 1), **geometry}))


def errors(found: list[Any], expected: list[Any]) -> list[float]:
    """The relative L2 error of each."""
    assert all(a.shape == b.shape for a, b in zip(found, expected, strict=True))
    return [float(np.linalg.norm(a - b) / (np.linalg.norm(b) or 1.0)) for a, b in zip(found, expected, strict=True)]


def image_bytes(per_pixel: int, p: Problem) -> int:
    """`per_pixel` bytes for each output of an image."""
    return per_pixel * math.prod(p.output)


def orders() -> Iterator[int]:
    """Each of the orders in which a block's threads can run, while it is set."""
    try:
        for order[0] in (0, 1, 2):
            yield order[0]
    finally:
        order[0] = 0
