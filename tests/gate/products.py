"""Wrong rules of matrix products and fully connected layers: transposes, the wrong axis, means for sums, one element."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minivgg import ops
from minivgg.autograd.core import Tensor

from .planting import Case, constant, planted

MOST = ("definition", "layouts", "precision", "backend")  # too slow for one large weight


def square(rng: np.random.Generator) -> Iterator[Case]:
    """Square matrices: a forgotten transpose has the right shape."""
    yield ops.Matmul(), (rng.standard_normal((3, 3)), rng.standard_normal((3, 3)))


def square_layer(rng: np.random.Generator) -> Iterator[Case]:
    """As many images, inputs and outputs."""
    yield ops.Linear(), (rng.standard_normal((3, 3)), rng.standard_normal((3, 3)), rng.standard_normal(3))


def wide_layer(rng: np.random.Generator) -> Iterator[Case]:
    """A weight of 256×2304 elements."""
    yield ops.Linear(), (rng.standard_normal((2, 2304)), rng.standard_normal((256, 2304)), None)


def swap(x: Any) -> Any:
    """Each matrix transposed."""
    return x.transpose((*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


@planted(ops.Matmul, "grad_x", cases=square)
def matmul_forgets_a_transpose(self: Any, gy: Any, w: Any) -> Any:
    """gy w in place of gy wᵀ: the right shape if w is square."""
    return gy @ w


@planted(ops.Matmul, "grad_w", cases=square)
def matmul_gives_the_transposed_gradient(self: Any, gy: Any, x: Any) -> Any:
    """gyᵀ x in place of xᵀ gy."""
    return swap(gy) @ x


@planted(ops.Matmul, "grad_w", cases=square)
def matmul_exchanges_the_factors(self: Any, gy: Any, x: Any) -> Any:
    """gy xᵀ in place of xᵀ gy."""
    return gy @ swap(x)


@planted(ops.Matmul, "grad_w")
def matmul_cuts_x(self: Any, gy: Any, x: Any) -> Any:
    """x is read as a constant."""
    return swap(constant(x)) @ gy


@planted(ops.Matmul, "grad_x")
def matmul_cuts_gy(self: Any, gy: Any, w: Any) -> Any:
    """gy is read as a constant."""
    return constant(gy) @ swap(w)


@planted(ops.Matmul, "grad_w")
def matmul_averages_over_the_batch(self: Any, gy: Any, x: Any, w_shape: Any) -> Any:
    """The axis along which w was broadcast is averaged, not summed."""
    g = swap(x) @ gy
    return g.mean(0) if g.ndim > len(w_shape) else g


@planted(ops.Linear, "grad_b")
def linear_averages_the_bias(self: Any, gy: Any) -> Any:
    """The bias gets the mean over the images in place of the sum."""
    return gy.mean(0)


@planted(ops.Linear, "grad_b", cases=square_layer)
def linear_sums_the_bias_over_the_outputs(self: Any, gy: Any) -> Any:
    """Summed over axis 1 in place of axis 0."""
    return gy.sum(1)


@planted(ops.Linear, "grad_w")
def linear_divides_by_the_batch(self: Any, gy: Any, x: Any) -> Any:
    """A 1/N that belongs to the loss."""
    return gy.T @ x * (1.0 / x.shape[0])


@planted(ops.Linear, "grad_x", cases=square_layer)
def linear_forgets_a_transpose(self: Any, gy: Any, w: Any) -> Any:
    """gy wᵀ in place of gy w: the forward's own product."""
    return gy @ w.T


@planted(ops.Linear, "grad_w", cases=square_layer)
def linear_gives_the_transposed_gradient(self: Any, gy: Any, x: Any) -> Any:
    """xᵀ gy in place of gyᵀ x, for weights stored the other way round."""
    return x.T @ gy


@planted(ops.Linear, "grad_w")
def linear_sees_the_first_image_only(self: Any, gy: Any, x: Any) -> Any:
    """= for += in a loop over the images."""
    return gy[:1].T @ x[:1]


@planted(ops.Linear, "grad_x")
def linear_cuts_w(self: Any, gy: Any, w: Any) -> Any:
    """w is read as a constant: the mixed derivative by images and weights is lost."""
    return gy @ constant(w)


@planted(ops.Linear, "grad_w", cases=wide_layer, order=1, without=MOST)
def linear_loses_one_element_of_many(self: Any, gy: Any, x: Any) -> Any:
    """One of 589,824 elements of the weight's gradient is 0."""
    g = gy.T @ x
    if isinstance(g, Tensor):
        return g
    g[100, 1000] = 0.0
    return g
