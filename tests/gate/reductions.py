"""Wrong rules of reductions, and of the ops that undo broadcasting: a mean for a sum, a wrong axis, a wrong winner."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minivgg import ops
from minivgg.autograd.core import BroadcastTo, Cast, SumTo, broadcast_to, sum_to

from .planting import Case, constant, planted


def square(rng: np.random.Generator) -> Iterator[Case]:
    """As many images as channels, so that a gradient along the wrong axis still has a fitting shape."""
    yield ops.ChannelSum(), (rng.standard_normal((3, 3, 2, 2)),)


def doubled(rng: np.random.Generator) -> Iterator[Case]:
    """Each number twice: a tie that stays one however x moves, so that a derivative exists."""

    def largest_of_two_copies(x: Any) -> Any:
        return ops.max(ops.concatenate([x, x], 0), 0)

    yield largest_of_two_copies, (rng.permutation(6).reshape(2, 3) * 0.5,)


def large_logits(rng: np.random.Generator) -> Iterator[Case]:
    """Numbers around 100, whose exponentials float32 does not hold."""
    yield ops.LogSumExp((1,), False), (100.0 + rng.standard_normal((2, 3)),)


@planted(ops.Sum, "grad_x")
def sum_is_treated_as_a_mean(self: Any, gy: Any, x_shape: Any) -> Any:
    """Divided by the number of summands."""
    return self.spread(gy * (1.0 / self.count(x_shape)), x_shape)


@planted(ops.Sum, "grad_x")
def sum_exchanges_the_axes_that_stay(self: Any, gy: Any, x_shape: Any) -> Any:
    """gy is transposed before it is repeated."""
    return self.spread(gy.transpose() if gy.ndim == 2 else gy, x_shape)


@planted(ops.Sum, "grad_x")
def sum_cuts_gy(self: Any, gy: Any, x_shape: Any) -> Any:
    """gy is read as a constant."""
    return self.spread(constant(gy), x_shape)


@planted(ops.Mean, "grad_x")
def mean_is_treated_as_a_sum(self: Any, gy: Any, x_shape: Any) -> Any:
    """The 1/m is missing."""
    return self.spread(gy, x_shape)


@planted(ops.Mean, "grad_x")
def mean_divides_by_one_less(self: Any, gy: Any, x_shape: Any) -> Any:
    """m − 1 in place of m, as in an unbiased variance."""
    return self.spread(gy * (1.0 / max(self.count(x_shape) - 1, 1)), x_shape)


@planted(ops.Mean, "grad_x")
def mean_divides_by_the_number_of_results(self: Any, gy: Any, x_shape: Any) -> Any:
    """Divided by how many means there are, not by how many elements go into one."""
    return self.spread(gy * (1.0 / gy.size), x_shape)


@planted(ops.Max, "grad_x")
def max_sends_to_all(self: Any, gy: Any, x_shape: Any) -> Any:
    """The mask is forgotten: every element gets gy, not only the winner."""
    return self.spread(gy, x_shape)


@planted(ops.Max, "grad_x", cases=doubled)
def max_sends_to_all_winners(self: Any, gy: Any, x: Any, y: Any) -> Any:
    """At a tie every winner gets all of gy, so that the gradient is counted twice."""
    x, y = constant(x), constant(y)
    return self.spread(gy, x.shape) * (x >= self.spread(y, x.shape))


@planted(ops.Max, "grad_x")
def max_sends_to_the_smallest(self: Any, gy: Any, x: Any) -> Any:
    """The winner is looked for with the wrong comparison."""
    smallest = -ops.max(-constant(x), self.axes, True)
    return self.spread(gy, x.shape) * (constant(x) <= smallest)


@planted(ops.LogSumExp, "grad_x")
def logsumexp_forgets_to_normalise(self: Any, gy: Any, x: Any) -> Any:
    """eˣ without the division by Σ eˣ."""
    return self.spread(gy, x.shape) * ops.exp(x)


@planted(ops.LogSumExp, "grad_x", cases=large_logits)
def logsumexp_forgets_the_maximum(self: Any, gy: Any, x: Any) -> Any:
    """eˣ / Σ eˣ without subtracting the maximum: right in float64, Inf/Inf in float32."""
    e = ops.exp(x)
    return self.spread(gy, x.shape) * e / e.sum(self.axes, keepdims=True)


@planted(ops.LogSumExp, "grad_x")
def logsumexp_cuts_y(self: Any, gy: Any, x: Any, y: Any) -> Any:
    """The result is read as a constant, so soft-max loses the derivative of its denominator at order 2."""
    return self.spread(gy, x.shape) * ops.exp(x - self.spread(constant(y), x.shape))


@planted(ops.ChannelSum, "grad_x")
def channel_sum_divides_by_the_batch(self: Any, gy: Any, x_shape: Any) -> Any:
    """A mean over the images in place of the sum."""
    return broadcast_to(gy.reshape((1, x_shape[1]) + (1,) * (len(x_shape) - 2)) / x_shape[0], x_shape)


@planted(ops.ChannelSum, "grad_x", cases=square)
def channel_sum_repeats_along_the_channels(self: Any, gy: Any, x_shape: Any) -> Any:
    """gy is laid along the images and repeated along the channels."""
    return broadcast_to(gy.reshape((x_shape[0],) + (1,) * (len(x_shape) - 1)), x_shape)


@planted(SumTo, "grad_x")
def sum_to_is_treated_as_a_mean(self: Any, gy: Any, x_shape: Any) -> Any:
    """Undoing a broadcast divides by the number of copies."""
    return broadcast_to(gy, x_shape) * (gy.size / np.prod(x_shape, dtype=float))


@planted(SumTo, "grad_x")
def sum_to_has_the_wrong_sign(self: Any, gy: Any, x_shape: Any) -> Any:
    """A minus sign that belongs to nothing."""
    return broadcast_to(-gy, x_shape)


@planted(BroadcastTo, "grad_x")
def broadcast_to_averages(self: Any, gy: Any, x_shape: Any) -> Any:
    """The copies' gradients are averaged, not summed."""
    return sum_to(gy, x_shape) * (np.prod(x_shape, dtype=float) / gy.size)


@planted(BroadcastTo, "grad_x")
def broadcast_to_takes_the_first_copy(self: Any, gy: Any, x_shape: Any) -> Any:
    """Of the new leading axes only the first element is used: the others' gradients are lost."""
    while gy.ndim > len(x_shape):
        gy = gy[0]
    return sum_to(gy, x_shape)


@planted(Cast, "grad_x")
def cast_goes_through_float32(self: Any, gy: Any) -> Any:
    """The gradient of float64 numbers is rounded to float32 on its way."""
    return Cast("float32")(gy)


@planted(Cast, "grad_x")
def cast_cuts_gy(self: Any, gy: Any) -> Any:
    """A conversion that drops the graph."""
    return constant(gy)
